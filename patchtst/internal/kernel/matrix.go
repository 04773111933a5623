package kernel

import "fmt"

// A MatrixOf is a view of rows of numbers, Stride apart, in a longer slice: a
// whole tensor, or some of its columns, or every n-th of its rows.
type MatrixOf[T any] struct {
	Data               []T
	Rows, Cols, Stride int
}

// A Matrix is what nearly every kernel takes.
type Matrix = MatrixOf[float32]

// Dense is a matrix whose rows follow one another.
func Dense[T any](data []T, rows, cols int) MatrixOf[T] {
	return MatrixOf[T]{Data: data, Rows: rows, Cols: cols, Stride: cols}
}

// EveryRow is one row that stands for all the rows of a product's plus: a
// bias. Of a nil row it is the empty matrix, which adds nothing.
func EveryRow(row []float32) Matrix {
	if row == nil {
		return Matrix{}
	}
	return Matrix{Data: row, Rows: 1, Cols: len(row)}
}

// Row is row r.
func (m MatrixOf[T]) Row(r int) []T { return m.Data[r*m.Stride:][:m.Cols] }

// RowRange is the rows from..to-1.
func (m MatrixOf[T]) RowRange(from, to int) MatrixOf[T] {
	return MatrixOf[T]{Data: m.Data[min(from*m.Stride, len(m.Data)):], Rows: to - from, Cols: m.Cols, Stride: m.Stride}
}

// Columns is the columns from..to-1.
func (m MatrixOf[T]) Columns(from, to int) MatrixOf[T] {
	return MatrixOf[T]{Data: m.Data[min(from, len(m.Data)):], Rows: m.Rows, Cols: to - from, Stride: m.Stride}
}

// fits is what every kernel wants of a matrix, since it walks it without
// bounds.
func (m MatrixOf[T]) fits(rows, cols int) bool {
	return m.Rows == rows && m.Cols == cols && (rows-1)*m.Stride+cols <= len(m.Data) && (m.Stride >= cols || rows <= 1)
}

// check panics if the matrix does not fit.
func (m MatrixOf[T]) check(name string, rows, cols int) {
	if m.fits(rows, cols) {
		return
	}
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("BUG: kernel: %s is %d x %d; expected %d x %d", name, m.Rows, m.Cols, rows, cols))
	}
	if rows > 0 && cols > 0 {
		panic(fmt.Sprintf("BUG: kernel: %s is %d x %d with stride %d in %d numbers", name, rows, cols, m.Stride, len(m.Data)))
	}
}

func checkLen(name string, n, expected int) {
	if n != expected {
		panic(fmt.Sprintf("BUG: kernel: %s has %d numbers; expected %d", name, n, expected))
	}
}
