package kernel

import "math"

// Moments adds the sum and the sum of squares of each column to sum and square:
//
//	sum[j]    += sum over i of x[i][j]
//	square[j] += sum over i of x[i][j] x[i][j]
//
// They are float64: a variance is a small difference of large sums.
func (k *Kernels) Moments(sum, square []float64, x Matrix) {
	x.check("x", x.Rows, len(sum))
	checkLen("square", len(square), len(sum))
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		x := x.RowRange(from, to)
		k.moments(sum, square, x.view(), x.Rows)
	}
}

func momentsGeneric(sum, square []float64, x view, rows int) {
	for i := range rows {
		for j, v := range rowOf[float32](x, i, len(sum)) {
			v := float64(v)
			sum[j] += v
			square[j] += v * v
		}
	}
}

// ColumnSums adds the sum of each column, sum[j] += sum over i of x[i][j].
func (k *Kernels) ColumnSums(sum []float32, x Matrix) {
	x.check("x", x.Rows, len(sum))
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		x := x.RowRange(from, to)
		k.columnSums(sum, x.view(), x.Rows)
	}
}

func columnSumsGeneric(sum []float32, x view, rows int) {
	for i := range rows {
		for j, v := range rowOf[float32](x, i, len(sum)) {
			sum[j] += v
		}
	}
}

// ScaleShift is y[i][j] = x[i][j] scale[j] + shift[j]. y may be x.
func (k *Kernels) ScaleShift(y, x Matrix, scale, shift []float32) {
	x.check("x", x.Rows, len(scale))
	y.check("y", x.Rows, x.Cols)
	checkLen("shift", len(shift), len(scale))
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		y, x := y.RowRange(from, to), x.RowRange(from, to)
		k.scaleShift(y.view(), x.view(), scale, shift, x.Rows)
	}
}

func scaleShiftGeneric(y, x view, scale, shift []float32, rows int) {
	for i := range rows {
		y, x := rowOf[float32](y, i, len(scale)), rowOf[float32](x, i, len(scale))
		for j, s := range scale {
			y[j] = x[j]*s + shift[j]
		}
	}
}

// BatchNormSums adds up the gradients of a batch norm's bias and weight:
//
//	sum[j]     += sum over i of g[i][j]
//	product[j] += sum over i of g[i][j] z,   z = (x[i][j] - mean[j]) inverse[j]
//
// in float64, or rather, in assembly, in float32 for up to 64 rows and in float64
// from there on.
func (k *Kernels) BatchNormSums(sum, product []float64, g, x Matrix, mean, inverse []float32) {
	x.check("x", x.Rows, len(sum))
	g.check("g", x.Rows, x.Cols)
	checkLen("product", len(product), len(sum))
	checkLen("mean", len(mean), len(sum))
	checkLen("inverse", len(inverse), len(sum))
	for from, to := range pieces(x.Rows, min(64, max(1, maxChunk/max(x.Cols, 1)))) {
		g, x := g.RowRange(from, to), x.RowRange(from, to)
		k.batchNormSums(sum, product, g.view(), x.view(), mean, inverse, x.Rows)
	}
}

func batchNormSumsGeneric(sum, product []float64, g, x view, mean, inverse []float32, rows int) {
	for i := range rows {
		x := rowOf[float32](x, i, len(sum))
		for j, v := range rowOf[float32](g, i, len(sum)) {
			sum[j] += float64(v)
			product[j] += float64(v * ((x[j] - mean[j]) * inverse[j]))
		}
	}
}

// BatchNormGradient is, for each column, what the gradient of a batch norm's
// input needs.
type BatchNormGradient struct {
	Factor []float32 // weight inverse
	Mean   []float32 // of x
	MeanG  []float32 // of the gradient g
	Slope  []float32 // inverse times the mean of g z
}

// BatchNormBackward adds the gradient of a batch norm's input, whose statistics
// are functions of the input themselves:
//
//	dx[i][j] += Factor[j] (g[i][j] - MeanG[j] - (x[i][j] - Mean[j]) Slope[j])
func (k *Kernels) BatchNormBackward(dx, g, x Matrix, n BatchNormGradient) {
	x.check("x", x.Rows, len(n.Factor))
	g.check("g", x.Rows, x.Cols)
	dx.check("dx", x.Rows, x.Cols)
	checkLen("mean", len(n.Mean), x.Cols)
	checkLen("meanG", len(n.MeanG), x.Cols)
	checkLen("slope", len(n.Slope), x.Cols)
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		dx, g, x := dx.RowRange(from, to), g.RowRange(from, to), x.RowRange(from, to)
		k.batchNormBackward(dx.view(), g.view(), x.view(), n, x.Rows)
	}
}

func batchNormBackwardGeneric(dx, g, x view, n BatchNormGradient, rows int) {
	for i := range rows {
		cols := len(n.Factor)
		dx, g, x := rowOf[float32](dx, i, cols), rowOf[float32](g, i, cols), rowOf[float32](x, i, cols)
		for j, factor := range n.Factor {
			dx[j] += factor * (g[j] - n.MeanG[j] - (x[j]-n.Mean[j])*n.Slope[j])
		}
	}
}

// LayerNorm normalises each row by its own mean and variance:
//
//	y[i][j] = (x[i][j] - mean) / sqrt(variance + epsilon) weight[j] + bias[j]
//
// y may be x.
func (k *Kernels) LayerNorm(y, x Matrix, weight, bias []float32, epsilon float32) {
	x.check("x", x.Rows, len(weight))
	y.check("y", x.Rows, x.Cols)
	checkLen("bias", len(bias), len(weight))
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		y, x := y.RowRange(from, to), x.RowRange(from, to)
		k.layerNorm(y.view(), x.view(), weight, bias, epsilon, x.Rows)
	}
}

func layerNormGeneric(y, x view, weight, bias []float32, epsilon float32, rows int) {
	for i := range rows {
		y, x := rowOf[float32](y, i, len(weight)), rowOf[float32](x, i, len(weight))
		mean, inverse := rowMoments(x, epsilon)
		for j, v := range x {
			y[j] = (v-mean)*inverse*weight[j] + bias[j]
		}
	}
}

// LayerNormBackward adds the gradients of a layer norm's input, weight and bias:
//
//	dx[i][j]   += inverse (h[j] - mean(h) - z[j] mean(h z))
//	dWeight[j] += sum over i of g[i][j] z[j]
//	dBias[j]   += sum over i of g[i][j]
//
// where z = (x - mean) inverse, h = g weight, and inverse = 1 / sqrt(variance +
// epsilon), all of one row.
func (k *Kernels) LayerNormBackward(dx Matrix, dWeight, dBias []float32, g, x Matrix, weight []float32, epsilon float32) {
	x.check("x", x.Rows, len(weight))
	g.check("g", x.Rows, x.Cols)
	dx.check("dx", x.Rows, x.Cols)
	checkLen("dWeight", len(dWeight), len(weight))
	checkLen("dBias", len(dBias), len(weight))
	for from, to := range rowBlocks(x.Rows, x.Cols) {
		dx, g, x := dx.RowRange(from, to), g.RowRange(from, to), x.RowRange(from, to)
		k.layerNormBackward(dx.view(), dWeight, dBias, g.view(), x.view(), weight, epsilon, x.Rows)
	}
}

func layerNormBackwardGeneric(dx view, dWeight, dBias []float32, g, x view, weight []float32, epsilon float32, rows int) {
	cols := len(weight)
	for i := range rows {
		dx, g, x := rowOf[float32](dx, i, cols), rowOf[float32](g, i, cols), rowOf[float32](x, i, cols)
		mean, inverse := rowMoments(x, epsilon)
		var sumH, sumHZ float32
		for j, v := range x {
			z, h := (v-mean)*inverse, g[j]*weight[j]
			sumH += h
			sumHZ += h * z
			dWeight[j] += g[j] * z
			dBias[j] += g[j]
		}
		meanH, meanHZ := sumH/float32(cols), sumHZ/float32(cols)
		for j, v := range x {
			z, h := (v-mean)*inverse, g[j]*weight[j]
			dx[j] += inverse * (h - meanH - z*meanHZ)
		}
	}
}

// rowMoments are a row's mean and 1/sqrt(variance + epsilon).
func rowMoments(x []float32, epsilon float32) (mean, inverse float32) {
	var sum, squares float32
	for _, v := range x {
		sum += v
	}
	mean = sum / float32(len(x))
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	return mean, float32(1 / math.Sqrt(float64(squares/float32(len(x))+epsilon)))
}
