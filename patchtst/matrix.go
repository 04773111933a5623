package patchtst

import "fettle/patchtst/internal/kernel"

// A matrix is rows of numbers in a longer slice, a stride apart: a whole
// tensor, or some of its columns, or every n-th of its rows.
type matrix = kernel.Matrix

// dense is a matrix whose rows follow one another.
func dense(values []float32, rows, cols int) matrix { return kernel.Dense(values, rows, cols) }

// every is n rows of a matrix from one on, step apart.
func every(m matrix, from, step, n int) matrix {
	return matrix{Data: m.Data[from*m.Stride:], Rows: n, Cols: m.Cols, Stride: step * m.Stride}
}

// columns is a part of every row.
func columns(m matrix, from, n int) matrix { return m.Columns(from, from+n) }
