package patchtst

import (
	"math"

	"fettle/patchtst/internal/kernel"
)

// normalizer is a norm at work: what its weights and statistics come to for
// the rows at hand.
type normalizer struct {
	norm    *norm
	layer   bool // layer normalisation; else batch normalisation
	epsilon float64

	// Of batch normalisation, which is y = x scale + shift once its statistics
	// are known: the running ones in a forecast, the batch's in training.
	scale, shift []float32 // (D)

	// Of batch normalisation in training:
	mean, inverse []float32 // (D) the batch's mean and 1/sqrt(variance + eps)
	meanG, slope  []float32 // (D) what the way back takes off, see kernel.BatchNormGradient
}

func newNormalizers(a *arena, c Config, blocks []block, training bool) []normalizer {
	list := make([]normalizer, len(blocks))
	for i := range blocks {
		n := &list[i]
		*n = normalizer{norm: &blocks[i].norm, layer: c.Norm == "layernorm", epsilon: c.NormEpsilon}
		if n.layer {
			continue
		}
		n.scale, n.shift = a.take(c.ModelWidth), a.take(c.ModelWidth)
		if training {
			n.mean, n.inverse = a.take(c.ModelWidth), a.take(c.ModelWidth)
			n.meanG, n.slope = a.take(c.ModelWidth), a.take(c.ModelWidth)
		}
	}
	return list
}

// useRunning takes the running statistics, as a forecast does.
func (n *normalizer) useRunning() {
	for i := range n.scale {
		scale := float64(n.norm.weight[i]) / math.Sqrt(float64(n.norm.variance[i])+n.epsilon)
		n.scale[i] = float32(scale)
		n.shift[i] = float32(float64(n.norm.bias[i]) - float64(n.norm.mean[i])*scale)
	}
}

// How much of a running statistic one batch replaces: PyTorch's momentum.
const runningShare = 0.1

// useBatch takes the statistics of a batch, from kernel.Moments over all of its
// rows, and moves the running ones towards them. A batch is normalised by its
// own biased variance; the running variance follows the unbiased one.
func (n *normalizer) useBatch(sum, square []float64, rows int) {
	count := float64(rows)
	unbias := count / max(count-1, 1)
	for i := range n.scale {
		mean := sum[i] / count
		variance := max(square[i]/count-mean*mean, 0)
		if math.IsNaN(square[i]) {
			variance = math.NaN()
		}
		inverse := 1 / math.Sqrt(variance+n.epsilon)
		scale := float64(n.norm.weight[i]) * inverse
		n.mean[i], n.inverse[i] = float32(mean), float32(inverse)
		n.scale[i], n.shift[i] = float32(scale), float32(float64(n.norm.bias[i])-mean*scale)
		n.norm.mean[i] += runningShare * (float32(mean) - n.norm.mean[i])
		n.norm.variance[i] += runningShare * (float32(variance*unbias) - n.norm.variance[i])
	}
}

// forward is y = norm(x), row by row.
func (n *normalizer) forward(k *kernel.Kernels, y, x matrix) {
	if n.layer {
		k.LayerNorm(y, x, n.norm.weight, n.norm.bias, float32(n.epsilon))
	} else {
		k.ScaleShift(y, x, n.scale, n.shift)
	}
}

// useGradient takes what kernel.BatchNormSums found over all rows of the batch: the
// gradients of bias and weight.
func (n *normalizer) useGradient(sum, product []float64, rows int, gradient *norm) {
	for i := range n.meanG {
		gradient.bias[i] += float32(sum[i])
		gradient.weight[i] += float32(product[i])
		n.meanG[i] = float32(sum[i] / float64(rows))
		n.slope[i] = float32(product[i] / float64(rows) * float64(n.inverse[i]))
	}
}

// backward adds the gradient of x to dx. Layer normalisation adds those of its
// weights to gradient; batch normalisation, whose rows depend on each other,
// has done that in useGradient.
func (n *normalizer) backward(k *kernel.Kernels, dx, gradientY, x matrix, gradient *norm) {
	if n.layer {
		k.LayerNormBackward(dx, gradient.weight, gradient.bias, gradientY, x, n.norm.weight, float32(n.epsilon))
	} else {
		k.BatchNormBackward(dx, gradientY, x, kernel.BatchNormGradient{Factor: n.scale, Mean: n.mean, MeanG: n.meanG, Slope: n.slope})
	}
}
