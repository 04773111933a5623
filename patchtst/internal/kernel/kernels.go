package kernel

import (
	"math"
	"time"
)

// Kernels are the kernels in one implementation. The zero value is useless:
// take them from Available, Fastest or Generic.
type Kernels struct {
	name     string
	bf16     bool // multiplies bfloat16 in hardware
	width    int  // columns of a panel
	tileRows int  // rows of the tallest tile of a product

	product, productT           shapes
	productPairs, productTPairs shapes

	add          func(y, x []float32)
	addScaled    func(y []float32, a float32, x []float32)
	scale        func(y []float32, a float32)
	dot          func(x, y []float32) float32
	sumSquares   func(x []float32) float64
	adamW        func(w, m, v, g []float32, s adamFactors)
	drop         func(x []float32, d Dropout, first uint32)
	gelu         func(y, x []float32)
	geluBackward func(g, y, x []float32)
	relu         func(y, x []float32)
	reluBackward func(g, x []float32)

	softmaxRows, softmaxColumns                 func(x view, scale float32, rows, cols int)
	softmaxRowsBackward, softmaxColumnsBackward func(g, y view, scale float32, rows, cols int)

	moments           func(sum, square []float64, x view, rows int)
	columnSums        func(sum []float32, x view, rows int)
	scaleShift        func(y, x view, scale, shift []float32, rows int)
	batchNormSums     func(sum, product []float64, g, x view, mean, inverse []float32, rows int)
	batchNormBackward func(dx, g, x view, n BatchNormGradient, rows int)
	layerNorm         func(y, x view, weight, bias []float32, epsilon float32, rows int)
	layerNormBackward func(dx view, dWeight, dBias []float32, g, x view, weight []float32, epsilon float32, rows int)

	transpose              func(dst, src view, rows, cols int)
	roundBF16              func(dst []BF16, src []float32)
	widenBF16              func(dst []float32, src []BF16)
	pairRows, pairRowsBF16 func(dst, src view, rows, cols int)

	peak, peakPairs func(turns int) // multiply and add only
	turnFlop        int             // floating-point operations of a turn of peak
}

// String is the implementation's name: generic, avx2, avx512, avx512bf16.
func (k *Kernels) String() string { return k.name }

// Generic is the implementation in plain Go, which every processor has.
func Generic() *Kernels {
	all := func(f tileKernel) shapes { return shapes{f, f, f} }
	return &Kernels{
		name:     "generic",
		width:    genericWidth,
		tileRows: genericRows,

		product: all(productGeneric), productT: all(productTGeneric),
		productPairs: all(productPairsGeneric), productTPairs: all(productTPairsGeneric),

		add: addGeneric, addScaled: addScaledGeneric, scale: scaleGeneric, dot: dotGeneric, sumSquares: sumSquaresGeneric,
		adamW: adamWGeneric, drop: dropGeneric,
		gelu: geluGeneric, geluBackward: geluBackwardGeneric, relu: reluGeneric, reluBackward: reluBackwardGeneric,

		softmaxRows: softmaxRowsGeneric, softmaxRowsBackward: softmaxRowsBackwardGeneric,
		softmaxColumns: softmaxColumnsGeneric, softmaxColumnsBackward: softmaxColumnsBackwardGeneric,

		moments: momentsGeneric, columnSums: columnSumsGeneric, scaleShift: scaleShiftGeneric,
		batchNormSums: batchNormSumsGeneric, batchNormBackward: batchNormBackwardGeneric,
		layerNorm: layerNormGeneric, layerNormBackward: layerNormBackwardGeneric,

		transpose: transposeGeneric, roundBF16: roundBF16Generic, widenBF16: widenBF16Generic,
		pairRows: pairRowsGeneric, pairRowsBF16: pairRowsBF16Generic,

		peak: peakGeneric, peakPairs: peakGeneric, turnFlop: 16,
	}
}

// Available are all implementations that this processor has, the one that
// should be the fastest last.
func Available() []*Kernels { return append([]*Kernels{Generic()}, vectorised()...) }

// Named is the available implementation of that name: so that a training run
// goes on, to the bit, with the kernels that it began with.
func Named(name string) (k *Kernels, ok bool) {
	for _, k := range Available() {
		if k.name == name {
			return k, true
		}
	}
	return nil, false
}

// Fastest is the available implementation that multiplies matrices fastest. A
// later one of Available is taken unless it is clearly slower, which would be
// an old processor that turns its clock down for wide registers; so the choice
// is the same each time. It takes about a millisecond.
func Fastest() *Kernels {
	fastest, most := Generic(), 0.0
	for _, k := range vectorised() {
		if rate, _ := k.Speed(); rate > 0.8*most {
			fastest, most = k, max(most, rate)
		}
	}
	return fastest
}

// Speed measures the operations a second, in one thread, of products of float32
// and of bfloat16 (0 where HasBF16 is false) of the size that a small
// transformer has. A multiplication and an addition are two operations.
func (k *Kernels) Speed() (float32s, bfloat16s float64) {
	const rows, width, tries = 132, 128, 8
	fastest := func(work func()) float64 {
		shortest := math.Inf(1)
		for range tries {
			start := time.Now()
			work()
			shortest = min(shortest, time.Since(start).Seconds())
		}
		return 2 * rows * width * width / shortest
	}
	a, w := make([]float32, rows*width), make([]float32, width*width)
	c := Dense(make([]float32, rows*width), rows, width)
	float32s = fastest(func() { k.Multiply(c, Dense(a, rows, width), Dense(w, width, width), Matrix{}) })
	if k.bf16 {
		a, w := make([]Pair, rows*width/2), make([]Pair, width/2*width)
		bfloat16s = fastest(func() { k.MultiplyPairs(c, Dense(a, rows, width/2), Dense(w, width/2, width), Matrix{}) })
	}
	return float32s, bfloat16s
}
