package patchtst

import (
	"math"

	"fettle/patchtst/internal/kernel"
)

// AdamW's constants, PyTorch's defaults.
const (
	adamBeta1   = 0.9
	adamBeta2   = 0.999
	adamEpsilon = 1e-8
)

// newAdamStep is what AdamW's formula needs in step t = 1, 2, ... gradientScale
// is what clipping leaves of the gradient.
func newAdamStep(rate, weightDecay, gradientScale float64, t int) kernel.AdamStep {
	// The kernel takes float32(1) - float32(beta2) for 1 - beta2, which is 5e-5
	// too large, and with it every v.
	const rest = (1 - float64(float32(adamBeta2))) / (1 - adamBeta2)
	return kernel.AdamStep{
		GradientScale: float32(gradientScale),
		Decay:         float32(1 - rate*weightDecay),
		Size:          float32(rate / (1 - math.Pow(adamBeta1, float64(t)))),
		Root:          float32(1 / math.Sqrt(rest*(1-math.Pow(adamBeta2, float64(t))))),
		Beta1:         adamBeta1, Beta2: adamBeta2, Epsilon: adamEpsilon,
	}
}
