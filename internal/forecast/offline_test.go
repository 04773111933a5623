package forecast

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
)

// waves is a window of two sensors, 1 s apart, named against their order.
func waves(rows int) fettle.Window {
	w := fettle.Window{Machine: "m", Sensors: []string{"b", "a"}, Columns: make([][]float64, 2)}
	start := time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC).UnixMicro()
	for i := range rows {
		w.TimesMicros = append(w.TimesMicros, start+int64(i)*1e6)
		w.Columns[0] = append(w.Columns[0], 100+10*math.Sin(float64(i)/3))
		w.Columns[1] = append(w.Columns[1], math.Cos(float64(i)/3))
	}
	return w
}

// What is fitted to a window is what is fitted to the same rows as readings,
// and what its file forecasts goes on with the wave.
func TestRidgeOfAWindow(t *testing.T) {
	w := waves(400)
	r, err := FitRidge(w, 20, 5)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Publication("m")
	if !slices.Equal(p.Sensors, []string{"a", "b"}) || p.Context != 20 || p.Horizon != 5 || p.StepSeconds != 1 || r.Season() < 2 {
		t.Errorf("%+v, season %d", p, r.Season())
	}
	version, err := model.Write(t.TempDir()+"/r", p, time.Now(), r.Save)
	if err != nil {
		t.Fatal(err)
	}
	now := sortedSensors(w)
	made, err := Once(version, now)
	if err != nil {
		t.Fatal(err)
	}
	if made.Steps() != 5 || made.Coverage != coverage || !made.TimeOf(0).Equal(made.Origin.Add(time.Second)) {
		t.Errorf("%+v", made)
	}
	for h, v := range made.Sensors[1].Values {
		if want := 100 + 10*math.Sin(float64(400+h)/3); math.Abs(v-want) > 0.1 {
			t.Errorf("b in %d steps: %v, want %v", h+1, v, want)
		}
	}
}

func TestOnceHoldsShortSilence(t *testing.T) {
	w := sortedSensors(waves(400))
	r, err := FitRidge(w, 20, 5)
	if err != nil {
		t.Fatal(err)
	}
	version, err := model.Write(t.TempDir()+"/r", r.Publication("m"), time.Now(), r.Save)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what         string
		rows, silent int // the newest of a's
		want         string
	}{
		{"enough", 20, 0, ""},
		{"a short silence", 400, maxFill, ""},
		{"a long silence", 400, maxFill + 1, "have 0 of 20 rows to look back on of sensor a"},
		{"too few rows", 19, 0, "have 19 of 20 rows"},
	} {
		part := w.Slice(w.Rows()-c.rows, w.Rows())
		part.Columns[0] = slices.Clone(part.Columns[0])
		for i := range c.silent {
			part.Columns[0][c.rows-1-i] = math.NaN()
		}
		_, err := Once(version, part)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestFitRidgeRefuses(t *testing.T) {
	for _, c := range []struct {
		rows, context, horizon int
		want                   string
	}{
		{400, 5000, 5, "ridge.context is 5000"},
		{400, 20, 5000, "ridge.steps is 5000"},
		{30, 20, 5, "have 30 of 50 rows"},
	} {
		if _, err := FitRidge(waves(c.rows), c.context, c.horizon); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
