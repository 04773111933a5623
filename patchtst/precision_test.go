package patchtst

import (
	"math"
	"slices"
	"testing"
)

// TestBFloat16Gradients are within a hundredth of float32's, tensor by tensor:
// a factor's rounding is off by up to 1/512, and sums of many average that out.
func TestBFloat16Gradients(t *testing.T) {
	c := Deployed()
	past, future := make([]float32, 8*c.ContextLength*c.Channels), make([]float32, 8*c.PredictionLength*c.Channels)
	draw(past, 1)
	draw(future, 2)
	one := func(p Precision) (*trainer, float64) {
		m := mustNew(t, c)
		trainer := startTrainer(t, m, stepOptions{batch: 8, threads: 2, precision: p})
		return trainer, trainer.gradient(batchOf(c, past, future, nil))
	}
	rounded, loss := one(BFloat16)
	exact, want := one(Float32)
	near(t, "loss", []float32{float32(loss)}, []float32{float32(want)}, 1e-4*want)
	wanted := exact.gradientByName()
	for name, got := range rounded.gradientByName() {
		var squares, off float64
		for i, w := range wanted[name] {
			squares += float64(w) * float64(w)
			off += float64(got[i]-w) * float64(got[i]-w)
		}
		if share := math.Sqrt(off / squares); share > 0.01 && squares > 1e-10 {
			t.Errorf("%s is off by %.2g of its norm; want at most 0.01", name, share)
		}
	}
}

// TestBFloat16Learns as float32 does: the mean loss of the first epoch is
// within a hundredth. Later, where another seed changes the loss by a third,
// it has fallen as far.
func TestBFloat16Learns(t *testing.T) {
	c, o := Deployed(), quick()
	o.Batch, o.Epochs, o.WindowsPerEpoch, o.LearningRate = 16, 4, 320, 1e-3
	var reports []Report
	for _, p := range []Precision{Float32, BFloat16} {
		o.Precision = p
		report, err := Fit(t.Context(), mustNew(t, c), waves(800, c.Channels), o)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, report)
	}
	exact, rounded := reports[0].Epochs, reports[1].Epochs
	if ratio := rounded[0].Loss / exact[0].Loss; math.Abs(ratio-1) > 0.01 {
		t.Errorf("the first epoch's loss is %v; float32's %v", rounded[0].Loss, exact[0].Loss)
	}
	if limit := exact[0].Loss / 4; exact[3].Loss > limit || rounded[3].Loss > limit {
		t.Errorf("the fourth epoch's loss is %v, float32's %v; want less than %v", rounded[3].Loss, exact[3].Loss, limit)
	}
}

// TestBFloat16Everywhere trains variants with every kind of attention, odd and
// even sequences, kept shares and such as are computed again, on several
// threads, with and without dropout, which falls on the same numbers: gradients
// near float32's, the same bits on any number of threads.
func TestBFloat16Everywhere(t *testing.T) {
	for _, v := range []struct {
		name   string
		config Config
	}{
		{"odd", small(learned, func(c *Config) { c.ContextLength = 10 })},
		{"even", small()},
		{"odd, dropout", small(learned, dropouts, func(c *Config) { c.ContextLength = 10 })},
		{"long", small(long)},
		{"long, dropout", small(long, dropouts)},
		{"channel attention, class token, dropout", small(acrossToo, token, dropouts)},
		{"post-norm, layer norm, flat head", small(postNorm, layerNorms, flatten)},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := v.config
			past, future := make([]float32, 5*c.ContextLength*c.Channels), make([]float32, 5*c.PredictionLength*c.Channels)
			draw(past, 1)
			draw(future, 2)
			one := func(p Precision, threads int) []float32 {
				m := mustNew(t, c)
				shake(m, 6)
				trainer := startTrainer(t, m, stepOptions{batch: 5, seed: 3, threads: threads, precision: p})
				trainer.gradient(batchOf(c, past, future, nil))
				sum := make([]float32, len(trainer.momentum))
				for k := range trainer.shards {
					m.kernels.Add(sum, trainer.shards[k].gradient)
				}
				return sum
			}
			got, want := one(BFloat16, 2), one(Float32, 2)
			var squares, off float64
			for i, w := range want {
				squares += float64(w) * float64(w)
				off += float64(got[i]-w) * float64(got[i]-w)
			}
			if share := math.Sqrt(off / squares); !(share < 0.02) {
				t.Errorf("the gradient is off by %.2g of its norm", share)
			}
			if !slices.Equal(got, one(BFloat16, 1)) {
				t.Error("one thread makes other bits")
			}
		})
	}
}
