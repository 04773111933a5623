package kernel

import (
	"iter"
	"unsafe"
)

// A view is a matrix as assembly takes it: where it starts, and the bytes from
// row to row.
type view struct {
	at     unsafe.Pointer
	stride int
}

func (m *MatrixOf[T]) view() view {
	var number T
	return view{unsafe.Pointer(unsafe.SliceData(m.Data)), m.Stride * int(unsafe.Sizeof(number))}
}

// rowOf is n numbers of a row of a view.
func rowOf[T any](v view, r, n int) []T {
	return unsafe.Slice((*T)(unsafe.Add(v.at, r*v.stride)), n)
}

// element is an element of a view.
func element[T any](v view, r, c int) *T {
	var number T
	return (*T)(unsafe.Add(v.at, r*v.stride+c*int(unsafe.Sizeof(number))))
}

// maxChunk bounds the numbers of one call of an assembly kernel, which a
// goroutine cannot be interrupted in: the slowest of them, AdamW, takes some
// 20 us for so many that lie in no cache.
const maxChunk = 1 << 13

// chunks cuts n numbers into pieces from..to-1 of at most maxChunk.
func chunks(n int) iter.Seq2[int, int] {
	return pieces(n, maxChunk)
}

// rowBlocks cuts rows of cols numbers likewise. A row is never cut: of up to
// 2^16 numbers it takes less than 20 us.
func rowBlocks(rows, cols int) iter.Seq2[int, int] {
	return pieces(rows, max(1, maxChunk/max(cols, 1)))
}

// columnBlocks cuts columns of so many rows likewise. Multiples of 32 columns
// stay together: of up to 4096 rows they take less than 50 us.
func columnBlocks(rows, cols int) iter.Seq2[int, int] {
	return pieces(cols, max(32, maxChunk/max(rows, 1)/32*32))
}

func pieces(n, most int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < n; from += most {
			if !yield(from, min(from+most, n)) {
				return
			}
		}
	}
}
