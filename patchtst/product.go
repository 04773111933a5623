package patchtst

// A matrix is rows of numbers in a longer slice, stride apart: a whole tensor,
// or some of its columns, or every n-th of its rows.
type matrix struct {
	values             []float32
	rows, cols, stride int
}

// dense is a matrix whose rows follow one another.
func dense(values []float32, rows, cols int) matrix { return matrix{values, rows, cols, cols} }

func (m matrix) row(r int) []float32 { return m.values[r*m.stride:][:m.cols] }

// columns is a part of every row.
func (m matrix) columns(from, n int) matrix { return matrix{m.values[from:], m.rows, n, m.stride} }

// every is n rows from one on, step apart.
func (m matrix) every(from, step, n int) matrix {
	return matrix{m.values[from*m.stride:], n, m.cols, m.stride * step}
}

// The three products that a network of linear layers consists of. Letters are
// transposition as in BLAS: N as it is, T transposed.

// panel is how many products are summed up in one go: longer sums go panel by
// panel, which keeps both operands in the cache and the rounding small.
const panel = 512

// productNT is y = x w' + bias, from x (rows, in) and w (out, in) to
// y (rows, out); a nil bias is zero. It is
//
//	y[r][o] = bias[o] + sum over i of x[r][i] * w[o][i]
//
// computed in tiles of two rows by four outputs: a tile loads six numbers for
// eight products, and its eight sums, which do not wait for each other, just
// fit into the registers.
func productNT(y, x, w matrix, bias []float32) {
	for r := range y.rows {
		if bias == nil {
			clear(y.row(r))
		} else {
			copy(y.row(r), bias)
		}
	}
	for from := 0; from < x.cols; from += panel {
		n := min(panel, x.cols-from)
		x, w, r := x.columns(from, n), w.columns(from, n), 0
		for ; r+2 <= x.rows; r += 2 {
			twoRowsNT(y.row(r), y.row(r+1), x.row(r), x.row(r+1), w)
		}
		for ; r < x.rows; r++ {
			y, x := y.row(r), x.row(r)
			for o := range y {
				y[o] += dot(x, w.row(o))
			}
		}
	}
}

// twoRowsNT adds to two rows of y.
func twoRowsNT(y0, y1, x0, x1 []float32, w matrix) {
	in, out, o := len(x0), len(y0), 0
	x1, y1 = x1[:in], y1[:out]
	for ; o+4 <= out; o += 4 {
		w0, w1, w2, w3 := w.row(o)[:in], w.row(o + 1)[:in], w.row(o + 2)[:in], w.row(o + 3)[:in]
		var a0, a1, a2, a3, b0, b1, b2, b3 float32
		for i, a := range x0 {
			b := x1[i]
			v := w0[i]
			a0 += a * v
			b0 += b * v
			v = w1[i]
			a1 += a * v
			b1 += b * v
			v = w2[i]
			a2 += a * v
			b2 += b * v
			v = w3[i]
			a3 += a * v
			b3 += b * v
		}
		y0[o], y0[o+1], y0[o+2], y0[o+3] = y0[o]+a0, y0[o+1]+a1, y0[o+2]+a2, y0[o+3]+a3
		y1[o], y1[o+1], y1[o+2], y1[o+3] = y1[o]+b0, y1[o+1]+b1, y1[o+2]+b2, y1[o+3]+b3
	}
	for ; o < out; o++ {
		y0[o] += dot(x0, w.row(o))
		y1[o] += dot(x1, w.row(o))
	}
}

// productNN is y += x w, from x (rows, out) and w (out, in) to y (rows, in):
//
//	y[r][i] += sum over o of x[r][o] * w[o][i]
func productNN(y, x, w matrix) {
	for r := range y.rows {
		y, x, o := y.row(r), x.row(r), 0
		for ; o+4 <= len(x); o += 4 {
			addFour(y, [4]float32(x[o:]), w.row(o), w.row(o+1), w.row(o+2), w.row(o+3))
		}
		for ; o < len(x); o++ {
			addScaled(y, x[o], w.row(o))
		}
	}
}

// productTN is y += x' z, from x (rows, out) and z (rows, in) to y (out, in):
//
//	y[o][i] += sum over r of x[r][o] * z[r][i]
func productTN(y, x, z matrix) {
	r := 0
	for ; r+4 <= x.rows; r += 4 {
		x0, x1, x2, x3 := x.row(r), x.row(r+1), x.row(r+2), x.row(r+3)
		z0, z1, z2, z3 := z.row(r), z.row(r+1), z.row(r+2), z.row(r+3)
		for o := range y.rows {
			addFour(y.row(o), [4]float32{x0[o], x1[o], x2[o], x3[o]}, z0, z1, z2, z3)
		}
	}
	for ; r < x.rows; r++ {
		for o, v := range x.row(r) {
			addScaled(y.row(o), v, z.row(r))
		}
	}
}

// addFour is y += a[0] z0 + a[1] z1 + a[2] z2 + a[3] z3.
func addFour(y []float32, a [4]float32, z0, z1, z2, z3 []float32) {
	z0, z1, z2, z3 = z0[:len(y)], z1[:len(y)], z2[:len(y)], z3[:len(y)]
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	for i := range y {
		y[i] += (a0*z0[i] + a1*z1[i]) + (a2*z2[i] + a3*z3[i])
	}
}

// addScaled is y += a z.
func addScaled(y []float32, a float32, z []float32) {
	z = z[:len(y)]
	for i := range y {
		y[i] += a * z[i]
	}
}

// dot is the sum of x[i] * y[i], in four sums that do not wait for each other.
func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(y) >= 4 {
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		x, y = x[4:], y[4:]
	}
	for i := range x {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// add is y += x.
func add(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

// addRows adds every row of x to sum.
func addRows(sum []float32, x matrix) {
	for r := range x.rows {
		add(sum, x.row(r))
	}
}
