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
	checkProduct(&c, &plus, a.Rows, w.Cols)
	checkFactors(&a, &w, c.Rows, a.Cols, a.Cols, c.Cols)
	p := walk{aRow: size * a.Stride, aStep: size, panel: size * k.width}
	fill(&p, &c, &a, &w, &plus)
	k.inBlocks(&k.product, &p)
}

// MultiplyPanels is Multiply by a packed W: faster, since W is read in the
// order in which it lies.
func (k *Kernels) MultiplyPanels(c, a Matrix, w Panels, plus Matrix) {
	checkProduct(&c, &plus, a.Rows, w.Cols)
	a.check("a", c.Rows, w.Rows)
	w.check(k.width)
	p := walk{aRow: size * a.Stride, aStep: size, panel: size * w.Width * w.Rows}
	fill(&p, &c, &a, &Matrix{Data: w.Data, Rows: w.Rows, Stride: w.Width}, &plus)
	k.inBlocks(&k.product, &p)
}

// MultiplyTransposed is the product of two tall matrices, C = plus + A' B,
// as in the gradient of a weight:
//
//	c[i][j] = plus[i][j] + sum over p of a[p][i] * b[p][j]
//
// Order and overlap are as in Multiply.
func (k *Kernels) MultiplyTransposed(c, a, b, plus Matrix) {
	checkProduct(&c, &plus, a.Cols, b.Cols)
	checkFactors(&a, &b, a.Rows, c.Rows, a.Rows, c.Cols)
	p := walk{aRow: size, aStep: size * a.Stride, panel: size * k.width}
	fill(&p, &c, &a, &b, &plus)
	k.inBlocks(&k.productT, &p)
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

// A tileKernel computes at most width columns of C:
//
//	c[i][j] = plus[i][j] + sum over p < depth of a[i][p] * w[p][j]
//
// Strides are in bytes. A plusStride of 0 adds the same row to all. (These are
// single words since copying a struct would keep the processor waiting for the
// stores before, longer than a product of attention takes.)
type tileKernel func(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int)

// shapes are the kernels of one form for all columns of a panel, more than half
// of them, and up to half of them.
type shapes struct{ full, wide, narrow tileKernel }

type pointer = unsafe.Pointer

// A walk is a whole product: what a tileKernel takes, for far too large a tile,
// and how many bytes A and W move on per row, step of the depth and panel.
type walk struct {
	c, a, w, plus                         pointer
	cStride, aStride, wStride, plusStride int
	rows, depth, cols                     int
	aRow, aStep, panel                    int
}

// fill sets where the matrices are and how large they are.
func fill[T any](walk *walk, c *Matrix, a, w *MatrixOf[T], plus *Matrix) {
	walk.c, walk.a, walk.w, walk.plus = start(c), start(a), start(w), start(plus)
	walk.cStride, walk.aStride, walk.wStride, walk.plusStride = size*c.Stride, size*a.Stride, size*w.Stride, size*plus.Stride
	walk.rows, walk.depth, walk.cols = c.Rows, w.Rows, c.Cols
}

func start[T any](m *MatrixOf[T]) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m.Data)) }

// checkProduct checks what all products have in common.
func checkProduct(c, plus *Matrix, rows, cols int) {
	if !c.fits(rows, cols) {
		c.check("c", rows, cols)
	}
	if plus.Data == nil {
		return
	}
	if plus.Stride == 0 && plus.Rows == 1 {
		rows = 1
	}
	if !plus.fits(rows, cols) {
		plus.check("plus", rows, cols)
	}
}

func checkFactors[T any](a, w *MatrixOf[T], aRows, aCols, wRows, wCols int) {
	if !a.fits(aRows, aCols) || !w.fits(wRows, wCols) {
		a.check("a", aRows, aCols)
		w.check("w", wRows, wCols)
	}
}

// A block is the part of a product that is computed panel by panel: rows from
// row on, steps of the depth from step on.
type block struct{ row, rows, step, steps int }

// inBlocks cuts a product into blocks: along the depth, then down the rows.
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

// acrossPanels computes a block, one panel of W after the other. No pointer is
// ever moved past the end of its slice.
func (k *Kernels) acrossPanels(s *shapes, walk *walk, b block) {
	c, a := unsafe.Add(walk.c, b.row*walk.cStride), unsafe.Add(walk.a, b.row*walk.aRow+b.step*walk.aStep)
	w, plus, plusStride := unsafe.Add(walk.w, b.step*walk.wStride), walk.plus, walk.plusStride
	if b.step > 0 {
		plus, plusStride = c, walk.cStride
	} else if plus != nil {
		plus = unsafe.Add(plus, b.row*plusStride)
	}
	for left := walk.cols; left > 0; {
		cols, kernel := min(left, k.width), s.narrow
		switch {
		case cols == k.width:
			kernel = s.full
		case cols > k.width/2:
			kernel = s.wide
		}
		kernel(c, a, w, plus, walk.cStride, walk.aStride, walk.wStride, plusStride, b.rows, b.steps, cols)
		if left -= cols; left > 0 {
			c, w = unsafe.Add(c, size*cols), unsafe.Add(w, walk.panel)
			if plus != nil {
				plus = unsafe.Add(plus, size*cols)
			}
		}
	}
}
