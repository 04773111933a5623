package forecast

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The sums and the centring are the same as if the matrix of windows had been
// built, centred row by row, and multiplied out.
func TestGramEqualsTheMatrix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		back, ahead := rapid.IntRange(2, 9).Draw(t, "back"), rapid.IntRange(1, 7).Draw(t, "ahead")
		runs := rapid.SliceOfN(rapid.SliceOfN(rapid.Float64Range(-50, 50), 0, 60), 1, 4).Draw(t, "runs")
		offset := rapid.Float64Range(-1e4, 1e4).Draw(t, "offset")
		g := newGram(back, ahead)
		for _, run := range runs {
			for i := range run {
				run[i] += offset
			}
			g.add(run)
		}
		want := naive(back, ahead, runs)
		got := g.centred()
		if got.windows != want.windows {
			t.Fatalf("windows: %d, want %d", got.windows, want.windows)
		}
		same(t, "xx", got.xx, want.xx)
		same(t, "xy", got.xy, want.xy)
		same(t, "yy", []float64{got.yy}, []float64{want.yy})
		for season := 1; season <= back && got.windows > 0; season++ {
			same(t, "seasonal error", []float64{g.seasonalError(season)}, []float64{naiveSeason(back, ahead, season, runs)})
		}
	})
}

// A run handed over in blocks that overlap by a window less one row sums up to
// the same as the whole run at once.
func TestGramOfBlocksIsGramOfTheWhole(t *testing.T) {
	const back, ahead, block = 5, 3, 40
	series := sine(500, 17, 0.3)
	whole, blocks := newGram(back, ahead), newGram(back, ahead)
	whole.add(series)
	for from := 0; from < len(series); from += block {
		other := newGram(back, ahead)
		other.add(series[from:min(from+block+back+ahead-1, len(series))])
		blocks.merge(other)
	}
	same(t, "xx", blocks.centred().xx, whole.centred().xx)
	same(t, "xy", blocks.centred().xy, whole.centred().xy)
}

// A sensor far from zero loses nothing: 1e9 plus a small wave is as good as the
// wave.
func TestGramFarFromZero(t *testing.T) {
	wave := sine(300, 13, 0.1)
	near, far := newGram(6, 2), newGram(6, 2)
	near.add(wave)
	shifted := make([]float64, len(wave))
	for i, v := range wave {
		shifted[i] = v + 1e9
	}
	far.add(shifted)
	for i, v := range near.centred().xx {
		if w := far.centred().xx[i]; math.Abs(v-w) > 1e-4 {
			t.Fatalf("xx[%d] = %g far from zero, %g near it", i, w, v)
		}
	}
}

func TestSolveFindsTheMinimum(t *testing.T) {
	const back, ahead, penalty = 8, 3, 0.7
	g := newGram(back, ahead)
	g.add(sine(200, 11, 0.5))
	n := g.centred()
	weights, ok := n.solve(penalty)
	if !ok {
		t.Fatal("not solved")
	}
	cost := func() float64 {
		sum := n.meanSquare(weights) * float64(n.windows*n.ahead)
		for _, w := range weights {
			sum += penalty * dot(w, w)
		}
		return sum
	}
	least := cost()
	for h := range weights {
		for i := range weights[h] {
			for _, by := range []float64{-1e-3, 1e-3} {
				weights[h][i] += by
				if c := cost(); c < least {
					t.Errorf("weight %d,%d: moving it by %g lowers the cost by %g", h, i, by, least-c)
				}
				weights[h][i] -= by
			}
		}
	}
}

func TestSolveRefusesWhatHasNoSolution(t *testing.T) {
	n := normal{back: 2, ahead: 1, windows: 1, xx: []float64{1, 2, 2, 1}, xy: []float64{1, 1}}
	if _, ok := n.solve(1e-3); ok {
		t.Error("an indefinite matrix was factored")
	}
	if _, used, err := refit(n, 1e-3); err != nil || used != 10 { // eigenvalues 3 and -1
		t.Errorf("refit: penalty %g, %v; want the next that works, 10", used, err)
	}
	n.xx[0] = math.NaN()
	if _, _, err := refit(n, 1e-3); err == nil {
		t.Error("a matrix with NaN was solved")
	}
	if _, err := choosePenalty(n, n); err == nil {
		t.Error("a penalty was found for a matrix with NaN")
	}
}

// A constant is forecast as itself, to the last bit: its range is one point.
func TestExtrapolateKeepsAConstant(t *testing.T) {
	weights := [][]float64{{0.3, -0.1, 0.7}, {9, 9, 9}}
	for _, v := range []float64{0.1, 1e-300, -273.15, 1.0 / 3} {
		for h, got := range extrapolate(weights, []float64{v, v, v}) {
			if got != v {
				t.Errorf("step %d of constant %g: %g", h, v, got)
			}
		}
	}
}

func TestQuantiles(t *testing.T) {
	for _, c := range []struct {
		values []float64
		at     float64
		want   float64
	}{
		{[]float64{7}, 0.05, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{1, 2}, 0.25, 1.25},
		{[]float64{4, 3, 2, 1, 0}, 1, 4},
		{[]float64{-1e308, 1e308}, 0.5, 0},
	} {
		if got := quantiles(c.values, c.at)[0]; got != c.want {
			t.Errorf("quantile %g of %v: %g, want %g", c.at, c.values, got, c.want)
		}
	}
}

// A sample of a long series has the series' quantiles, even if it is periodic.
func TestSampleOfALongSeries(t *testing.T) {
	s := newSample(4096)
	for i := range 1 << 20 {
		s.add(float64(i % 64))
	}
	if len(s.values) != 4096 {
		t.Fatalf("%d values kept", len(s.values))
	}
	for _, q := range []float64{0.25, 0.5, 0.75} {
		if got := quantiles(s.values, q)[0]; math.Abs(got-64*q) > 3 {
			t.Errorf("quantile %g: %g, want about %g", q, got, 64*q)
		}
	}
}

// sine is a wave of a period, in rows, with noise of a deviation.
func sine(rows int, period, noise float64) []float64 {
	random := rand.New(rand.NewPCG(7, uint64(rows)))
	series := make([]float64, rows)
	for i := range series {
		series[i] = math.Sin(2*math.Pi*float64(i)/period) + noise*random.NormFloat64()
	}
	return series
}

// naive builds every centred window.
func naive(back, ahead int, runs [][]float64) normal {
	n := normal{back: back, ahead: ahead, xx: make([]float64, back*back), xy: make([]float64, back*ahead)}
	eachWindow(back+ahead, runs, func(w []float64) {
		mean := meanOf(w[:back])
		n.windows++
		for i := range back {
			for j := range back {
				n.xx[i*back+j] += (w[i] - mean) * (w[j] - mean)
			}
			for h := range ahead {
				n.xy[i*ahead+h] += (w[i] - mean) * (w[back+h] - mean)
			}
		}
		for h := range ahead {
			n.yy += (w[back+h] - mean) * (w[back+h] - mean)
		}
	})
	return n
}

func naiveSeason(back, ahead, season int, runs [][]float64) float64 {
	var sum float64
	var count int
	eachWindow(back+ahead, runs, func(w []float64) {
		for h := range ahead {
			source := back + h - season
			for source >= back {
				source -= season
			}
			sum += (w[back+h] - w[source]) * (w[back+h] - w[source])
			count++
		}
	})
	return sum / float64(count)
}

func eachWindow(width int, runs [][]float64, do func(w []float64)) {
	for _, run := range runs {
		for at := 0; at+width <= len(run); at++ {
			do(run[at : at+width])
		}
	}
}

// same compares sums of products of values up to a few hundred.
func same(t rapid.TB, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-7*(1+math.Abs(want[i])) {
			t.Fatalf("%s[%d]: %g, want %g", what, i, got[i], want[i])
		}
	}
}
