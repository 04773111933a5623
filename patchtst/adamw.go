package patchtst

import "math"

// AdamW's constants, PyTorch's defaults.
const (
	adamBeta1   = 0.9
	adamBeta2   = 0.999
	adamEpsilon = 1e-8
)

// adamStep is what AdamW's formula needs in one step, t = 1, 2, ...
type adamStep struct {
	gradientScale float32 // what clipping leaves of the gradient
	decay         float32 // 1 - rate weightDecay
	size          float32 // rate / (1 - beta1^t)
	root          float32 // sqrt(1 - beta2^t)
}

func newAdamStep(rate, weightDecay, gradientScale float64, t int) adamStep {
	return adamStep{
		gradientScale: float32(gradientScale),
		decay:         float32(1 - rate*weightDecay),
		size:          float32(rate / (1 - math.Pow(adamBeta1, float64(t)))),
		root:          float32(math.Sqrt(1 - math.Pow(adamBeta2, float64(t)))),
	}
}

// adamW changes the weights w by their gradients g; m and v are the running
// means of g and g squared (Loshchilov, Hutter 2019):
//
//	w = w decay
//	m = beta1 m + (1-beta1) g
//	v = beta2 v + (1-beta2) g g
//	w = w - size m / (sqrt(v)/root + eps)
func adamW(w, m, v, gradient []float32, s adamStep) {
	m, v, gradient = m[:len(w)], v[:len(w)], gradient[:len(w)]
	for i := range w {
		g := gradient[i] * s.gradientScale
		m[i] += (1 - adamBeta1) * (g - m[i])
		v[i] = adamBeta2*v[i] + (1-adamBeta2)*g*g
		root := float32(math.Sqrt(float64(v[i])))
		w[i] = w[i]*s.decay - s.size*m[i]/(root/s.root+adamEpsilon)
	}
}

// sumSquares is the sum of the squares, in float64: it decides on clipping for
// all tensors together.
func sumSquares(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}
