package patchtst

// multiply is y = x w' + bias, from x (rows, in) and w (out, in) to
// y (rows, out). It is
//
//	y[r][o] = bias[o] + sum over i of x[r][i] * w[o][i]
//
// computed in tiles of two rows by four outputs: a tile loads six numbers for
// eight products, and its eight sums, which do not wait for each other, just
// fit into the registers.
func multiply(y, x, w, bias []float32, in, out int) {
	rows, r := len(x)/in, 0
	for ; r+2 <= rows; r += 2 {
		x0, x1 := x[r*in:][:in], x[(r+1)*in:][:in]
		y0, y1 := y[r*out:][:out], y[(r+1)*out:][:out]
		multiplyTwoRows(y0, y1, x0, x1, w, bias)
	}
	if r < rows {
		multiplyRow(y[r*out:][:out], x[r*in:][:in], w, bias)
	}
}

// multiplyTwoRows computes two rows of y.
func multiplyTwoRows(y0, y1, x0, x1, w, bias []float32) {
	in, out, o := len(x0), len(y0), 0
	x1 = x1[:in]
	for ; o+4 <= out; o += 4 {
		w0, w1, w2, w3 := w[o*in:][:in], w[(o+1)*in:][:in], w[(o+2)*in:][:in], w[(o+3)*in:][:in]
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
		c0, c1, c2, c3 := bias[o], bias[o+1], bias[o+2], bias[o+3]
		y0[o], y0[o+1], y0[o+2], y0[o+3] = a0+c0, a1+c1, a2+c2, a3+c3
		y1[o], y1[o+1], y1[o+2], y1[o+3] = b0+c0, b1+c1, b2+c2, b3+c3
	}
	for ; o < out; o++ {
		row := w[o*in:][:in]
		y0[o], y1[o] = dot(x0, row)+bias[o], dot(x1, row)+bias[o]
	}
}

// multiplyRow computes the last row of y, where the rows are odd.
func multiplyRow(y, x, w, bias []float32) {
	in := len(x)
	for o := range y {
		y[o] = dot(x, w[o*in:][:in]) + bias[o]
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
