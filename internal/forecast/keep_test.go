package forecast

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"

	"pgregory.net/rapid"
)

// drawKept is any forecast that could be kept.
func drawKept(t *rapid.T) kept {
	k := kept{
		model: rapid.StringN(0, 60, 128).Draw(t, "model"),
		step:  rapid.Int64Range(1, 1<<40).Draw(t, "step"),
		steps: rapid.IntRange(1, 20).Draw(t, "steps"),
	}
	for range rapid.IntRange(0, 5).Draw(t, "sensors") {
		by := math.Pow10(rapid.IntRange(-12, 12).Draw(t, "size"))
		number := rapid.Custom(func(t *rapid.T) float64 { return by * rapid.Float64Range(-100, 100).Draw(t, "v") })
		s := keptSensor{name: rapid.StringN(1, 20, 60).Draw(t, "name"), last: number.Draw(t, "last")}
		banded, season := rapid.Bool().Draw(t, "banded"), rapid.Bool().Draw(t, "season")
		for range k.steps {
			v := number.Draw(t, "value")
			s.values = append(s.values, v)
			if banded {
				lower := v + number.Draw(t, "lower")
				s.lower, s.upper = append(s.lower, lower), append(s.upper, lower+math.Abs(number.Draw(t, "width")))
			}
			if season {
				s.seasonal = append(s.seasonal, number.Draw(t, "seasonal"))
			}
		}
		k.sensors = append(k.sensors, s)
	}
	return k
}

// What is read differs from what was written by the rounding, and reads and
// writes again as it is.
func TestKeptForecastsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawKept(t)
		got, err := readKept(k.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got.model != k.model || got.step != k.step || got.steps != k.steps || len(got.sensors) != len(k.sensors) {
			t.Fatalf("%+v became %+v", k, got)
		}
		for i, s := range k.sensors {
			unit := s.unit()
			for n, lists := range [][2][]float64{{s.values, got.sensors[i].values}, {s.lower, got.sensors[i].lower}, {s.upper, got.sensors[i].upper}, {s.seasonal, got.sensors[i].seasonal}} {
				if len(lists[0]) != len(lists[1]) {
					t.Fatalf("%d numbers became %d", len(lists[0]), len(lists[1]))
				}
				for h, v := range lists[0] {
					if off := math.Abs(v - lists[1][h]); off > 0.51*unit+1e-12*math.Abs(v) {
						t.Fatalf("list %d, step %d: %g became %g, with units of %g", n, h, v, lists[1][h], unit)
					}
				}
			}
			for h := range s.lower {
				if got.sensors[i].lower[h] > got.sensors[i].upper[h] {
					t.Fatalf("the edges of %v changed places", s)
				}
			}
		}
	})
}

// A usual forecast takes some 50 bytes a sensor: those of a thousand machines,
// once a minute for a week, are 4 GB before the store compresses them.
func TestKeptForecastsAreSmall(t *testing.T) {
	k := keepMade(usualForecast())
	if size := len(k.append(nil)); size > 6*70+100 {
		t.Errorf("a forecast of six sensors and ten steps takes %d bytes", size)
	}
}

// usualForecast is one of six sensors, with bands that widen.
func usualForecast() Made {
	made := Made{Forecast: fettle.Forecast{Machine: "press", Forecaster: "short", Model: "model_press_20260301_000000", Origin: origin, StepSeconds: 2}, Season: 25}
	for i, name := range []string{"accX", "accY", "accZ", "current", "tempA", "tempB"} {
		column := scale(sine(50, 25, 0.2), 3, float64(10*i))
		s := fettle.SensorForecast{Sensor: name}
		for h := range 10 {
			v := column[49] + math.Sin(float64(h))
			s.Values, s.Lower, s.Upper = append(s.Values, v), append(s.Lower, v-1-0.1*float64(h)), append(s.Upper, v+1+0.1*float64(h))
		}
		made.Sensors, made.Window.Columns = append(made.Sensors, s), append(made.Window.Columns, column)
	}
	return made
}

// What is beyond the limits is not kept, and stops nothing.
func TestForecastsThatAreNotKept(t *testing.T) {
	made := usualForecast()
	made.Sensors[2].Values[3] = math.MaxFloat64
	made.Window.Columns[2][49] = -math.MaxFloat64
	if k := keepMade(made); len(k.sensors) != 5 {
		t.Errorf("%d sensors are kept, want those whose differences are numbers", len(k.sensors))
	}
	var b book
	k := keepMade(usualForecast())
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true}, {0, false}, {-time.Minute, false}, {10 * time.Millisecond, false}, {time.Minute, true},
	} {
		k.origin = origin.Add(c.after).UnixMicro()
		if got := b.take(k); got != c.want {
			t.Errorf("a forecast %s after the first is kept: %v", c.after, got)
		}
	}
}

// Kept are the forecasts of the last seven days of a machine's event time.
func TestForecastsAreKeptForAWeek(t *testing.T) {
	b := newBench(t)
	const step = time.Hour // the machine's own
	b.store(wave(900, step))
	b.learn(origin.Add(199 * step))
	ticks := b.ticks(b.watermark())
	last := ticks[len(ticks)-1]
	var origins []time.Time
	collect := func(f fettle.Forecast) error {
		origins = append(origins, f.Origin)
		if f.Machine != "press" || f.Forecaster != "short" || f.Coverage != coverage || f.Steps() != 10 || len(f.Sensors) != 2 {
			t.Errorf("kept %+v", f)
		}
		return nil
	}
	if err := b.engine.Kept("press", "short", origin, last.Add(time.Hour), collect); err != nil {
		t.Fatal(err)
	}
	oldest, newest := origins[0], origins[len(origins)-1]
	if !newest.Equal(last) || last.Sub(oldest) < keptFor || last.Sub(oldest) > keptFor+25*time.Hour {
		t.Errorf("kept from %s to %s, want seven or eight days up to %s", oldest, newest, last)
	}
	if !slices.IsSortedFunc(origins, time.Time.Compare) || len(origins) != int(last.Sub(oldest)/step)+1 {
		t.Errorf("%d forecasts between %s and %s", len(origins), oldest, newest)
	}
	origins = nil
	err := b.engine.Kept("press", "short", last.Add(-step), last, func(f fettle.Forecast) error { return errors.Join(collect(f), db.Stop) })
	if err != nil || len(origins) != 1 || !origins[0].Equal(last.Add(-step)) {
		t.Errorf("between two times: %v, %v", origins, err)
	}
	if err := b.engine.Kept("lathe", "short", origin, last, collect); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("of an unknown machine: %v", err)
	}
	// Scores by the day outlive them.
	a := b.accuracy(origin, last.Add(time.Hour))
	if first := a.Buckets[0].From; first.Sub(ticks[0].Truncate(24*time.Hour)) > 48*time.Hour || a.Buckets[0].Hours != 24 {
		t.Errorf("scores begin at %s in buckets of %d h, the ticks at %s", first, a.Buckets[0].Hours, ticks[0])
	}
}

// Whatever lies in the store, reading it gives a forecast that can be scored or
// an error.
func FuzzReadKept(f *testing.F) {
	f.Add(keepMade(usualForecast()).append(nil))
	f.Add(keepMade(usualForecast()).append(nil)[:50])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		k, err := readKept(value)
		if err != nil {
			return
		}
		for _, s := range k.sensors {
			for _, list := range [][]float64{s.lower, s.upper, s.seasonal} {
				if len(s.values) != k.steps || len(list) != 0 && len(list) != k.steps {
					t.Fatalf("%d steps with lists of %d and %d", k.steps, len(s.values), len(list))
				}
			}
		}
	})
}
