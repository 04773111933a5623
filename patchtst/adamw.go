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
	return kernel.AdamStep{
		GradientScale: float32(gradientScale),
		Decay:         float32(1 - rate*weightDecay),
		Size:          float32(rate / (1 - math.Pow(adamBeta1, float64(t)))),
		Root:          float32(1 / math.Sqrt(1-math.Pow(adamBeta2, float64(t)))),
		Beta1:         adamBeta1, Beta2: adamBeta2, Epsilon: adamEpsilon,
	}
}
