package kernel

import "math"

// Softmax comes in two layouts: over the numbers of a row, and, for scores that
// stand transposed (keys x queries), down each column, which a vector processor
// does for many columns at once without any sum across a register.

// SoftmaxRows turns the scores of each row into shares that sum to 1:
//
//	x[i][j] = exp(scale x[i][j]) / sum over l of exp(scale x[i][l])
//
// The largest score is taken off first, so that no exponential overflows; scale
// is not negative. A row with a NaN, or whose largest score is infinite, becomes
// NaN. Assembly's exp is off by 2 units in the last place at most, and shares
// below 2^-126 may be 0.
func (k *Kernels) SoftmaxRows(x Matrix, scale float32) {
	x.check("x", x.Rows, x.Cols)
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		part := x.RowRange(from, to)
		k.softmaxRows(part.view(), scale, part.Rows, part.Cols)
	}
}

func softmaxRowsGeneric(x view, scale float32, rows, cols int) {
	for i := range rows {
		row := rowOf[float32](x, i, cols)
		largest := float32(math.Inf(-1))
		for _, s := range row {
			largest = max(largest, s)
		}
		var sum float32
		for j, s := range row {
			e := float32(math.Exp(float64(scale * (s - largest))))
			row[j] = e
			sum += e
		}
		for j := range row {
			row[j] /= sum
		}
	}
}

// SoftmaxRowsBackward turns the gradient g of the shares y into that of the
// scores:
//
//	g[i][j] = scale y[i][j] (g[i][j] - sum over l of g[i][l] y[i][l])
func (k *Kernels) SoftmaxRowsBackward(g, y Matrix, scale float32) {
	y.check("y", y.Rows, y.Cols)
	g.check("g", y.Rows, y.Cols)
	for from, to := range rowBlocks(y.Rows, y.Cols) {
		g, y := g.RowRange(from, to), y.RowRange(from, to)
		k.softmaxRowsBackward(g.view(), y.view(), scale, y.Rows, y.Cols)
	}
}

func softmaxRowsBackwardGeneric(g, y view, scale float32, rows, cols int) {
	for i := range rows {
		g, y := rowOf[float32](g, i, cols), rowOf[float32](y, i, cols)
		mean := dotGeneric(g, y)
		for j, share := range y {
			g[j] = scale * share * (g[j] - mean)
		}
	}
}

// SoftmaxColumns is SoftmaxRows down each column:
//
//	x[i][j] = exp(scale x[i][j]) / sum over l of exp(scale x[l][j])
func (k *Kernels) SoftmaxColumns(x Matrix, scale float32) {
	x.check("x", x.Rows, x.Cols)
	for from, to := range columnBlocks(x.Rows, x.Cols) {
		part := x.Columns(from, to)
		k.softmaxColumns(part.view(), scale, part.Rows, part.Cols)
	}
}

func softmaxColumnsGeneric(x view, scale float32, rows, cols int) {
	for j := range cols {
		largest := float32(math.Inf(-1))
		for i := range rows {
			largest = max(largest, *element[float32](x, i, j))
		}
		var sum float32
		for i := range rows {
			e := element[float32](x, i, j)
			*e = float32(math.Exp(float64(scale * (*e - largest))))
			sum += *e
		}
		for i := range rows {
			*element[float32](x, i, j) /= sum
		}
	}
}

// SoftmaxColumnsBackward is SoftmaxRowsBackward down each column:
//
//	g[i][j] = scale y[i][j] (g[i][j] - sum over l of g[l][j] y[l][j])
func (k *Kernels) SoftmaxColumnsBackward(g, y Matrix, scale float32) {
	y.check("y", y.Rows, y.Cols)
	g.check("g", y.Rows, y.Cols)
	for from, to := range columnBlocks(y.Rows, y.Cols) {
		g, y := g.Columns(from, to), y.Columns(from, to)
		k.softmaxColumnsBackward(g.view(), y.view(), scale, y.Rows, y.Cols)
	}
}

func softmaxColumnsBackwardGeneric(g, y view, scale float32, rows, cols int) {
	for j := range cols {
		var mean float32
		for i := range rows {
			mean += *element[float32](g, i, j) * *element[float32](y, i, j)
		}
		for i := range rows {
			g := element[float32](g, i, j)
			*g = scale * *element[float32](y, i, j) * (*g - mean)
		}
	}
}
