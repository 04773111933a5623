package kernel

import "unsafe"

// Multiply is the product of a tall matrix and a small one, C = plus + A W:
//
//	c[i][j] = plus[i][j] + sum over p of a[i][p] * w[p][j]
//
// The sum runs over p upwards and plus comes last, in float32 with fused
// multiply-adds where the processor has them; so a number of C does not depend
// on how the rows are cut into calls. (Over maxDepth steps of p are taken in
// several sums, whose length does not depend on the rows either.)
//
// The empty plus adds nothing; EveryRow(bias) adds a bias; C itself accumulates.
// Nothing else may overlap C.
func (k *Kernels) Multiply(c, a, w, plus Matrix) {
	checkProduct(&c, a.Rows, w.Cols, &plus)
	a.check("a", c.Rows, a.Cols)
	w.check("w", a.Cols, c.Cols)
	k.inBlocks(&k.product, &walk{
		tile:  newTile(c, a, w, plus, a.Cols),
		aRow:  size * a.Stride,
		aStep: size,
		panel: size * k.width,
	})
}

// MultiplyPanels is Multiply by a packed W: faster, since W is read in the
// order in which it lies.
func (k *Kernels) MultiplyPanels(c, a Matrix, w Panels, plus Matrix) {
	checkProduct(&c, a.Rows, w.Cols, &plus)
	a.check("a", c.Rows, w.Rows)
	w.check(k.width)
	k.inBlocks(&k.product, &walk{
		tile:  newTile(c, a, Matrix{Data: w.Data, Stride: w.Width}, plus, a.Cols),
		aRow:  size * a.Stride,
		aStep: size,
		panel: size * w.Width * w.Rows,
	})
}

// MultiplyTransposed is the product of two tall matrices, C = plus + A' B,
// as in the gradient of a weight:
//
//	c[i][j] = plus[i][j] + sum over p of a[p][i] * b[p][j]
//
// Order and overlap are as in Multiply.
func (k *Kernels) MultiplyTransposed(c, a, b, plus Matrix) {
	checkProduct(&c, a.Cols, b.Cols, &plus)
	a.check("a", b.Rows, c.Rows)
	b.check("b", a.Rows, c.Cols)
	k.inBlocks(&k.productT, &walk{
		tile:  newTile(c, a, b, plus, a.Rows),
		aRow:  size,
		aStep: size * a.Stride,
		panel: size * k.width,
	})
}

// size is the bytes of a float32, and of a Pair.
const size = 4

// maxDepth bounds the depth of one sum, so that a panel of W, 32 KB, stays near
// the processor while A's rows run past it, yet C, which each further sum loads
// and stores, is not much of the work. maxWork bounds rows times depth of one
// call: 2 MFLOP with 32 columns, 20 us on a processor of 100 GFLOP/s, since a
// goroutine in assembly cannot be interrupted.
const (
	maxDepth = 256
	maxWork  = 1 << 15
)

// A tile is what an assembly kernel computes in one call, at most width
// columns of C:
//
//	c[i][j] = plus[i][j] + sum over p < depth of a[i][p] * w[p][j]
//
// Strides are in bytes. A plusStride of 0 adds the same row to all.
type tile struct {
	c, a, w, plus                         unsafe.Pointer
	cStride, aStride, wStride, plusStride int
	rows, depth, cols                     int
}

func newTile[T any](c Matrix, a, w MatrixOf[T], plus Matrix, depth int) tile {
	return tile{
		c: start(c), a: start(a), w: start(w), plus: start(plus),
		cStride: size * c.Stride, aStride: size * a.Stride, wStride: size * w.Stride, plusStride: size * plus.Stride,
		rows: c.Rows, depth: depth, cols: c.Cols,
	}
}

func start[T any](m MatrixOf[T]) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m.Data)) }

// checkProduct checks what all products have in common.
func checkProduct(c *Matrix, rows, cols int, plus *Matrix) {
	c.check("c", rows, cols)
	if plus.Data == nil {
		return
	}
	if plus.Stride == 0 && plus.Rows == 1 {
		rows = 1
	}
	plus.check("plus", rows, cols)
}

// kernels of one form for the three shapes of a tile: all columns of a panel,
// more than half of them, up to half of them.
type shapes struct{ full, wide, narrow func(tile) }

// A walk is a whole product: a tile far too large for one call, and how many
// bytes A and W move on per row, step of the depth and panel.
type walk struct {
	tile
	aRow, aStep, panel int
}

// A block is the rows and the steps of the depth that one call computes.
type block struct{ row, rows, step, steps int }

// inBlocks cuts a product into calls: along the depth, then down the rows, then
// from panel to panel.
func (k *Kernels) inBlocks(s *shapes, w *walk) {
	rows, depth := w.rows, w.depth
	if depth > maxDepth {
		blocks := (depth + maxDepth - 1) / maxDepth
		depth = (depth + blocks - 1) / blocks
	}
	if rows*depth > maxWork {
		rows = maxWork / depth / k.tileRows * k.tileRows
	}
	for p := 0; ; {
		for r := 0; r < w.rows; r += rows {
			k.acrossPanels(s, w, block{row: r, rows: min(rows, w.rows-r), step: p, steps: min(depth, w.depth-p)})
		}
		if p += depth; p >= w.depth {
			return
		}
	}
}

// acrossPanels computes a block of C, one panel of W after the other. No
// pointer is ever moved past the end of its slice.
func (k *Kernels) acrossPanels(s *shapes, w *walk, b block) {
	t := w.tile
	t.rows, t.depth = b.rows, b.steps
	t.a = unsafe.Add(w.a, b.row*w.aRow+b.step*w.aStep)
	c, panel, plus := unsafe.Add(w.c, b.row*w.cStride), unsafe.Add(w.w, b.step*w.wStride), w.plus
	if b.step > 0 {
		plus, t.plusStride = c, w.cStride
	} else if plus != nil {
		plus = unsafe.Add(plus, b.row*w.plusStride)
	}
	for j, at := 0, 0; j < w.cols; j, at = j+k.width, at+w.panel {
		t.c, t.w = unsafe.Add(c, size*j), unsafe.Add(panel, at)
		if plus != nil {
			t.plus = unsafe.Add(plus, size*j)
		}
		t.cols = min(k.width, w.cols-j)
		switch {
		case t.cols == k.width:
			s.full(t)
		case t.cols > k.width/2:
			s.wide(t)
		default:
			s.narrow(t)
		}
	}
}
