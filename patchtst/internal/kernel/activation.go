package kernel

import "math"

// GELU is x Phi(x) with the normal distribution itself, not its tanh
// approximation:
//
//	y[i] = x[i] * 0.5 * (1 + erf(x[i] / sqrt 2))
//
// Assembly is off by at most 1.5e-7 max(1, |x|), and by 3e-6 of y itself above
// x = -10. y may be x.
func (k *Kernels) GELU(y, x []float32) {
	checkLen("x", len(x), len(y))
	for from, to := range chunks(len(y)) {
		k.gelu(y[from:to], x[from:to])
	}
}

func geluGeneric(y, x []float32) {
	for i, v := range x {
		y[i] = float32(float64(v) * normal(float64(v)))
	}
}

// normal is the normal distribution, Phi. Erfc keeps its digits where Phi is
// small.
func normal(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// GELUBackward turns the gradient g of GELU's y into that of its x, and
// computes y again, so that nobody need keep it:
//
//	g[i] *= Phi(x[i]) + x[i] phi(x[i])
//	y[i]  = x[i] Phi(x[i])
//
// where phi is the density of the normal distribution. Assembly's slope is off
// by at most 3e-7. y may be x.
func (k *Kernels) GELUBackward(g, y, x []float32) {
	checkLen("g", len(g), len(x))
	checkLen("y", len(y), len(x))
	for from, to := range chunks(len(x)) {
		k.geluBackward(g[from:to], y[from:to], x[from:to])
	}
}

func geluBackwardGeneric(g, y, x []float32) {
	const density = 1 / (math.Sqrt2 * math.SqrtPi) // of the normal distribution at 0
	for i, v := range x {
		x := float64(v)
		phi := normal(x)
		g[i] *= float32(phi + x*density*math.Exp(-0.5*x*x))
		y[i] = float32(x * phi)
	}
}

// ReLU is y[i] = max(x[i], 0), and a NaN stays one. y may be x.
func (k *Kernels) ReLU(y, x []float32) {
	checkLen("x", len(x), len(y))
	for from, to := range chunks(len(y)) {
		k.relu(y[from:to], x[from:to])
	}
}

func reluGeneric(y, x []float32) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

// ReLUBackward turns the gradient g of ReLU's y into that of its x:
//
//	if x[i] <= 0 { g[i] = 0 }
func (k *Kernels) ReLUBackward(g, x []float32) {
	checkLen("x", len(x), len(g))
	for from, to := range chunks(len(g)) {
		k.reluBackward(g[from:to], x[from:to])
	}
}

func reluBackwardGeneric(g, x []float32) {
	for i, v := range x {
		if v <= 0 {
			g[i] = 0
		}
	}
}
