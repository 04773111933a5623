package patchtst

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// BenchmarkStep is one step of training of the two presets. On a shared
// machine the fastest step says more than the mean of all.
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct {
		name    string
		config  Config
		windows int
	}{
		{"deployed", Deployed(), 8}, {"deployed", Deployed(), 32}, {"deployed", Deployed(), 128},
		{"research", Research(), 16},
	} {
		for _, precision := range []Precision{Float32, BFloat16} {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/batch %d/%s/threads %d", s.name, s.windows, precision, threads), func(b *testing.B) {
					o := stepOptions{batch: s.windows, weightDecay: 0.01, clip: 1, threads: threads, precision: precision}
					benchmarkStep(b, s.config, o)
				})
			}
		}
	}
}

func benchmarkStep(b *testing.B, c Config, o stepOptions) {
	trainer := startTrainer(b, mustNew(b, c), o)
	past, future := make([]float32, o.batch*c.ContextLength*c.Channels), make([]float32, o.batch*c.PredictionLength*c.Channels)
	draw(past, 1)
	draw(future, 2)
	batch, fastest := batchOf(c, past, future, nil), math.Inf(1)
	for b.Loop() {
		start := time.Now()
		if _, _, err := trainer.step(batch, 1e-3); err != nil {
			b.Fatal(err)
		}
		fastest = min(fastest, time.Since(start).Seconds())
	}
	b.ReportMetric(float64(o.batch)/b.Elapsed().Seconds()*float64(b.N), "samples/s")
	b.ReportMetric(float64(o.batch)/fastest, "samples/s-at-best")
}
