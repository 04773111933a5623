package forecast

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A word is what the sensors of a machine said at a time; NaN: nothing.
type word struct {
	at     int64
	values []float64
}

func (w word) String() string { return fmt.Sprintf("%d:%v", w.at, w.values) }

// resample runs words through a resampler.
func resample(t rapid.TB, step int64, limits []int64, words []word) (rows []word) {
	r := newResampler(step, limits, func(at int64, values []float64) error {
		rows = append(rows, word{at, slices.Clone(values)})
		return nil
	})
	for _, w := range words {
		if err := r.add(w.at, w.values); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.end(math.MaxInt64, false); err != nil {
		t.Fatal(err)
	}
	return rows
}

// A plainRow is all words of a row.
type plainRow struct {
	at    int64
	heard int64
	words [][]float64
}

// often tells whether a sensor spoke twice.
func (r *plainRow) often() bool {
	for sensor := range r.words[0] {
		n := 0
		for _, values := range r.words {
			if !math.IsNaN(values[sensor]) {
				n++
			}
		}
		if n > 1 {
			return true
		}
	}
	return false
}

func (r *plainRow) mean(sensor int) float64 {
	var sum, n float64
	for _, values := range r.words {
		if v := values[sensor]; !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / n
}

// plainResample does the same the long way: first the rows, then those between
// them, then what each sensor said last before each.
func plainResample(step int64, limits []int64, words []word) (rows []word) {
	var spoken []*plainRow
	for _, w := range words {
		n := len(spoken)
		if n > 0 {
			open, since := spoken[n-1], w.at-spoken[n-1].at
			same := false
			for i, v := range w.values {
				same = same || !math.IsNaN(v) && !math.IsNaN(open.mean(i))
			}
			takes := 2*since < step || !same && 10*since < 9*step
			if open.often() {
				takes = 2*since < step || since+(w.at-open.heard)/2 < step
			}
			if takes {
				open.heard = w.at
				open.words = append(open.words, w.values)
				continue
			}
		}
		spoken = append(spoken, &plainRow{at: w.at, heard: w.at, words: [][]float64{w.values}})
	}
	lastWord := func(at int64, sensor int) float64 {
		for _, w := range slices.Backward(spoken) {
			if w.at <= at && !math.IsNaN(w.mean(sensor)) {
				if at-w.at > limits[sensor] {
					break
				}
				return w.mean(sensor)
			}
		}
		return math.NaN()
	}
	hand := func(at int64, silent bool) {
		row := word{at: at}
		for sensor := range limits {
			v := lastWord(at, sensor)
			if silent {
				v = math.NaN()
			}
			row.values = append(row.values, v)
		}
		rows = append(rows, row)
	}
	for n, w := range spoken {
		if n > 0 {
			before, since := spoken[n-1].at, w.at-spoken[n-1].at
			steps := int64(math.Floor(float64(since)/float64(step) + 0.5))
			if steps > 6 {
				hand(before+step, true)
			}
			for i := int64(1); i < steps && steps <= 6; i++ {
				hand(before+since*i/steps, false)
			}
		}
		hand(w.at, false)
	}
	return rows
}

// rounded allows for another order of adding up.
func rounded(words []word) string {
	var text strings.Builder
	for _, w := range words {
		fmt.Fprintf(&text, " %d:%.9g", w.at, w.values)
	}
	return text.String()
}

func TestResamplingEqualsThePlainWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const step = 100
		limits := []int64{limitOf(5, step*time.Microsecond), limitOf(5, step*time.Microsecond), limitOf(20, step*time.Microsecond)}
		value := rapid.SampledFrom([]float64{1, 2, math.NaN()})
		var words []word
		at := int64(0)
		for range rapid.IntRange(0, 60).Draw(t, "words") {
			at += rapid.SampledFrom([]int64{1, 30, 49, 50, 89, 90, 99, 100, 101, 149, 150, 250, 600, 649, 650, 2000}).Draw(t, "since")
			words = append(words, word{at, []float64{value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "c")}})
		}
		got, want := rounded(resample(t, step, limits, words)), rounded(plainResample(step, limits, words))
		if got != want {
			t.Fatalf("%v become\n%s, want\n%s", words, got, want)
		}
	})
}

// Rows on the step pass through bit for bit, and so do rows that come early or
// late by less than half a step.
func TestRowsOnTheStepPassThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const step = 2_000_000
		var words []word
		for n := range rapid.IntRange(1, 200).Draw(t, "rows") {
			early := rapid.Int64Range(-step/4+1, step/4-1).Draw(t, "jitter")
			words = append(words, word{int64(n)*step + early, []float64{rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")}})
		}
		got := resample(t, step, []int64{step, step}, words)
		if fmt.Sprint(got) != fmt.Sprint(words) {
			t.Fatalf("%v become\n%v", words, got)
		}
	})
}

// Sensors that send by themselves, each at its own moment of the step, make the
// rows of a machine that sends all at once.
func TestOneSensorAMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const step, sensors = 2_000_000, 6
		rows := rapid.IntRange(3, 40).Draw(t, "rows")
		offsets := []int64{0}
		for range sensors - 1 {
			offsets = append(offsets, rapid.Int64Range(1, step*85/100).Draw(t, "offset"))
		}
		var words, want []word
		for n := range rows {
			whole := word{int64(n) * step, nil}
			for s, offset := range offsets {
				whole.values = append(whole.values, float64(n*sensors+s))
				one := word{int64(n)*step + offset, slices.Repeat([]float64{math.NaN()}, sensors)}
				one.values[s] = whole.values[s]
				words = append(words, one)
			}
			want = append(want, whole)
		}
		slices.SortStableFunc(words, func(a, b word) int { return int(a.at - b.at) })
		if got := resample(t, step, make([]int64, sensors), words); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v become\n%v, want\n%v", words, got, want)
		}
	})
}

// The rhythm is that of the sensors that speak most often, whatever jitter,
// bursts and breaks there are.
func TestRhythm(t *testing.T) {
	random := newSample(1).random
	jitter := func(by float64) float64 { return by * (2*random.Float64() - 1) }
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		words  int
		next   func(n int) (seconds float64, values []float64) // seconds since the word before
		step   time.Duration
		within float64
		joins  bool
		held   []int // (sensors)
	}{
		{"regular", 200, func(int) (float64, []float64) { return 2, []float64{1, 1} }, 2 * time.Second, 0, false, []int{0, 0}},
		{"jitter", 500, func(int) (float64, []float64) { return 2 + jitter(0.8), []float64{1, 1} }, 2 * time.Second, 0.1, false, []int{0, 0}},
		{"1 to 3 s", 1000, func(int) (float64, []float64) { return 2 + jitter(1), []float64{1, 1} }, 2 * time.Second, 0.1, false, []int{0, 0}},
		{"two breaks of an hour", 60, func(n int) (float64, []float64) {
			if n%25 == 24 {
				return 3600, []float64{1, 1}
			}
			return 2, []float64{1, 1}
		}, 2 * time.Second, 0, false, []int{0, 0}},
		{"bursts of ten", 400, func(n int) (float64, []float64) {
			if n%10 == 0 {
				return 19.1, []float64{1, 1}
			}
			return 0.1, []float64{1, 1}
		}, 19100 * time.Millisecond, 0, false, []int{0, 0}},
		{"one sensor a message", 400, func(n int) (float64, []float64) {
			if n%2 == 0 {
				return 1.4, []float64{1, nan}
			}
			return 0.6, []float64{nan, 1}
		}, 2 * time.Second, 0, true, []int{0, 0}},
		{"a sensor every tenth time", 400, func(n int) (float64, []float64) {
			if n%10 == 0 {
				return 2, []float64{1, 1}
			}
			return 2, []float64{1, nan}
		}, 2 * time.Second, 0, false, []int{0, 30}},
		{"a sensor that spoke twice", 400, func(n int) (float64, []float64) {
			if n%300 == 0 {
				return 2, []float64{1, 1}
			}
			return 2, []float64{1, nan}
		}, 2 * time.Second, 0, false, []int{0, 500}},
		{"a sensor every other time", 400, func(n int) (float64, []float64) {
			if n%2 == 0 {
				return 2, []float64{1, 1}
			}
			return 2, []float64{1, nan}
		}, 2 * time.Second, 0, false, []int{0, 0}},
		{"a single word", 1, func(int) (float64, []float64) { return 2, []float64{1, 1} }, 0, 0, false, []int{0, 0}},
	} {
		v := newSurveyor(2)
		at := int64(0)
		for n := range c.words {
			since, values := c.next(n)
			at += int64(since * 1e6)
			if err := v.add(at, values); err != nil {
				t.Fatal(err)
			}
		}
		got := v.rhythm(source{sensors: []string{"a", "b"}}, origin, 0)
		if off := (got.Step - c.step).Abs(); float64(off) > c.within*float64(c.step)+1000 {
			t.Errorf("%s: a step of %s, want %s", c.name, got.Step, c.step)
		}
		if got.Joins != c.joins || got.Held["a"] != c.held[0] || got.Held["b"] != c.held[1] {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
