package forecast

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A forecast is made of rows up to its time only: it is the same, to the bit,
// whether the machine has gone on since or not.
func TestForecastSeesNoRowAfterItsTime(t *testing.T) {
	rows := wave(3000, 2*time.Second)
	at := rows[1499].Time
	var made [2]Made
	for i, stored := range [][]fettle.Reading{rows[:1500], rows} {
		b := newBench(t)
		b.store(stored)
		b.learn(at)
		made[i] = b.forecast(at)
		made[i].Model = "" // named after the second it was published in
	}
	if !reflect.DeepEqual(made[0], made[1]) {
		t.Errorf("rows after %s changed the forecast:\n%+v\n%+v", at, made[0].Forecast, made[1].Forecast)
	}
}

// On a wave with noise the forecast is far better than the last value, and nine
// of ten readings lie in its band.
func TestForecastOfAWave(t *testing.T) {
	b := newBench(t)
	rows := wave(4000, 2*time.Second)
	b.store(rows)
	b.learn(rows[1999].Time)
	var errors, lastValue float64
	inside, steps := 0, 0
	for i := 2000; i+10 < len(rows); i += 7 {
		made := b.forecast(rows[i].Time)
		if !made.Origin.Equal(rows[i].Time) || made.StepSeconds != 2 || made.Steps() != 10 || made.Coverage != 0.9 {
			t.Fatalf("forecast at %s: %+v", rows[i].Time, made.Forecast)
		}
		for _, s := range made.Sensors {
			now, _ := rows[i].Value(s.Sensor)
			for h, v := range s.Values {
				actual, _ := rows[i+1+h].Value(s.Sensor)
				errors += (actual - v) * (actual - v)
				lastValue += (actual - now) * (actual - now)
				if s.Lower[h] <= actual && actual <= s.Upper[h] {
					inside++
				}
				steps++
			}
		}
	}
	if errors > lastValue/20 {
		t.Errorf("squared error %.1f, of the last value %.1f", errors, lastValue)
	}
	if share := float64(inside) / float64(steps); share < 0.87 || share > 0.93 {
		t.Errorf("%.1f %% of the readings lie in the 90 %% band", 100*share)
	}
}

// Who watches sees a forecast from the newest row, at no tick's cost.
func TestFreshLooksAheadFromTheNewestRow(t *testing.T) {
	b := newBench(t)
	rows := wave(330, 2*time.Second)
	b.store(rows[:300])
	b.learn(b.watermark())
	kept := b.forecast(b.watermark())
	b.store(rows[300:310])
	next := b.engine.Next("press", "short")
	for range 2 {
		made, err := b.engine.Fresh(t.Context(), "press", "short")
		if err != nil || !made.Origin.Equal(rows[309].Time) {
			t.Fatalf("fresh forecast from %s, %v; the newest row is of %s", made.Origin, err, rows[309].Time)
		}
	}
	if latest, _ := b.engine.Latest("press", "short"); !latest.Origin.Equal(kept.Origin) || b.engine.Next("press", "short") != next || b.engine.Stats().Made != 1 {
		t.Errorf("the kept forecast is of %s, want %s; %+v", latest.Origin, kept.Origin, b.engine.Stats())
	}
	if _, err := b.engine.Fresh(t.Context(), "nobody", "short"); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("of an unknown machine: %v", err)
	}
}

// What the old rule needs comes along: the look-back and the fit's ranges.
func TestForecastShowsWhatItWasMadeFrom(t *testing.T) {
	b := newBench(t)
	rows := wave(300, 2*time.Second)
	b.store(rows)
	b.learn(b.watermark())
	made := b.forecast(b.watermark())
	if w := made.Window; w.Rows() != 50 || !slices.Equal(w.Sensors, []string{"load", "temp"}) || w.TimesMicros[49] != rows[299].Time.UnixMicro() {
		t.Errorf("window of %d rows of %q", w.Rows(), w.Sensors)
	}
	for i, sensor := range made.Window.Sensors {
		want := fettle.Span{Low: math.Inf(1), High: math.Inf(-1)}
		for j, r := range rows {
			v, _ := r.Value(sensor)
			want.Low, want.High = min(want.Low, v), max(want.High, v)
			if j >= 250 && made.Window.Columns[i][j-250] != v {
				t.Errorf("%s in row %d of the window: %g, stored %g", sensor, j-250, made.Window.Columns[i][j-250], v)
			}
		}
		if made.Scale[i] != want {
			t.Errorf("%s spans %+v, want %+v", sensor, made.Scale[i], want)
		}
	}
}

func TestMissingValues(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent []int // rows, counted back from the newest, in which temp says nothing
		want   []string
	}{
		{"none", nil, []string{"load", "temp"}},
		{"five in a row", []int{10, 11, 12, 13, 14}, []string{"load", "temp"}},
		{"the newest five", []int{0, 1, 2, 3, 4}, []string{"load", "temp"}},
		{"the oldest of the look-back, and those before", []int{48, 49, 50, 51, 52}, []string{"load", "temp"}},
		{"six in a row", []int{10, 11, 12, 13, 14, 15}, []string{"load"}},
		{"the newest six", []int{0, 1, 2, 3, 4, 5}, []string{"load"}},
		{"before the look-back", []int{50, 51, 52, 53, 54, 55}, []string{"load", "temp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			rows := wave(300, 2*time.Second)
			b.store(rows[:200])
			b.learn(b.watermark())
			for _, back := range c.silent {
				r := &rows[299-back]
				r.Values = r.Values[:1]
			}
			b.store(rows[200:])
			made := b.forecast(b.watermark())
			if !slices.Equal(made.Window.Sensors, c.want) {
				t.Errorf("forecast of %q, want %q", made.Window.Sensors, c.want)
			}
			for i, column := range made.Window.Columns {
				if !finite(column) || !finite(made.Sensors[i].Values) {
					t.Errorf("%s is not finite", made.Window.Sensors[i])
				}
			}
		})
	}
}

// A constant is forecast as itself, within a band of no width.
func TestForecastOfAConstant(t *testing.T) {
	b := newBench(t)
	b.store(machineRows(200, map[string][]float64{"load": sine(200, 20, 0.1), "valve": constant(200, 0.1)}))
	b.learn(b.watermark())
	made := b.forecast(b.watermark())
	for h, v := range made.Sensors[1].Values {
		if v != 0.1 || made.Sensors[1].Lower[h] != 0.1 || made.Sensors[1].Upper[h] != 0.1 {
			t.Errorf("step %d: %g in %g..%g", h, v, made.Sensors[1].Lower[h], made.Sensors[1].Upper[h])
		}
	}
}

func TestExplainSaysWhyThereIsNoForecast(t *testing.T) {
	b := newBench(t)
	reason := func(want string, have, need int) {
		t.Helper()
		err := b.engine.Explain("press", "short")
		if fettle.ReasonOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
		if short := missing(err); (short != nil) != (need > 0) || short != nil && (short.Have != have || short.Need != need) {
			t.Errorf("%v, want %d of %d", err, have, need)
		}
	}
	rows := wave(260, 2*time.Second)
	reason("unknown_workspace", 0, 0)
	b.store(rows[:40])
	reason("not_enough_data", 40, 120)
	b.store(rows[:100])
	b.ticks(b.watermark())
	reason("not_enough_data", 100, 120)
	b.store(rows[:119])
	reason("not_enough_data", 119, 120)
	b.store(rows[:130])
	reason("pending", 0, 0)
	b.learn(b.watermark())
	reason("pending", 0, 0)
	b.store(rows)
	b.ticks(b.watermark())
	if err := b.engine.Explain("press", "short"); err != nil {
		t.Errorf("there is a forecast, and yet: %v", err)
	}
}

func TestExplainBeforeTheFirstTick(t *testing.T) {
	b := newBench(t)
	b.store(wave(130, 2*time.Second))
	b.learn(b.watermark())
	if _, due := b.engine.Due("press", origin); due {
		t.Error("due before the first look-back")
	}
	if err := b.engine.Explain("press", "short"); fettle.ReasonOf(err) != ReasonPending {
		t.Errorf("%v, want %s", err, ReasonPending)
	}
}

// The newest forecast is there after a restart, as it was.
func TestLatestOutlivesARestart(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	if _, found := b.engine.Latest("press", "short"); found {
		t.Error("a forecast before the first")
	}
	b.learn(b.watermark())
	b.ticks(b.watermark())
	before, _ := b.engine.Latest("press", "short")
	b.restart()
	after, found := b.engine.Latest("press", "short")
	if !found || !reflect.DeepEqual(before, after) {
		t.Errorf("before the restart\n%+v\nafter it\n%+v", before, after)
	}
	if _, found := b.engine.Latest("lathe", "short"); found {
		t.Error("an unknown machine has a forecast")
	}
}

func TestUnknownMachine(t *testing.T) {
	b := newBench(t)
	if _, err := b.engine.Forecast(t.Context(), "lathe", Tick{"short", origin}); fettle.KindOf(err) != fettle.NotFound || fettle.ReasonOf(err) != ReasonUnknown {
		t.Errorf("%v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	hour := func(change func(*Forecaster)) []Forecaster {
		f := Defaults()[1]
		change(&f)
		return []Forecaster{f}
	}
	for _, c := range []struct {
		want  string
		plans []Forecaster
	}{
		{"hour.interval is 1ms; expected at least 1s", hour(func(f *Forecaster) { f.Interval = time.Millisecond })},
		{"short.lookback is -1ns; expected a positive duration", []Forecaster{{Name: "short", Lookback: -1}}},
		{"hour.context is 1; expected 2..4096", hour(func(f *Forecaster) { f.Context = 1 })},
		{"hour.context is 4097", hour(func(f *Forecaster) { f.Context = maxContext + 1 })},
		{"hour.steps is -3", hour(func(f *Forecaster) { f.Steps = -3 })},
		{"hour.step is 7m0s; expected 1s to 24h, so that a day has a whole number of them", hour(func(f *Forecaster) { f.Step = 7 * time.Minute })},
		{"short.step is 1s; expected 0", []Forecaster{{Name: "short", Step: time.Second}}},
		{"name; expected a name", hour(func(f *Forecaster) { f.Name = "" })},
		{"name is hour; expected a name of at most 128 bytes, each once", append(Defaults(), Defaults()[1])},
		{"forecasters is 9; expected at most 8", slices.Repeat(Defaults(), 3)},
	} {
		if _, err := New(Config{Forecasters: c.plans}, nil, nil, nil, nil); fettle.KindOf(err) != fettle.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// The old system's questions, on a machine whose sensors say what they said
// before: every forecast is right.
func TestValidateAgainstWhatCame(t *testing.T) {
	b := newBench(t)
	rows := wave(600, 2*time.Second)
	b.store(rows)
	b.learn(b.watermark())
	v, err := b.engine.Validate(t.Context(), "press")
	if err != nil {
		t.Fatal(err)
	}
	if !v.Origin.Equal(rows[589].Time) || len(v.Sensors) != 2 || v.StepSeconds != 2 || v.Model == "" {
		t.Fatalf("%+v", v)
	}
	made := b.forecast(rows[589].Time)
	var sum float64
	for i, s := range v.Sensors {
		if !slices.Equal(s.Predictions, made.Sensors[i].Values) {
			t.Errorf("%s: predictions %v, forecast at that time %v", s.Sensor, s.Predictions, made.Sensors[i].Values)
		}
		span := made.Scale[i]
		var mae, mse, mape float64
		for h, p := range s.Predictions {
			a, _ := rows[590+h].Value(s.Sensor)
			if a != s.Actuals[h] {
				t.Errorf("%s: actual %d is %g, stored %g", s.Sensor, h, s.Actuals[h], a)
			}
			mae += math.Abs(a-p) / 10
			mse += (a - p) * (a - p) / 10
			a, p = (a-span.Low)/(span.High-span.Low), (p-span.Low)/(span.High-span.Low)
			mape += 100 * math.Abs((a-p)/(a+1e-8)) / 10
		}
		for what, pair := range map[string][2]float64{"MAE": {s.MAE, mae}, "RMSE": {s.RMSE, math.Sqrt(mse)}, "MAPE": {s.MAPE, mape}} {
			if math.Abs(pair[0]-pair[1]) > 1e-9*pair[1] {
				t.Errorf("%s of %s: %g, want %g", what, s.Sensor, pair[0], pair[1])
			}
		}
		sum += mape
	}
	if want := max(0, 100-sum/2); math.Abs(v.OverallAccuracy-want) > 1e-9 {
		t.Errorf("accuracy %g, want %g", v.OverallAccuracy, want)
	}
}

func TestValidateSaysWhatIsMissing(t *testing.T) {
	b := newBench(t)
	refused := func(want string, kind fettle.Kind) {
		t.Helper()
		if _, err := b.engine.Validate(t.Context(), "press"); err == nil || err.Error() != want || fettle.KindOf(err) != kind {
			t.Errorf("%v, want %q", err, want)
		}
	}
	refused("No model for press", fettle.NotFound)
	rows := wave(240, 2*time.Second)
	b.store(rows[:200])
	refused("No model for press", fettle.NotFound)
	b.learn(b.watermark())
	for i := 200; i < 240; i++ {
		rows[i].Time = rows[i].Time.Add(time.Hour)
	}
	b.store(rows[200:])
	refused("Insufficient data for validation. Found 40 points, need at least 60. Data may be too recent or sparse.", fettle.Unavailable)
}

// A machine that reads every five minutes has its 60 rows in five hours.
func TestValidateASlowMachine(t *testing.T) {
	b := newBench(t)
	b.store(wave(200, 5*time.Minute))
	b.learn(b.watermark())
	if _, err := b.engine.Validate(t.Context(), "press"); err != nil {
		t.Error(err)
	}
}

// Whoever asks over HTTP while the machine is worked on gets whole answers.
func TestQuestionsDuringWork(t *testing.T) {
	b := newBench(t)
	b.store(wave(2000, 2*time.Second))
	b.learn(b.watermark())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			if made, found := b.engine.Latest("press", "short"); found {
				if _, err := json.Marshal(made); err != nil {
					t.Error(err)
				}
			}
			if _, err := b.engine.Validate(t.Context(), "press"); err != nil {
				t.Error(err)
			}
			_ = b.engine.Explain("press", "short")
			b.engine.Next("press", "short")
			b.engine.Stats()
		}
	}()
	b.ticks(b.watermark())
	<-done
}
