package kernel

import "math"

// Loops over vectors of any length. Slices of one call are equally long; they
// may be the same but must not overlap otherwise.

// Add is y[i] += x[i].
func (k *Kernels) Add(y, x []float32) {
	checkLen("x", len(x), len(y))
	for from, to := range chunks(len(y)) {
		k.add(y[from:to], x[from:to])
	}
}

func addGeneric(y, x []float32) {
	for i := range y {
		y[i] += x[i]
	}
}

// AddScaled is y[i] += a * x[i].
func (k *Kernels) AddScaled(y []float32, a float32, x []float32) {
	checkLen("x", len(x), len(y))
	for from, to := range chunks(len(y)) {
		k.addScaled(y[from:to], a, x[from:to])
	}
}

func addScaledGeneric(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += a * x[i]
	}
}

// Scale is y[i] *= a.
func (k *Kernels) Scale(y []float32, a float32) {
	for from, to := range chunks(len(y)) {
		k.scale(y[from:to], a)
	}
}

func scaleGeneric(y []float32, a float32) {
	for i := range y {
		y[i] *= a
	}
}

// Dot is the sum of x[i] * y[i], in float32 with several sums side by side.
func (k *Kernels) Dot(x, y []float32) float32 {
	checkLen("y", len(y), len(x))
	var sum float64
	for from, to := range chunks(len(x)) {
		sum += float64(k.dot(x[from:to], y[from:to]))
	}
	return float32(sum)
}

func dotGeneric(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// SumSquares is the sum of x[i] * x[i], in float64: it decides on clipping for
// all tensors together.
func (k *Kernels) SumSquares(x []float32) float64 {
	var sum float64
	for from, to := range chunks(len(x)) {
		sum += k.sumSquares(x[from:to])
	}
	return sum
}

func sumSquaresGeneric(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// AdamStep is what AdamW's formula needs in one step, t = 1, 2, ...
type AdamStep struct {
	GradientScale float32 // what clipping leaves of the gradient
	Decay         float32 // 1 - rate weightDecay
	Size          float32 // rate / (1 - beta1^t)
	Root          float32 // 1 / sqrt(1 - beta2^t)
	Beta1, Beta2  float64 // float32 would lose what 1 - Beta2 consists of
	Epsilon       float32
}

// AdamW changes the weights w by their gradients g; m and v are the running
// means of g and g squared (Loshchilov, Hutter 2019):
//
//	g    = g[i] * GradientScale
//	m[i] = m[i] + (1 - Beta1) (g - m[i])
//	v[i] = Beta2 v[i] + (1 - Beta2) g g
//	w[i] = Decay w[i] - Size m[i] / (sqrt(v[i]) Root + Epsilon)
func (k *Kernels) AdamW(w, m, v, g []float32, s AdamStep) {
	checkLen("m", len(m), len(w))
	checkLen("v", len(v), len(w))
	checkLen("g", len(g), len(w))
	factors := adamFactors{
		gradientScale: s.GradientScale, decay: s.Decay, size: s.Size, root: s.Root, epsilon: s.Epsilon,
		rest1: float32(1 - s.Beta1), beta2: float32(s.Beta2), rest2: float32(1 - s.Beta2),
	}
	for from, to := range chunks(len(w)) {
		k.adamW(w[from:to], m[from:to], v[from:to], g[from:to], factors)
	}
}

// adamFactors are an AdamStep as the loop takes it.
type adamFactors struct {
	gradientScale, decay, size, root, epsilon float32
	rest1, beta2, rest2                       float32 // 1 - Beta1, Beta2, 1 - Beta2
}

func adamWGeneric(w, m, v, g []float32, s adamFactors) {
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	for i := range w {
		g := g[i] * s.gradientScale
		m[i] += s.rest1 * (g - m[i])
		v[i] = s.beta2*v[i] + s.rest2*g*g
		root := float32(math.Sqrt(float64(v[i])))
		w[i] = s.decay*w[i] - s.size*m[i]/(root*s.root+s.epsilon)
	}
}

// Dropout is what Drop needs of one place of dropout.
type Dropout struct {
	Threshold uint32  // the chance to fall, in 2^-32
	Scale     float32 // what the others grow by, 1/(1-chance)
	Key       uint64
}

// Drop is dropout: each number becomes 0 with a chance of Threshold 2^-32, the
// others grow by Scale.
//
//	if hash(uint32(first+i)*0x9E3779B1+low)^high < Threshold {
//		x[i] = 0
//	} else {
//		x[i] *= Scale
//	}
//
// where low and high are the key's halves. Which numbers fall depends on the
// key and on their place first+i alone: the backward pass calls Drop with the
// same key on the gradient, and no mask is kept.
func (k *Kernels) Drop(x []float32, d Dropout, first int) {
	for from, to := range chunks(len(x)) {
		k.drop(x[from:to], d, uint32(first+from))
	}
}

func dropGeneric(x []float32, d Dropout, first uint32) {
	low, high := uint32(d.Key), uint32(d.Key>>32)
	for i, v := range x {
		if hash((first+uint32(i))*0x9E3779B1+low)^high < d.Threshold {
			x[i] = 0
		} else {
			x[i] = v * d.Scale
		}
	}
}

// hash is MurmurHash3's last step: a bijection in which each bit of x turns
// half of the bits. It needs 32-bit multiplications only, of which a processor
// does many at once.
func hash(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x85EBCA6B
	x ^= x >> 13
	x *= 0xC2B2AE35
	return x ^ x>>16
}
