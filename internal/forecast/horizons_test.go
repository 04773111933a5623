package forecast

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// minutesPlan looks ten minutes ahead.
func minutesPlan() Forecaster {
	return Forecaster{Name: "minutes", Step: time.Minute, Context: 40, Steps: 10, Interval: 5 * time.Minute}
}

// slowWave goes up and down once in half an hour, a reading every 10 s.
func slowWave(rows int) []fettle.Reading {
	all := machineRows(rows, map[string][]float64{"load": scale(sine(rows, 180, 0.3), 10, 50), "temp": scale(sine(rows, 252, 0.3), 2, 20)})
	for i := range all {
		all[i].Time = origin.Add(time.Duration(i) * 10 * time.Second)
	}
	return all
}

// run works off all ticks up to the watermark, as the pipeline does, and returns
// the forecasts of one forecaster.
func (b *bench) run(forecaster string) (made []Made) {
	b.Helper()
	for {
		tick, due := b.engine.Due("press", b.watermark())
		if !due {
			return made
		}
		if _, err := b.engine.Learn(b.Context(), "press", tick, func(string, time.Time, time.Time) []fettle.Interval { return nil }); err != nil {
			b.Fatal(err)
		}
		got, err := b.engine.Forecast(b.Context(), "press", tick)
		if err != nil && fettle.KindOf(err) != fettle.Unavailable {
			b.Fatal(err)
		}
		if err == nil && tick.Forecaster == forecaster {
			made = append(made, got)
		}
	}
}

func newHorizonBench(t *testing.T) *bench {
	b := newBench(t)
	short := Short()
	short.Interval = 10 * time.Minute
	b.plans = []Forecaster{short, minutesPlan()}
	b.restart()
	return b
}

// A forecaster of minutes is fitted on the means of minutes once it has two
// windows of them, and looks ahead in minutes, far better than the last value.
func TestForecasterOfMinutes(t *testing.T) {
	b := newHorizonBench(t)
	rows := slowWave(6 * 360)
	b.store(rows)
	made := b.run("minutes")
	if len(made) != (6*60-100)/5 { // from minute 100 to 355, every five
		t.Errorf("%d forecasts", len(made))
	}
	mean := func(sensor string, minute int) float64 {
		var sum float64
		for _, r := range rows[minute*6 : minute*6+6] {
			v, _ := r.Value(sensor)
			sum += v / 6
		}
		return sum
	}
	var errors, lastValue float64
	for _, one := range made {
		minute := int(one.Origin.Sub(origin) / time.Minute)
		if one.Forecaster != "minutes" || one.StepSeconds != 60 || one.Steps() != 10 || one.Window.Rows() != 40 || !one.TimeOf(0).Equal(one.Origin.Add(time.Minute)) {
			t.Fatalf("%+v", one.Forecast)
		}
		for _, s := range one.Sensors {
			for h, v := range s.Values {
				if at := minute + 1 + h; at < 6*60 {
					actual := mean(s.Sensor, at)
					errors += (actual - v) * (actual - v)
					lastValue += math.Pow(actual-mean(s.Sensor, minute), 2)
				}
			}
		}
	}
	if errors > lastValue/20 {
		t.Errorf("squared error %.1f, of the last value %.1f", errors, lastValue)
	}
}

// Each forecaster has its own models: what one learns never serves another.
func TestForecastersDoNotServeForEachOther(t *testing.T) {
	b := newHorizonBench(t)
	b.store(slowWave(3 * 360))
	b.run("minutes")
	for _, want := range []struct {
		forecaster    string
		context, rows int
		step          float64
	}{{"short", 50, 50, 10}, {"minutes", 40, 40, 60}} {
		champion, found := b.models.Champion("press", want.forecaster)
		if !found || champion.Forecaster != want.forecaster || champion.Context != want.context || champion.StepSeconds != want.step {
			t.Errorf("champion of %s: %+v", want.forecaster, champion.Model)
		}
		latest, found := b.engine.Latest("press", want.forecaster)
		if !found || latest.Model != champion.Name || latest.StepSeconds != want.step {
			t.Errorf("%s: %+v", want.forecaster, latest.Forecast)
		}
		if err := b.engine.Explain("press", want.forecaster); err != nil {
			t.Error(err)
		}
	}
	before, _ := b.engine.Latest("press", "minutes")
	b.restart()
	if after, found := b.engine.Latest("press", "minutes"); !found || !reflect.DeepEqual(before, after) {
		t.Errorf("before the restart\n%+v\nafter it\n%+v", before, after)
	}
}

// The days that a machine lived through are the same, sealed or not, and so is
// what is made of them.
func TestReplayOverSealedDays(t *testing.T) {
	var made [2][]Made
	for i := range made {
		b := newHorizonBench(t)
		b.store(slowWave(26 * 360))
		if i == 1 {
			if n, err := b.rows.SealAll(t.Context()); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}
		for _, one := range b.run("minutes") {
			one.Model = ""
			made[i] = append(made[i], one)
		}
	}
	if len(made[0]) == 0 || len(made[0]) != len(made[1]) {
		t.Fatalf("%d and %d forecasts", len(made[0]), len(made[1]))
	}
	for i, one := range made[0] {
		for s, sensor := range one.Sensors {
			if !nearly(sensor.Values, made[1][i].Sensors[s].Values) {
				t.Errorf("%s at %s: %v, over sealed days %v", sensor.Sensor, one.Origin, sensor.Values, made[1][i].Sensors[s].Values)
			}
		}
	}
}

// nearly allows for another order of adding up a mean.
func nearly(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(a)) })
}

// A forecast of minutes sees no row after its time, and no minute that is not
// over.
func TestForecastOfMinutesSeesNoRowAfterItsTime(t *testing.T) {
	rows := slowWave(5 * 360)
	at := rows[4*360+15].Time // two minutes and a half into the hour
	var made [2]Made
	for i, stored := range [][]fettle.Reading{rows[:4*360+16], rows} {
		b := newHorizonBench(t)
		b.store(stored)
		tick := Tick{"minutes", at}
		if _, err := b.engine.Learn(t.Context(), "press", tick, func(string, time.Time, time.Time) []fettle.Interval { return nil }); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = b.engine.Forecast(t.Context(), "press", tick); err != nil {
			t.Fatal(err)
		}
		made[i].Model = ""
	}
	if !reflect.DeepEqual(made[0], made[1]) {
		t.Errorf("rows after %s changed the forecast", at)
	}
	if want := origin.Add(4*time.Hour + time.Minute); !made[0].Origin.Equal(want) {
		t.Errorf("forecast from the minute of %s, want %s", made[0].Origin, want)
	}
}

// A model of other steps than the forecaster's is not used, and says why.
func TestModelOfOtherStepsIsRefused(t *testing.T) {
	b := newHorizonBench(t)
	b.store(slowWave(3 * 360))
	b.run("minutes")
	b.plans[1].Step = 2 * time.Minute
	b.restart()
	_, err := b.engine.Forecast(t.Context(), "press", Tick{"minutes", b.watermark()})
	if want := "it was fitted on steps of 1m0s, and a step of minutes is 2m0s"; fettle.ReasonOf(err) != ReasonModel || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
