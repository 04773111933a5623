package patchtst

import (
	"fmt"
	"testing"
)

// BenchmarkStep is one step of training of the two presets.
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct {
		name    string
		config  Config
		windows int
	}{{"deployed", Deployed(), 8}, {"deployed", Deployed(), 32}, {"deployed", Deployed(), 128}, {"research", Research(), 16}} {
		c, windows := s.config, s.windows
		b.Run(fmt.Sprint(s.name, "/batch ", windows), func(b *testing.B) {
			m := mustNew(b, c)
			trainer := startTrainer(b, m, stepOptions{batch: windows, weightDecay: 0.01, clip: 1, threads: 2})
			past, future := make([]float32, windows*c.ContextLength*c.Channels), make([]float32, windows*c.PredictionLength*c.Channels)
			draw(past, 1)
			draw(future, 2)
			batch := batchOf(c, past, future, nil)
			for b.Loop() {
				if _, _, err := trainer.step(batch, 1e-3); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(windows)/b.Elapsed().Seconds()*float64(b.N), "samples/s")
		})
	}
}
