package patchtst

import "math"

// activate is the function between the two linear layers of a feed-forward
// block, gelu or relu.
func activate(name string, y, x []float32) {
	if name == "relu" {
		relu(y, x)
	} else {
		gelu(y, x)
	}
}

// activateBackward turns the gradient of activate's y into that of its x.
func activateBackward(name string, gradient, x []float32) {
	if name == "relu" {
		reluBackward(gradient, x)
	} else {
		geluBackward(gradient, x)
	}
}

// gelu is y = x Phi(x) with the normal distribution itself, not its tanh
// approximation.
func gelu(y, x []float32) {
	for i, v := range x {
		y[i] = v * float32(0.5*(1+math.Erf(float64(v)/math.Sqrt2)))
	}
}

// geluBackward is g = g (Phi(x) + x phi(x)).
func geluBackward(gradient, x []float32) {
	const density = 1 / (math.Sqrt2 * math.SqrtPi) // of the normal distribution at 0
	for i, v := range x {
		x := float64(v)
		slope := 0.5*(1+math.Erf(x/math.Sqrt2)) + x*density*math.Exp(-0.5*x*x)
		gradient[i] *= float32(slope)
	}
}

// relu is y = max(x, 0).
func relu(y, x []float32) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

// reluBackward is g = g where x is above 0, else 0.
func reluBackward(gradient, x []float32) {
	for i, v := range x {
		if v <= 0 {
			gradient[i] = 0
		}
	}
}
