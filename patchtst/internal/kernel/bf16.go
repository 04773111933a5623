package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// A BF16 is a bfloat16: the upper half of a float32.
type BF16 uint16

// A Pair is two numbers that follow each other along the depth of a product,
// which the processor multiplies and adds in one go.
type Pair [2]BF16

// ToBF16 rounds to the nearest, to the even one of two. A NaN stays one.
func ToBF16(v float32) BF16 {
	bits := math.Float32bits(v)
	if v != v {
		return BF16(bits>>16 | 0x40)
	}
	return BF16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// Float32 is the same number.
func (v BF16) Float32() float32 { return math.Float32frombits(uint32(v) << 16) }

// HasBF16 says whether the processor multiplies bfloat16 itself. Otherwise the
// products of Pairs run in plain Go, slowly.
func (k *Kernels) HasBF16() bool { return k.bf16 }

// RoundBF16 is dst[i] = ToBF16(src[i]), except that assembly may turn a
// denormal number into a zero of its sign.
func (k *Kernels) RoundBF16(dst []BF16, src []float32) {
	checkLen("dst", len(dst), len(src))
	for from, to := range chunks(len(src)) {
		k.roundBF16(dst[from:to], src[from:to])
	}
}

func roundBF16Generic(dst []BF16, src []float32) {
	for i, v := range src {
		dst[i] = ToBF16(v)
	}
}

// WidenBF16 is dst[i] = src[i].
func (k *Kernels) WidenBF16(dst []float32, src []BF16) {
	checkLen("dst", len(dst), len(src))
	for from, to := range chunks(len(src)) {
		k.widenBF16(dst[from:to], src[from:to])
	}
}

func widenBF16Generic(dst []float32, src []BF16) {
	for i, v := range src {
		dst[i] = v.Float32()
	}
}

// Pairs is a matrix of bfloat16 with pairs along its rows, which is how it
// lies. Cols and Stride are even.
func Pairs(m MatrixOf[BF16]) MatrixOf[Pair] {
	if m.Cols%2 != 0 || m.Stride%2 != 0 {
		panic(fmt.Sprintf("BUG: kernel: pairs along rows of %d numbers, %d apart; expected even numbers", m.Cols, m.Stride))
	}
	data := unsafe.Slice((*Pair)(unsafe.Pointer(unsafe.SliceData(m.Data))), len(m.Data)/2)
	return MatrixOf[Pair]{Data: data, Rows: m.Rows, Cols: m.Cols / 2, Stride: m.Stride / 2}
}

// PairRows makes pairs down the columns, rounding to bfloat16 (a denormal
// number may become zero); an odd last row is paired with zeros:
//
//	dst[i][j] = {src[2i][j], src[2i+1][j]}
func (k *Kernels) PairRows(dst MatrixOf[Pair], src Matrix) {
	src.check("src", src.Rows, src.Cols)
	dst.check("dst", (src.Rows+1)/2, src.Cols)
	for from, to := range rowBlocks((src.Rows+1)/2, 2*src.Cols) {
		src := src.RowRange(2*from, min(2*to, src.Rows))
		dst := dst.RowRange(from, to)
		k.pairRows(dst.view(), src.view(), src.Rows, src.Cols)
	}
}

func pairRowsGeneric(dst, src view, rows, cols int) {
	for i := range rows {
		to := rowOf[Pair](dst, i/2, cols)
		for j, v := range rowOf[float32](src, i, cols) {
			if i%2 == 0 {
				to[j][1] = 0
			}
			to[j][i%2] = ToBF16(v)
		}
	}
}

// PairRowsBF16 is PairRows of what is rounded already.
func (k *Kernels) PairRowsBF16(dst MatrixOf[Pair], src MatrixOf[BF16]) {
	src.check("src", src.Rows, src.Cols)
	dst.check("dst", (src.Rows+1)/2, src.Cols)
	for from, to := range rowBlocks((src.Rows+1)/2, 2*src.Cols) {
		src := src.RowRange(2*from, min(2*to, src.Rows))
		dst := dst.RowRange(from, to)
		k.pairRowsBF16(dst.view(), src.view(), src.Rows, src.Cols)
	}
}

func pairRowsBF16Generic(dst, src view, rows, cols int) {
	for i := range rows {
		to := rowOf[Pair](dst, i/2, cols)
		for j, v := range rowOf[BF16](src, i, cols) {
			if i%2 == 0 {
				to[j][1] = 0
			}
			to[j][i%2] = v
		}
	}
}

// TransposePairs is dst[j][i] = src[i][j].
func (k *Kernels) TransposePairs(dst, src MatrixOf[Pair]) {
	src.check("src", src.Rows, src.Cols)
	dst.check("dst", src.Cols, src.Rows)
	k.transposeBlocks(dst.view(), src.view(), src.Rows, src.Cols)
}

// PackPairs packs w into dst, which is PanelsLen((w.Rows+1)/2, w.Cols) long.
func (k *Kernels) PackPairs(dst []Pair, w MatrixOf[BF16]) PanelsOf[Pair] {
	packed := newPanels(dst, (w.Rows+1)/2, w.Cols, k.width)
	for j := 0; j < w.Cols; j += k.width {
		panel := packed.panel(j)
		k.PairRowsBF16(panel, w.Columns(j, j+panel.Cols))
	}
	return packed
}

// PackPairsTransposed packs w', whose columns are even, into dst, which is
// PanelsLen(w.Cols/2, w.Rows) long.
func (k *Kernels) PackPairsTransposed(dst []Pair, w MatrixOf[BF16]) PanelsOf[Pair] {
	pairs := Pairs(w)
	packed := newPanels(dst, pairs.Cols, w.Rows, k.width)
	for j := 0; j < w.Rows; j += k.width {
		panel := packed.panel(j)
		k.TransposePairs(panel, pairs.RowRange(j, j+panel.Cols))
	}
	return packed
}

// MultiplyPairs is Multiply of pairs, where the numbers along a's rows and down
// w's columns are paired:
//
//	c[i][j] = plus[i][j] + sum over p of a[i][p][0] * w[p][j][0] + a[i][p][1] * w[p][j][1]
//
// A product of two bfloat16 is exact; sums are float32. Assembly takes denormal
// numbers for zero.
func (k *Kernels) MultiplyPairs(c Matrix, a, w MatrixOf[Pair], plus Matrix) {
	checkProduct(&c, &plus, a.Rows, w.Cols)
	checkFactors(&a, &w, c.Rows, a.Cols, a.Cols, c.Cols)
	p := walk{aRow: size * a.Stride, aStep: size, panel: size * k.width}
	fill(&p, &c, &a, &w, &plus)
	k.inBlocks(&k.productPairs, &p)
}

// MultiplyPanelsPairs is MultiplyPairs by a packed w.
func (k *Kernels) MultiplyPanelsPairs(c Matrix, a MatrixOf[Pair], w PanelsOf[Pair], plus Matrix) {
	checkProduct(&c, &plus, a.Rows, w.Cols)
	a.check("a", c.Rows, w.Rows)
	w.check(k.width)
	p := walk{aRow: size * a.Stride, aStep: size, panel: size * w.Width * w.Rows}
	fill(&p, &c, &a, &MatrixOf[Pair]{Data: w.Data, Rows: w.Rows, Stride: w.Width}, &plus)
	k.inBlocks(&k.productPairs, &p)
}

// MultiplyTransposedPairs is MultiplyTransposed of pairs, down the columns of
// both:
//
//	c[i][j] = plus[i][j] + sum over p of a[p][i][0] * b[p][j][0] + a[p][i][1] * b[p][j][1]
func (k *Kernels) MultiplyTransposedPairs(c Matrix, a, b MatrixOf[Pair], plus Matrix) {
	checkProduct(&c, &plus, a.Cols, b.Cols)
	checkFactors(&a, &b, a.Rows, c.Rows, a.Rows, c.Cols)
	p := walk{aRow: size, aStep: size * a.Stride, panel: size * k.width}
	fill(&p, &c, &a, &b, &plus)
	k.inBlocks(&k.productTPairs, &p)
}
