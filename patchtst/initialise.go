package patchtst

import (
	"math"
	"math/rand/v2"
)

// learnedDeviation is the standard deviation of a new learned position table:
// that of the fixed one. transformers 4.38 starts there too; 5.23 starts at 1,
// which drowns the patches.
const learnedDeviation = 0.1

// initialise gives a tensor the numbers that training starts from. Each tensor
// has a generator of its own, so that one more layer does not change another's
// weights.
func initialise(t named, c Config, seed uint64) {
	switch t.role {
	case weightRole:
		drawNormal(t, c.InitDeviation, seed)
	case learnedTable:
		drawNormal(t, learnedDeviation, seed)
	case oneRole, varianceRole:
		for i := range t.values {
			t.values[i] = 1
		}
	case fixedTable:
		fillSincos(t.values, t.shape[0], t.shape[1])
	}
}

// drawNormal draws numbers of a normal distribution around 0.
func drawNormal(t named, deviation float64, seed uint64) {
	name := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(t.name) {
		name = (name ^ uint64(b)) * 1099511628211
	}
	r := rand.New(rand.NewPCG(seed, name))
	for i := range t.values {
		t.values[i] = float32(r.NormFloat64() * deviation)
	}
}

// fillSincos makes the fixed position table: sines and cosines of the row,
// ever slower to the right, shifted to mean 0 and scaled to deviation 0.1 over
// the whole table at once.
func fillSincos(table []float32, rows, width int) {
	values := make([]float64, rows*width)
	var sum float64
	for n := range rows {
		for i := 0; i < width; i += 2 {
			s, c := math.Sincos(float64(n) * math.Exp(-float64(i)*math.Log(10000)/float64(width)))
			values[n*width+i], values[n*width+i+1] = s, c
			sum += s + c
		}
	}
	mean, squares := sum/float64(len(values)), 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	deviation := math.Sqrt(squares / float64(len(values)-1))
	for i, v := range values {
		table[i] = float32((v - mean) / (10 * deviation))
	}
}
