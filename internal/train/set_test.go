package train

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/patchtst"
)

var nan = math.NaN()

// rows is a window with a row a second; each column is a sensor a, b, c…
func rows(columns ...[]float64) fettle.Window {
	w := fettle.Window{Machine: "m", Columns: columns}
	for i := range columns {
		w.Sensors = append(w.Sensors, string(rune('a'+i)))
	}
	start := time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC).UnixMicro()
	for row := range columns[0] {
		w.TimesMicros = append(w.TimesMicros, start+int64(row)*1e6)
	}
	return w
}

func table(columns ...[]float64) Table { return TableOf(rows(columns...)) }

// wave is a sine with a little of another.
func wave(n int, period float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = 20 + 5*math.Sin(2*math.Pi*float64(i)/period) + math.Sin(float64(i*i%17))
	}
	return values
}

func TestPartsDoNotOverlap(t *testing.T) {
	values := wave(100, 10)
	s, err := Prepare(table(values), Division{Validation: 0.2, Test: 0.1, Scaler: MinMax})
	if err != nil {
		t.Fatal(err)
	}
	test, unseen := s.judging(5)
	for _, c := range []struct {
		part  string
		got   patchtst.Series
		first int // row
		count int
	}{
		{"training", s.training(), 0, 70},
		{"validation", s.validation(5), 65, 25},
		{"test", test, 85, 15},
	} {
		if len(c.got.Values) != c.count || c.got.Values[0] != float32(s.Scaler.Transform(0, values[c.first])) {
			t.Errorf("%s: %d rows from %v", c.part, len(c.got.Values), c.got.Values[0])
		}
	}
	if seen := len(s.seen().Values); !unseen || seen != 90 {
		t.Errorf("unseen %v, %d rows seen", unseen, seen)
	}
}

func TestGapsAndSilence(t *testing.T) {
	w := rows([]float64{1, nan, nan, 4, 5, nan, nan, nan, nan, nan, nan, 12, 13, 14}, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	for i := range w.TimesMicros[12:] {
		w.TimesMicros[12+i] += 60e6 // a minute is missing
	}
	s, err := Prepare(TableOf(w), Division{Scaler: MinMax})
	if err != nil {
		t.Fatal(err)
	}
	if s.Gaps != 1 || s.Filled != 2+longestFill || s.Lost != 1 || s.Step != time.Second {
		t.Errorf("%d gaps, %d filled, %d lost, step %v", s.Gaps, s.Filled, s.Lost, s.Step)
	}
	var got []float64
	for line := range len(s.values) / 2 {
		got = append(got, math.Round(s.Scaler.Inverse(0, float64(s.values[2*line]))))
	}
	want := []float64{1, 1, 1, 4, 5, 5, 5, 5, 5, 5, nan, 12, nan, 13, 14}
	if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || a != a && b != b }) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s.observed[2] || !s.observed[3] || !s.observed[0] {
		t.Errorf("marks %v", s.observed)
	}
}

func TestScalers(t *testing.T) {
	for _, c := range []struct {
		kind      Scaling
		values    []float64
		zero, one float64 // what becomes 0 and 1
	}{
		{MinMax, []float64{2, 4, 6}, 2, 6},
		{MinMax, []float64{3, 3, 3}, 3, 4},
		{Robust, []float64{0, 1, 2, 3, 1000}, 2, 4},
		{Robust, []float64{5, 5, 5, 5, 9}, 5, 9},
		{Robust, []float64{3, nan, 3}, 3, 4},
	} {
		set, err := Prepare(table(c.values), Division{Scaler: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		s := set.Scaler
		if zero, one := s.Transform(0, c.zero), s.Transform(0, c.one); math.Abs(zero) > 1e-12 || math.Abs(one-1) > 1e-12 || !s.Unclipped {
			t.Errorf("%s of %v: %v becomes %v, %v becomes %v", c.kind, c.values, c.zero, zero, c.one, one)
		}
	}
}

// The scale is that of the rows that are learned from: what comes later must
// not be known.
func TestScaleSeesTrainingOnly(t *testing.T) {
	values := wave(100, 10)
	values[99] = 1e6
	s, err := Prepare(table(values), Division{Test: 0.1, Scaler: MinMax})
	if err != nil {
		t.Fatal(err)
	}
	if s.Scaler.DataMax[0] > 100 {
		t.Errorf("range up to %v", s.Scaler.DataMax[0])
	}
}

func TestPrepareRefuses(t *testing.T) {
	for _, c := range []struct {
		w    fettle.Window
		d    Division
		want string
	}{
		{rows([]float64{1}), Division{Scaler: Robust}, "1 rows of 1 sensors"},
		{rows(wave(50, 5)), Division{Validation: 0.6, Test: 0.4, Scaler: Robust}, "shares that leave rows"},
		{rows(wave(50, 5)), Division{Scaler: "mean"}, "scaler is mean; expected minmax or robust"},
		{rows([]float64{nan, nan, 1}), Division{Test: 0.3, Scaler: Robust}, "a has no value among the rows"},
		{rows([]float64{-1.7e308, 1.7e308, 0}), Division{Scaler: MinMax}, "cannot be scaled"},
	} {
		if _, err := Prepare(TableOf(c.w), c.d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.want, err)
		}
	}
}

func TestEnough(t *testing.T) {
	holes := wave(100, 10)
	for i := range holes {
		if i%20 > 8 {
			holes[i] = nan
		}
	}
	for _, c := range []struct {
		w    fettle.Window
		size Size
		want string
	}{
		{rows(wave(100, 10)), Size{10, 5}, ""},
		{rows(wave(100, 10)), Size{80, 5}, "no window of 85 rows without a gap to learn from in 80 rows"},
		{rows(wave(100, 10)), Size{10, 15}, "to validate on in 10 rows"},
		{rows(wave(100, 10), holes), Size{20, 5}, "b misses most, 55 values of 100"},
	} {
		s, err := Prepare(TableOf(c.w), Division{Validation: 0.1, Test: 0.1, Scaler: Robust})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Enough(c.size); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.size, err)
		}
	}
}

// All are judged on the same windows, and by the same arithmetic: a yardstick's
// windows are those that a PatchTST is evaluated on.
func TestJudgesAllOnTheSameWindows(t *testing.T) {
	a, b := wave(400, 12), wave(400, 12)
	a[350], a[360], b[371] = nan, nan, nan // held, and not to be forecast
	w := rows(a, b)
	for i := range w.TimesMicros[380:] {
		w.TimesMicros[380+i] += 60e6
	}
	s, err := Prepare(TableOf(w), Division{Validation: 0.1, Test: 0.25, Scaler: Robust})
	if err != nil {
		t.Fatal(err)
	}
	c := patchtst.Deployed()
	c.ContextLength, c.PredictionLength, c.Channels, c.ModelWidth, c.FeedForwardWidth, c.Heads, c.Layers = 24, 4, 2, 8, 8, 2, 1
	o := patchtst.NewOptions()
	o.Epochs, o.Seed = 2, 1
	m, report, err := s.Fit(context.Background(), c, o)
	if err != nil || len(report.Epochs) != 2 || report.Epochs[0].Validation.Windows == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, limit := range []int{0, 14} {
		o.WindowsPerEpoch = limit
		j, err := s.Judge(context.Background(), m, nil, Size{24, 4}, o)
		if err != nil || !j.Unseen || j.Missing != "" || len(j.Scores) != 4 {
			t.Fatalf("%+v, %v", j, err)
		}
		for _, score := range j.Scores {
			if score.Windows != j.Scores[0].Windows || !(score.MSE > 0) || !(score.MAE > 0) {
				t.Errorf("limit %d: %+v beside %+v", limit, score, j.Scores[0])
			}
		}
		if ridge, season, last := j.Scores[1], j.Scores[2], j.Scores[3]; ridge.MSE > last.MSE || season.Name != "seasonal naive (12 rows)" {
			t.Errorf("%+v", j.Scores)
		}
	}
}

func TestLastValueByHand(t *testing.T) {
	s, err := Prepare(table([]float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), Division{Test: 0.3, Scaler: MinMax})
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Judge(context.Background(), nil, nil, Size{2, 2}, patchtst.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Learned from 0..6, so a step is 1/6: off by one step, then by two.
	last := j.Scores[len(j.Scores)-1]
	if last.Windows != 2 || math.Abs(last.MSE-(1.0/36+4.0/36)/2) > 1e-6 || math.Abs(last.MAE-1.5/6) > 1e-6 || j.Missing == "" {
		t.Errorf("%+v", j)
	}
}
