package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
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

// BenchmarkProducts prints GFLOP/s and the share of the peak, measured in turn
// with a loop that does nothing but multiply and add.
//
//	go test -bench Products -benchtime 1x ./patchtst/internal/kernel
func BenchmarkProducts(b *testing.B) {
	for _, k := range Available() {
		for _, s := range []struct{ rows, in, out int }{
			{138, 128, 384}, {138, 128, 128}, {138, 128, 256}, {138, 256, 128},
			{552, 128, 384}, {552, 256, 128},
			{2382, 256, 256}, {2382, 256, 768}, {2382, 256, 512}, {2382, 512, 256},
			{23, 32, 23}, {23, 23, 32},
		} {
			for _, form := range []string{"Multiply", "MultiplyPanels", "MultiplyTransposed"} {
				b.Run(fmt.Sprintf("%s/%s/%dx%dx%d", k, form, s.rows, s.in, s.out), func(b *testing.B) {
					benchProduct(b, k, form, s.rows, s.in, s.out)
				})
			}
		}
	}
}

func benchProduct(b *testing.B, k *Kernels, form string, rows, in, out int) {
	r := rand.New(rand.NewPCG(1, 1))
	x, _ := randomMatrix(r, rows, in, in, 0)
	y, _ := randomMatrix(r, rows, out, out, 0)
	w, _ := randomMatrix(r, in, out, out, 0)
	panels := k.Pack(make([]float32, k.PanelsLen(in, out)), w)
	work := map[string]func(){
		"Multiply":           func() { k.Multiply(y, x, w, Matrix{}) },
		"MultiplyPanels":     func() { k.MultiplyPanels(y, x, panels, Matrix{}) },
		"MultiplyTransposed": func() { k.MultiplyTransposed(w, x, y, w) },
	}[form]
	flop := 2 * float64(rows) * float64(in) * float64(out)
	once := best(3, work)[0]
	calls := max(1, int(50e-6/once))
	const turns = 4000
	for b.Loop() {
		seconds := best(300, func() {
			for range calls {
				work()
			}
		}, func() { k.peak(turns) })
		rate, peak := flop*float64(calls)/seconds[0], float64(turns*k.turnFlop)/seconds[1]
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(rate/1e9, "GFLOP/s")
		b.ReportMetric(peak/1e9, "peak")
		b.ReportMetric(100*rate/peak, "%peak")
	}
}
