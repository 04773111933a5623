package kernel

import (
	"fmt"
	"unsafe"
)

// Panels are a small matrix W packed for MultiplyPanels: cut into panels of
// Width columns, each of which holds its rows one after the other. The last
// panel is filled up with zeros.
type Panels = PanelsOf[float32]

// PanelsOf are panels of numbers, or of Pairs.
type PanelsOf[T any] struct {
	Data       []T
	Rows, Cols int
	Width      int
}

func (w PanelsOf[T]) check(width int) {
	if w.Width != width {
		panic(fmt.Sprintf("BUG: kernel: panels packed %d wide, by other kernels; expected %d", w.Width, width))
	}
	if need := w.Rows * panelled(w.Cols, width); len(w.Data) < need {
		panic(fmt.Sprintf("BUG: kernel: panels of %d x %d in %d numbers; expected %d", w.Rows, w.Cols, len(w.Data), need))
	}
}

// PanelsLen is how many numbers Pack needs for a matrix of rows x cols.
func (k *Kernels) PanelsLen(rows, cols int) int { return rows * panelled(cols, k.width) }

// panelled is cols, up to whole panels.
func panelled(cols, width int) int { return (cols + width - 1) / width * width }

// Pack packs w into dst, which is PanelsLen long.
func (k *Kernels) Pack(dst []float32, w Matrix) Panels {
	w.check("w", w.Rows, w.Cols)
	packed := newPanels(dst, w.Rows, w.Cols, k.width)
	for j := 0; j < w.Cols; j += k.width {
		panel := packed.panel(j)
		for p := range w.Rows {
			to := panel.Data[p*k.width:][:k.width]
			copy(to, w.Row(p)[j:j+panel.Cols])
		}
	}
	return packed
}

// PackTransposed packs w' into dst, which is PanelsLen(w.Cols, w.Rows) long.
func (k *Kernels) PackTransposed(dst []float32, w Matrix) Panels {
	w.check("w", w.Rows, w.Cols)
	packed := newPanels(dst, w.Cols, w.Rows, k.width)
	for j := 0; j < w.Rows; j += k.width {
		panel := packed.panel(j)
		k.Transpose(panel, w.RowRange(j, j+panel.Cols))
	}
	return packed
}

// newPanels are panels in dst whose last one is all zero, if it is not full.
func newPanels[T any](dst []T, rows, cols, width int) PanelsOf[T] {
	w := PanelsOf[T]{Data: dst, Rows: rows, Cols: cols, Width: width}
	w.check(width)
	if last := cols / width * width; last < cols {
		clear(dst[last*rows:][:width*rows])
	}
	return w
}

// panel is the matrix whose first column is column j of the whole.
func (w PanelsOf[T]) panel(j int) MatrixOf[T] {
	return MatrixOf[T]{Data: w.Data[j*w.Rows:], Rows: w.Rows, Cols: min(w.Width, w.Cols-j), Stride: w.Width}
}

// Transpose is dst[j][i] = src[i][j].
func (k *Kernels) Transpose(dst, src Matrix) {
	src.check("src", src.Rows, src.Cols)
	dst.check("dst", src.Cols, src.Rows)
	k.transposeBlocks(dst.view(), src.view(), src.Rows, src.Cols)
}

// transposeBlocks transposes elements of four bytes, in calls of a few rows.
func (k *Kernels) transposeBlocks(dst, src view, rows, cols int) {
	for from, to := range pieces(rows, max(16, maxChunk/max(cols, 1)/16*16)) {
		k.transpose(
			view{unsafe.Add(dst.at, from*size), dst.stride},
			view{unsafe.Add(src.at, from*src.stride), src.stride}, to-from, cols)
	}
}

func transposeGeneric(dst, src view, rows, cols int) {
	for i := range rows {
		for j, v := range rowOf[uint32](src, i, cols) {
			*element[uint32](dst, j, i) = v
		}
	}
}
