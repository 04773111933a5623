package patchtst

import (
	"fmt"
	"math"
	"testing"
)

// TestBatchStatistics looks at a batch far from zero: its variance is the
// small difference of large sums.
func TestBatchStatistics(t *testing.T) {
	x := dense([]float32{10001, 5, 10002, 5, 10003, 5, 10006, 5}, 4, 2)
	c := small()
	c.ModelWidth = 2
	n := &fill(func(a *arena) []normalizer { return newNormalizers(a, c, make([]block, 1), true) })[0]
	*n.norm = norm{[]float32{2, 1}, []float32{1, -1}, []float32{10000, 0}, []float32{1, 1}}
	sum, square := make([]float64, 2), make([]float64, 2)
	fastest().Moments(sum, square, x)
	n.useBatch(sum, square, 4)
	near(t, "mean", n.mean, []float32{10003, 5}, 0)
	near(t, "1/deviation", n.inverse, []float32{float32(1 / math.Sqrt(3.5+1e-5)), float32(1 / math.Sqrt(1e-5))}, 1e-4)
	near(t, "running mean", n.norm.mean, []float32{10000.3, 0.5}, 1e-3)
	near(t, "running variance", n.norm.variance, []float32{0.9 + 0.1*3.5*4/3, 0.9}, 1e-6)
}

// TestNoise is another at every seed, step, sample and site.
func TestNoise(t *testing.T) {
	keys := map[uint64]string{}
	for seed := range uint64(3) {
		for step := range 3 {
			for sample := range 3 {
				for site := range 8 {
					where := fmt.Sprintf("seed %d, step %d, sample %d, site %d", seed, step, sample, site)
					key := newNoise(seed, step, sample).key(site)
					if other, twice := keys[key]; twice {
						t.Errorf("%s has the noise of %s", where, other)
					}
					keys[key] = where
				}
			}
		}
	}
}

// TestScaling looks at masks: numbers that were not measured have no say in a
// channel's units, and a channel without any takes the batch's.
func TestScaling(t *testing.T) {
	const nan = 77 // what stands where nothing was measured
	w := window{
		values:   []float32{1, 2, nan, 3, -4, nan, nan, 3, nan}, // (3, 3)
		observed: []bool{true, true, false, true, true, false, false, true, false},
	}
	center, scale, scaled := make([]float32, 3), make([]float32, 3), make([]float32, 9)
	scaleWindow(scaled, center, scale, w, "std", nil)
	near(t, "centers", center, []float32{2, 1.0 / 3, 0}, 1e-6)
	near(t, "deviations", scale, []float32{1.000005, 3.0912, 0.0031622776}, 1e-4)
	near(t, "scaled", scaled[:2], []float32{-0.999995, 0.5391619}, 1e-5)

	means := make([]float64, 3)
	batchMeans(means, 2, func(i int) window {
		return []window{w, {values: []float32{5, 5, 5, 5, 5, 5, 5, 5, -7}}}[i]
	})
	scaleWindow(scaled, center, scale, w, "mean", means)
	near(t, "centers", center, []float32{0, 0, 0}, 0)
	near(t, "means", scale, []float32{2, 3, 17.0 / 3}, 1e-6)
	near(t, "scaled", scaled[:6], []float32{0.5, 2.0 / 3, nan / (17.0 / 3), 1.5, -4.0 / 3, nan / (17.0 / 3)}, 1e-5)

	scaleWindow(scaled, center, scale, window{values: make([]float32, 9)}, "mean", means)
	near(t, "means of nothing but zero", scale, []float32{1e-10, 1e-10, 1e-10}, 0)
}

// TestAdamW takes two steps by hand.
func TestAdamW(t *testing.T) {
	w, m, v := []float32{1}, []float32{0}, []float32{0}
	want, meanG, meanGG := 1.0, 0.0, 0.0
	for step, g := range []float64{0.5, -0.1} {
		fastest().AdamW(w, m, v, []float32{float32(g)}, newAdamStep(0.01, 0.1, 0.5, step+1))
		g *= 0.5 // clipped
		meanG, meanGG = 0.9*meanG+0.1*g, 0.999*meanGG+0.001*g*g
		first, second := meanG/(1-math.Pow(0.9, float64(step+1))), meanGG/(1-math.Pow(0.999, float64(step+1)))
		want = want*(1-0.01*0.1) - 0.01*first/(math.Sqrt(second)+1e-8)
		near(t, "weight", w, []float32{float32(want)}, 1e-7)
	}
}
