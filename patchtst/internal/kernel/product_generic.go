package kernel

// The loops that hold where there is no assembly, and that assembly is tested
// against.

const (
	genericWidth = 64 // columns of a panel: long enough to be worth a loop
	genericRows  = 4
)

// productGeneric is c[i][j] = plus[i][j] + sum over p of a[i][p] * w[p][j].
func productGeneric(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int) {
	for i := range rows {
		a := rowOf[float32](view{a, aStride}, i, depth)
		to := tileRow{view{c, cStride}, view{plus, plusStride}, i, cols}
		to.product(view{w, wStride}, depth, func(p int) float32 { return a[p] })
	}
}

// productTGeneric is c[i][j] = plus[i][j] + sum over p of a[p][i] * w[p][j].
func productTGeneric(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int) {
	for i := range rows {
		to := tileRow{view{c, cStride}, view{plus, plusStride}, i, cols}
		to.product(view{w, wStride}, depth, func(p int) float32 { return *element[float32](view{a, aStride}, p, i) })
	}
}

// productPairsGeneric is productGeneric of pairs.
func productPairsGeneric(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int) {
	for i := range rows {
		a := rowOf[Pair](view{a, aStride}, i, depth)
		to := tileRow{view{c, cStride}, view{plus, plusStride}, i, cols}
		to.productPairs(view{w, wStride}, depth, func(p int) Pair { return a[p] })
	}
}

// productTPairsGeneric is productTGeneric of pairs.
func productTPairsGeneric(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int) {
	for i := range rows {
		to := tileRow{view{c, cStride}, view{plus, plusStride}, i, cols}
		to.productPairs(view{w, wStride}, depth, func(p int) Pair { return *element[Pair](view{a, aStride}, p, i) })
	}
}

// tileRow is one row of a tile.
type tileRow struct {
	c, plus   view
	row, cols int
}

// product takes four steps of the depth in a turn.
func (t tileRow) product(w view, depth int, a func(p int) float32) {
	var sums [genericWidth]float32
	sum := sums[:t.cols]
	row := func(p int) []float32 { return rowOf[float32](w, p, t.cols) }
	p := 0
	for ; p+4 <= depth; p += 4 {
		addFour(sum, [4]float32{a(p), a(p + 1), a(p + 2), a(p + 3)}, row(p), row(p+1), row(p+2), row(p+3))
	}
	for ; p < depth; p++ {
		addScaledGeneric(sum, a(p), row(p))
	}
	t.store(sum)
}

func (t tileRow) productPairs(w view, depth int, a func(p int) Pair) {
	var sums [genericWidth]float32
	sum := sums[:t.cols]
	for p := range depth {
		first, second := a(p)[0].Float32(), a(p)[1].Float32()
		for j, w := range rowOf[Pair](w, p, t.cols) {
			sum[j] += first*w[0].Float32() + second*w[1].Float32()
		}
	}
	t.store(sum)
}

// store is c[i][j] = sum[j] + plus[i][j]; plus may be c.
func (t tileRow) store(sum []float32) {
	if t.plus.at != nil {
		addGeneric(sum, rowOf[float32](t.plus, t.row, t.cols))
	}
	copy(rowOf[float32](t.c, t.row, t.cols), sum)
}

// addFour is y += a[0] z0 + a[1] z1 + a[2] z2 + a[3] z3.
func addFour(y []float32, a [4]float32, z0, z1, z2, z3 []float32) {
	z0, z1, z2, z3 = z0[:len(y)], z1[:len(y)], z2[:len(y)], z3[:len(y)]
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	for j := range y {
		y[j] += (a0*z0[j] + a1*z1[j]) + (a2*z2[j] + a3*z3[j])
	}
}

// peakGeneric multiplies and adds in eight sums that do not wait for each
// other, turns times.
func peakGeneric(turns int) {
	var s [8]float32
	for range turns {
		for i := range s {
			s[i] += s[i] * 0.5
		}
	}
	if s[0] != 0 {
		panic("BUG: kernel: zeros do not add up to zero")
	}
}
