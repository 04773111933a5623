package forecast

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestConformalRank(t *testing.T) {
	for _, c := range []struct{ residuals, want int }{
		{1, 1}, {18, 18}, {19, 19}, {20, 20}, {39, 38}, {99, 95}, {199, 190}, {2000, 1901},
	} {
		if got := conformalRank(c.residuals); got != c.want {
			t.Errorf("of %d residuals the upper edge is number %d, want %d", c.residuals, got, c.want)
		}
	}
}

// Of readings that are like those held out, as many as promised lie within the
// band, also if few were held out.
func TestSplitConformalHoldsItsPromise(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for _, heldOut := range []int{20, 40, 200} {
		inside, all := 0, 0
		for range 400 {
			var r residuals
			for range heldOut {
				r.add([]float64{0}, []float64{dice.ExpFloat64()})
			}
			b := r.band(1)
			for range 50 {
				if v := dice.ExpFloat64(); b.Below[0] <= v && v <= b.Above[0] {
					inside++
				}
				all++
			}
		}
		if share := float64(inside) / float64(all); share < coverage-0.01 || share > coverage+2.5/float64(heldOut)+0.01 {
			t.Errorf("of %d held out: %.1f %% within the band", heldOut, 100*share)
		}
	}
}

// A follower plays one step of one sensor, scored so many forecasts late.
type follower struct {
	tracked
	least float32
	late  int
	sent  [][2]float64 // edges of forecasts not yet scored
	read  []float64
	in    []bool
	width float64 // of the last band
}

func follow(heldOut []float64, late int) *follower {
	r := residuals{heldOut}
	steps := track(r.band(1))
	return &follower{tracked: steps[0], least: least(steps), late: late}
}

func (f *follower) next(residual float64) {
	below, above := f.edges()
	f.width = above - below
	f.in = append(f.in, below <= residual && residual <= above)
	f.sent, f.read = append(f.sent, [2]float64{below, above}), append(f.read, residual)
	if n := len(f.sent) - 1 - f.late; n >= 0 {
		r := f.read[n]
		f.learn(r, r < f.sent[n][0], r > f.sent[n][1], f.least)
	}
}

// share is how many of the last n lay within.
func (f *follower) share(n int) float64 {
	inside := 0
	for _, in := range f.in[len(f.in)-n:] {
		if in {
			inside++
		}
	}
	return float64(inside) / float64(n)
}

func many(n int, next func() float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = next()
	}
	return values
}

// Whatever the residuals look like, at once or ten forecasts late: 87..93 % of
// the last 500 lie within the band nearly always, and again 300 forecasts after
// their noise has doubled.
func TestBandsFollow(t *testing.T) {
	for _, c := range []struct {
		name string
		next func(*rand.Rand) float64
	}{
		{"normal", (*rand.Rand).NormFloat64},
		{"lopsided", func(dice *rand.Rand) float64 { return dice.ExpFloat64() - 1 }},
		{"biased", func(dice *rand.Rand) float64 { return 5 + dice.NormFloat64() }},
		{"outliers", func(dice *rand.Rand) float64 {
			return dice.NormFloat64() / math.Sqrt((dice.ExpFloat64()+dice.ExpFloat64())/2)
		}},
		{"uniform", (*rand.Rand).Float64},
	} {
		for _, late := range []int{0, 10} {
			dice := rand.New(rand.NewPCG(3, 4))
			next := func() float64 { return c.next(dice) }
			f := follow(many(200, next), late)
			good, times := 0, 0
			for i := range 6000 {
				r := next()
				if i >= 3000 {
					r *= 2
				}
				f.next(r)
				if i < 499 || i >= 3000 && i < 3300 {
					continue
				}
				times++
				if share := f.share(500); share >= 0.87 && share <= 0.93 {
					good++
				} else if i == 3300 {
					t.Errorf("%s, %d late: %.1f %% of 500 within the band 300 forecasts after the noise doubled", c.name, late, 100*share)
				}
			}
			if share := float64(good) / float64(times); share < 0.95 {
				t.Errorf("%s, %d late: the band held 87..93 %% at %.1f %% of the times", c.name, late, 100*share)
			}
		}
	}
}

// Misses too many and too few add up to nothing over time, whatever is read:
// each moves an edge, and an edge cannot go further than it goes.
func TestMissesAddUpToTheirShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scales := rapid.SliceOfN(rapid.Float64Range(-1, 1), 3, 12).Draw(t, "amplitudes")
		f := follow([]float64{-1, 1, -1, 1}, 0)
		const each = 400
		for _, scale := range scales {
			for i := range each {
				f.next(scale * math.Sin(float64(i*i)))
			}
		}
		n := len(f.in)
		// Twice the way from -widest to widest, and the steps that narrowest ate.
		if share := f.share(n); share < coverage-2*widest/edgeGain/float64(n) {
			t.Errorf("%.1f %% of %d within the band", 100*share, n)
		}
		if below, above := f.edges(); !finite([]float64{below, above}) || below > above {
			t.Errorf("edges %g and %g", below, above)
		}
	})
}

func TestOneOutlierWidensABandALittle(t *testing.T) {
	dice := rand.New(rand.NewPCG(5, 6))
	f := follow(many(200, dice.NormFloat64), 0)
	for range 500 {
		f.next(dice.NormFloat64())
	}
	before := f.width
	f.next(1e9)
	f.next(0)
	if f.width > 1.3*before {
		t.Errorf("from %g to %g", before, f.width)
	}
}

// A sensor that stood still for a week is followed within some dozens of
// forecasts once it moves.
func TestASensorThatStoodStill(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 8))
	for _, heldOut := range [][]float64{make([]float64, 100), many(100, dice.NormFloat64)} {
		f := follow(heldOut, 0)
		for range 10_000 {
			f.next(0)
		}
		if f.share(500) != 1 {
			t.Errorf("%.1f %% within while it stood still", 100*f.share(500))
		}
		for range 600 {
			f.next(dice.NormFloat64())
		}
		if share := f.share(500); share < 0.87 || share > 0.93 {
			t.Errorf("%.1f %% within once it moved", 100*share)
		}
	}
}

// A ledger counts as a list would.
func TestLedgerCountsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		var all []bool
		for range rapid.IntRange(0, 1200).Draw(t, "scores") {
			in := rapid.Bool().Draw(t, "in")
			all = append(all, in)
			l.book(in, 2)
			inside, of := l.count()
			if want := min(len(all), 500+len(all)%25); of != want {
				t.Fatalf("counts %d of %d, want %d", of, len(all), want)
			}
			want := 0
			for _, in := range all[len(all)-of:] {
				if in {
					want++
				}
			}
			if inside != want {
				t.Fatalf("%d of the newest %d within, want %d", inside, of, want)
			}
		}
		if len(all) > 0 && math.Abs(float64(l.width-2)) > 1e-5 {
			t.Fatalf("mean width %g, want 2", l.width)
		}
	})
}
