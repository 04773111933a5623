package patchtst

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestProducts compares the three products with the loops that they equal, at
// every remainder, on matrices with numbers between their rows, which must
// stay as they are.
func TestProducts(t *testing.T) {
	const guard = 99
	place := func(rows, cols int, seed uint64) matrix {
		m := matrix{make([]float32, rows*(cols+3)), rows, cols, cols + 3}
		draw(m.values, seed)
		for r := range rows {
			copy(m.values[r*m.stride+cols:], []float32{guard, guard, guard})
		}
		return m
	}
	compare := func(what string, got matrix, want func(r, c int) float32) {
		t.Helper()
		for r := range got.rows {
			for c, v := range got.row(r) {
				if w := want(r, c); math.Abs(float64(v-w)) > 1e-4 {
					t.Fatalf("%s: [%d][%d] is %v; want %v", what, r, c, v, w)
				}
			}
			if !slices.Equal(got.values[r*got.stride+got.cols:][:3], []float32{guard, guard, guard}) {
				t.Fatalf("%s: wrote behind row %d", what, r)
			}
		}
	}
	for _, rows := range []int{1, 2, 3, 4, 5, 9} {
		for _, in := range []int{1, 2, 3, 4, 5, 8, 13, panel + 5} {
			for _, out := range []int{1, 2, 3, 4, 5, 8, 11} {
				what := fmt.Sprintf("%d rows, %d in, %d out", rows, in, out)
				x, w, y := place(rows, in, 1), place(out, in, 2), place(rows, out, 3)
				bias := make([]float32, out)
				draw(bias, 4)
				productNT(y, x, w, bias)
				compare("NT "+what, y, func(r, o int) float32 { return bias[o] + dot(x.row(r), w.row(o)) })
				productNT(y, x, w, nil)
				compare("NT without bias "+what, y, func(r, o int) float32 { return dot(x.row(r), w.row(o)) })

				before, back := place(rows, in, 5), place(rows, in, 5)
				productNN(back, y, w)
				compare("NN "+what, back, func(r, i int) float32 {
					sum := before.row(r)[i]
					for o, v := range y.row(r) {
						sum += v * w.row(o)[i]
					}
					return sum
				})
				before, dw := place(out, in, 6), place(out, in, 6)
				productTN(dw, y, x)
				compare("TN "+what, dw, func(o, i int) float32 {
					sum := before.row(o)[i]
					for r := range rows {
						sum += y.row(r)[o] * x.row(r)[i]
					}
					return sum
				})
			}
		}
	}
}

// TestSoftmax keeps large scores from overflowing.
func TestSoftmax(t *testing.T) {
	scores := dense([]float32{1000, 1001, 1002, -1e30, 0, 0, 0, 0}, 2, 4)
	softmax(scores, 0.5)
	e := math.Exp
	sum := e(0) + e(-0.5) + e(-1)
	near(t, "shares", scores.values, []float32{float32(e(-1) / sum), float32(e(-0.5) / sum), float32(1 / sum), 0, 0.25, 0.25, 0.25, 0.25}, 1e-7)
}

func TestActivations(t *testing.T) {
	x := []float32{-20, -1, 0, 0.5, 3, 20}
	y := make([]float32, len(x))
	activate("gelu", y, x)
	near(t, "gelu", y, []float32{0, -0.15865526, 0, 0.34573123, 2.9959502, 20}, 1e-7)
	slopes := []float32{1, 1, 1, 1, 1, 2}
	activateBackward("gelu", slopes, x)
	near(t, "slopes of gelu", slopes, []float32{0, -0.08331547, 0.5, 0.86749512, 1.0119459, 2}, 1e-6)
	activate("relu", y, x)
	near(t, "relu", y, []float32{0, 0, 0, 0.5, 3, 20}, 0)
	slopes = []float32{1, 1, 1, 1, 1, 2}
	activateBackward("relu", slopes, x)
	near(t, "slopes of relu", slopes, []float32{0, 0, 0, 1, 1, 2}, 0)
}

// TestBatchStatistics looks at a batch far from zero: its variance is the
// small difference of large sums.
func TestBatchStatistics(t *testing.T) {
	x := dense([]float32{10001, 5, 10002, 5, 10003, 5, 10006, 5}, 4, 2)
	c := small()
	c.ModelWidth = 2
	n := &fill(func(a *arena) []normalizer { return newNormalizers(a, c, make([]block, 1), true) })[0]
	*n.norm = norm{[]float32{2, 1}, []float32{1, -1}, []float32{10000, 0}, []float32{1, 1}}
	sum, square := make([]float64, 2), make([]float64, 2)
	momentSums(sum, square, x)
	n.useBatch(sum, square, 4)
	near(t, "mean", n.mean, []float32{10003, 5}, 0)
	near(t, "1/deviation", n.inverse, []float32{float32(1 / math.Sqrt(3.5+1e-5)), float32(1 / math.Sqrt(1e-5))}, 1e-4)
	near(t, "running mean", n.norm.mean, []float32{10000.3, 0.5}, 1e-3)
	near(t, "running variance", n.norm.variance, []float32{0.9 + 0.1*3.5*4/3, 0.9}, 1e-6)
}

// TestDropout keeps the mean, and depends on key and place alone.
func TestDropout(t *testing.T) {
	const n = 100_000
	ones := func() []float32 { return slices.Repeat([]float32{1}, n) }
	for _, rate := range []float64{0, 0.1, 0.5, 0.9} {
		values, dropped, sum := ones(), 0, 0.0
		drop(values, rate, 1, 0)
		for _, v := range values {
			sum += float64(v)
			if v == 0 {
				dropped++
			}
		}
		spread := 5 * math.Sqrt(rate*(1-rate)/n)
		if share := float64(dropped) / n; math.Abs(share-rate) > spread {
			t.Errorf("rate %v: %v dropped; want %v give or take %v", rate, share, rate, spread)
		}
		if mean := sum / n; math.Abs(mean-1) > spread/(1-rate)+1e-6 {
			t.Errorf("rate %v: the mean is %v; want 1", rate, mean)
		}
		pieces := ones()
		drop(pieces[:777], rate, 1, 0)
		drop(pieces[777:], rate, 1, 777)
		if !slices.Equal(pieces, values) {
			t.Errorf("rate %v: in pieces other numbers are dropped", rate)
		}
	}
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
	// Two keys agree about half of the time at rate one half.
	a, b, same := ones(), ones(), 0
	drop(a, 0.5, newNoise(1, 2, 3).key(0), 0)
	drop(b, 0.5, newNoise(1, 2, 3).key(1), 0)
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if share := float64(same) / n; math.Abs(share-0.5) > 5*math.Sqrt(0.25/n) {
		t.Errorf("two sites agree on %v of the numbers; want a half", share)
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
		adamW(w, m, v, []float32{float32(g)}, newAdamStep(0.01, 0.1, 0.5, step+1))
		g *= 0.5 // clipped
		meanG, meanGG = 0.9*meanG+0.1*g, 0.999*meanGG+0.001*g*g
		first, second := meanG/(1-math.Pow(0.9, float64(step+1))), meanGG/(1-math.Pow(0.999, float64(step+1)))
		want = want*(1-0.01*0.1) - 0.01*first/(math.Sqrt(second)+1e-8)
		near(t, "weight", w, []float32{float32(want)}, 1e-7)
	}
}
