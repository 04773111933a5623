package patchtst

import (
	"math"
	"testing"
)

// TestSchedules compares with what torch's schedulers do in ten steps.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		schedule Schedule
		want     []float64
	}{
		{Constant, []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{Cosine, []float64{1, 0.975528, 0.904508, 0.793893, 0.654508, 0.5, 0.345492, 0.206107, 0.095492, 0.024472}},
		{OneCycle, []float64{0.04, 0.52, 1, 0.950485, 0.811746, 0.611262, 0.388742, 0.188258, 0.049519, 0.000004}},
	} {
		for step, want := range c.want {
			if got := c.schedule.rate(1, step, 10); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s, step %d: %v; want %v", c.schedule, step, got, want)
			}
		}
	}
	for steps := 1; steps < 50; steps++ {
		for step := range steps {
			for _, s := range []Schedule{Constant, Cosine, OneCycle} {
				if got := s.rate(1, step, steps); !(got >= 0 && got <= 1) {
					t.Errorf("%s, step %d of %d: %v", s, step, steps, got)
				}
			}
		}
	}
}
