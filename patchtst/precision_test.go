package patchtst

import (
	"math"
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

// TestBFloat16Learns as float32 does: the mean loss of the last of many steps
// is within a fiftieth.
func TestBFloat16Learns(t *testing.T) {
	c := Deployed()
	o := quick()
	o.Batch, o.Epochs, o.WindowsPerEpoch = 16, 4, 320
	var losses []float64
	for _, p := range []Precision{Float32, BFloat16} {
		o.Precision = p
		report, err := Fit(t.Context(), mustNew(t, c), waves(800, c.Channels), o)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, report.Epochs[3].Loss)
	}
	if ratio := losses[1] / losses[0]; math.Abs(ratio-1) > 0.02 {
		t.Errorf("bfloat16 learns to a loss of %v, float32 to %v", losses[1], losses[0])
	}
}
