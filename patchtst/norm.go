package patchtst

import "math"

// The loops of normalisation, over rows of D features. What they are called
// for, and when, stands in normalizer.go.

// momentSums adds the sum and the sum of squares of each column to sum and
// square. They are float64: a variance is a small difference of large sums.
func momentSums(sum, square []float64, x matrix) {
	for r := range x.rows {
		for i, v := range x.row(r) {
			v := float64(v)
			sum[i] += v
			square[i] += v * v
		}
	}
}

// scaleShift is y = x scale + shift, feature by feature. y may be x.
func scaleShift(y, x matrix, scale, shift []float32) {
	for r := range x.rows {
		y, x := y.row(r), x.row(r)
		for i, s := range scale {
			y[i] = x[i]*s + shift[i]
		}
	}
}

// batchNormSums adds to sum the gradient g of each feature, and to product
// g z, with z = (x - mean) inverse: which are the gradients of a batch norm's
// bias and weight.
func batchNormSums(sum, product []float64, gradient, x matrix, mean, inverse []float32) {
	for r := range x.rows {
		g, x := gradient.row(r), x.row(r)
		for i, v := range g {
			sum[i] += float64(v)
			product[i] += float64(v * ((x[i] - mean[i]) * inverse[i]))
		}
	}
}

// batchNormBackward adds to dx the gradient of a batch norm's input,
//
//	factor (g - meanG - z meanGZ),   z = (x - mean) inverse
//
// in which the batch's statistics are functions of x themselves: meanG and
// meanGZ are the means over all rows of g and of g z.
func batchNormBackward(dx, gradient, x matrix, n *normalizer) {
	for r := range x.rows {
		dx, g, x := dx.row(r), gradient.row(r), x.row(r)
		for i, factor := range n.scale {
			z := (x[i] - n.mean[i]) * n.inverse[i]
			dx[i] += factor * (g[i] - n.meanG[i] - z*n.meanGZ[i])
		}
	}
}

// layerNorm normalises each row by its own mean and variance:
//
//	y = (x - mean) / sqrt(variance + eps) weight + bias
func layerNorm(y, x matrix, weight, bias []float32, epsilon float64) {
	for r := range x.rows {
		y, x := y.row(r), x.row(r)
		mean, inverse := rowMoments(x, epsilon)
		for i, v := range x {
			y[i] = (v-mean)*inverse*weight[i] + bias[i]
		}
	}
}

// layerNormBackward adds the gradients of the input, the weight and the bias
// to dx, dWeight and dBias:
//
//	dx = inverse (h - mean(h) - z mean(h z)),   h = g weight,   z = (x - mean) inverse
func layerNormBackward(dx matrix, dWeight, dBias []float32, gradient, x matrix, weight []float32, epsilon float64) {
	for r := range x.rows {
		dx, g, x := dx.row(r), gradient.row(r), x.row(r)
		mean, inverse := rowMoments(x, epsilon)
		var sumH, sumHZ float64
		for i, v := range x {
			z, h := (v-mean)*inverse, g[i]*weight[i]
			sumH += float64(h)
			sumHZ += float64(h * z)
			dWeight[i] += g[i] * z
			dBias[i] += g[i]
		}
		meanH, meanHZ := float32(sumH/float64(len(x))), float32(sumHZ/float64(len(x)))
		for i, v := range x {
			z, h := (v-mean)*inverse, g[i]*weight[i]
			dx[i] += inverse * (h - meanH - z*meanHZ)
		}
	}
}

// rowMoments are a row's mean and 1/sqrt(variance + eps).
func rowMoments(x []float32, epsilon float64) (mean, inverse float32) {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	center := sum / float64(len(x))
	for _, v := range x {
		d := float64(v) - center
		squares += d * d
	}
	return float32(center), float32(1 / math.Sqrt(squares/float64(len(x))+epsilon))
}
