package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// best runs the functions in turn, rounds times, and answers the shortest
// time of each: on a shared machine the only one that says something.
func best(rounds int, work ...func()) []float64 {
	shortest := make([]float64, len(work))
	for i := range shortest {
		shortest[i] = math.Inf(1)
	}
	for range rounds {
		for i, f := range work {
			start := time.Now()
			f()
			shortest[i] = min(shortest[i], time.Since(start).Seconds())
		}
	}
	return shortest
}

// modelShapes are the products of linear layers in a training step: rows, in,
// out; then those of attention, one head of one channel.
var modelShapes = [][3]int{
	{138, 128, 128}, {138, 128, 384}, {138, 128, 256}, {138, 256, 128}, // deployed, one sample
	{552, 128, 384}, {552, 256, 128}, // four samples
	{2382, 256, 256}, {2382, 256, 768}, {2382, 256, 512}, {2382, 512, 256}, // research, one sample
	{397, 256, 256}, {397, 256, 768}, {397, 256, 512}, {397, 512, 256}, // one channel of it
	{23, 32, 23}, {23, 23, 32}, {397, 64, 32}, {397, 32, 64},
	{138, 5, 128}, {138, 5, 384}, // patches
}

// BenchmarkProducts prints GFLOP/s and the share of the peak, measured in turn
// with a loop that does nothing but multiply and add.
//
//	go test -bench Products -benchtime 1x ./patchtst/internal/kernel
func BenchmarkProducts(b *testing.B) {
	for _, k := range Available() {
		for _, s := range modelShapes {
			rows, in, out := s[0], s[1], s[2]
			for form, work := range products(k, rows, in, out) {
				b.Run(fmt.Sprintf("%s/%s/%dx%dx%d", k, form, rows, in, out), func(b *testing.B) {
					peak, turnFlop := k.peak, k.turnFlop
					if strings.HasSuffix(form, "Pairs") {
						peak, turnFlop = k.peakPairs, 2*k.turnFlop
					}
					flop := 2 * float64(rows) * float64(in) * float64(out)
					once := best(3, work)[0]
					calls, rounds := max(1, int(50e-6/once)), max(30, min(300, int(0.1/once)))
					const turns = 4000
					for b.Loop() {
						seconds := best(rounds, func() {
							for range calls {
								work()
							}
						}, func() { peak(turns) })
						rate, most := flop*float64(calls)/seconds[0], float64(turns*turnFlop)/seconds[1]
						b.ReportMetric(0, "ns/op")
						b.ReportMetric(rate/1e9, "GFLOP/s")
						b.ReportMetric(most/1e9, "peak")
						b.ReportMetric(100*rate/most, "%peak")
					}
				})
			}
		}
	}
}

// products are the ways to multiply of one implementation.
func products(k *Kernels, rows, in, out int) map[string]func() {
	r := rand.New(rand.NewPCG(1, 1))
	x, _ := randomMatrix(r, rows, in, in, 0)
	y, _ := randomMatrix(r, rows, out, out, 0)
	w, _ := randomMatrix(r, in, out, out, 0)
	panels := k.Pack(make([]float32, k.PanelsLen(in, out)), w)
	forms := map[string]func(){
		"Multiply":           func() { k.Multiply(y, x, w, Matrix{}) },
		"MultiplyPanels":     func() { k.MultiplyPanels(y, x, panels, Matrix{}) },
		"MultiplyTransposed": func() { k.MultiplyTransposed(w, x, y, w) },
	}
	if k.HasBF16() {
		pairs := func(rows, cols int) MatrixOf[Pair] { return Dense(make([]Pair, rows*cols), rows, cols) }
		x2, w2, xt, yt := pairs(rows, (in+1)/2), pairs((in+1)/2, out), pairs((rows+1)/2, in), pairs((rows+1)/2, out)
		panels := PanelsOf[Pair]{make([]Pair, k.PanelsLen((in+1)/2, out)), (in + 1) / 2, out, k.width}
		forms["MultiplyPairs"] = func() { k.MultiplyPairs(y, x2, w2, Matrix{}) }
		forms["MultiplyPanelsPairs"] = func() { k.MultiplyPanelsPairs(y, x2, panels, Matrix{}) }
		forms["MultiplyTransposedPairs"] = func() { k.MultiplyTransposedPairs(w, xt, yt, w) }
	}
	return forms
}

// BenchmarkLoops prints nanoseconds a number of 138 x 128, of which a sample of
// the deployed model has one for each activation.
func BenchmarkLoops(b *testing.B) {
	const rows, cols = 138, 128
	for _, k := range Available()[1:] {
		for _, l := range append(append([]loop(nil), vectorLoops...), matrixLoops...) {
			r := rand.New(rand.NewPCG(1, 1))
			var buffers []Matrix
			var columns [][]float32
			for range l.buffers {
				m, _ := randomMatrix(r, rows, cols, cols, 0)
				buffers = append(buffers, m)
			}
			for range l.columns {
				c, _ := randomMatrix(r, 1, cols, cols, 0)
				columns = append(columns, c.Data)
			}
			benchNumbers(b, k.String()+"/"+l.name, rows*cols, func() { l.run(k, buffers, columns) })
		}
	}
}

// BenchmarkMoves is the kernels that move or convert, and those that answer
// float64 sums.
func BenchmarkMoves(b *testing.B) {
	const rows, cols = 138, 128
	x, y := make([]float32, rows*cols), make([]float32, rows*cols)
	halves, pairs := make([]BF16, rows*cols), make([]Pair, rows*cols)
	square32 := make([]float32, rows*cols)
	sum, square, column := make([]float64, cols), make([]float64, cols), make([]float32, cols)
	m, head := Dense(x, rows, cols), Dense(x, 23, 32)
	for _, k := range Available()[1:] {
		for name, work := range map[string]func(){
			"Moments":       func() { k.Moments(sum, square, m) },
			"BatchNormSums": func() { k.BatchNormSums(sum, square, m, m, column, column) },
			"AdamW": func() {
				k.AdamW(y, x, square32, y, AdamStep{GradientScale: 1, Decay: 1, Size: 1e-9, Root: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8})
			},
			"SumSquares":     func() { k.SumSquares(x) },
			"Transpose":      func() { k.Transpose(Dense(y, cols, rows), m) },
			"PackTransposed": func() { k.PackTransposed(y, Dense(x, 128, 128)) },
			"RoundBF16":      func() { k.RoundBF16(halves, x) },
			"WidenBF16":      func() { k.WidenBF16(x, halves) },
			"PairRows":       func() { k.PairRows(Dense(pairs, rows/2, cols), m) },
			"PairRowsBF16":   func() { k.PairRowsBF16(Dense(pairs, rows/2, cols), Dense(halves, rows, cols)) },
		} {
			benchNumbers(b, k.String()+"/"+name, rows*cols, work)
		}
		benchNumbers(b, k.String()+"/Transpose 23 x 32", 23*32, func() { k.Transpose(Dense(y, 32, 23), head) })
		benchNumbers(b, k.String()+"/SoftmaxColumns 23 x 32", 23*32, func() { k.SoftmaxColumns(head, 1) })
	}
}

func benchNumbers(b *testing.B, name string, numbers int, work func()) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			const times = 10
			seconds := best(300, func() {
				for range times {
					work()
				}
			})
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(1e9*seconds[0]/float64(times*numbers), "ns/number")
		}
	})
}
