package forecast

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A ridge is fitted once 120 rows are there, and at each doubling.
func TestLearnAt120RowsAndEachDoubling(t *testing.T) {
	b := newBench(t)
	rows := wave(1000, 2*time.Second)
	var fits []int
	for n := 10; n <= len(rows); n += 10 {
		b.store(rows[n-10 : n])
		if b.learn(b.watermark()) {
			fits = append(fits, n)
		}
	}
	if want := []int{120, 240, 480, 960}; !slices.Equal(fits, want) {
		t.Errorf("fits at %v rows, want %v", fits, want)
	}
	if n := b.engine.Stats().Fits; n != 4 {
		t.Errorf("%d fits counted", n)
	}
	if n := len(b.models.List()); n != ridgesKept {
		t.Errorf("%d versions kept, want %d", n, ridgesKept)
	}
	champion, _ := b.models.Champion("press", fettle.ShortForecaster)
	if champion.TrainedRows != 960 || champion.StepSeconds != 2 || champion.Context != 50 || champion.Horizon != 10 || champion.Parameters != 500 {
		t.Errorf("champion %+v", champion.Model)
	}
}

// Back-fill commits everything at once and is worked off tick by tick: the same
// fits, at the same rows.
func TestLearnInBackFillCountsRowsUpToTheTick(t *testing.T) {
	b := newBench(t)
	b.store(wave(2000, 2*time.Second))
	var fits []int64
	for {
		tick, due := b.engine.Due("press", b.watermark())
		if !due {
			break
		}
		if b.learn(tick.At) {
			champion, _ := b.models.Champion("press", "short")
			fits = append(fits, champion.TrainedRows)
		}
		if _, err := b.engine.Forecast(t.Context(), "press", tick); err != nil && missing(err) == nil {
			t.Fatal(err)
		}
	}
	if want := []int64{121, 271, 571, 1171}; !slices.Equal(fits, want) { // at 4, 9, 19 and 39 minutes
		t.Errorf("fitted to %v rows, want %v", fits, want)
	}
}

// With 30 days of history a machine is fitted every day, to 30 days.
func TestLearnDailyFromThirtyDaysOn(t *testing.T) {
	b := newBench(t)
	rows := wave(33*24, time.Hour)
	b.store(rows)
	var days []int
	for day := 25; day < 33; day++ {
		for hour := 1; hour <= 24; hour += 6 {
			if b.learn(rows[day*24+hour-2].Time) {
				days = append(days, day)
			}
		}
	}
	if want := []int{25, 30, 31, 32}; !slices.Equal(days, want) {
		t.Errorf("fitted on days %v, want %v", days, want)
	}
	if champion, _ := b.models.Champion("press", fettle.ShortForecaster); champion.TrainedRows != 30*24+1 {
		t.Errorf("fitted to %d rows, want those of 30 days", champion.TrainedRows)
	}
}

// Machines that were switched on together are fitted at different minutes, each
// day at the same, and each once a day.
func TestFitsAreSpreadOverMachines(t *testing.T) {
	const machines, ticks = 1000, 24 * 60
	begin := origin.Truncate(24 * time.Hour)
	for _, plan := range Defaults() {
		at := map[time.Duration]int{}
		doubled := map[int64]int{}
		for i := range machines {
			m := &memory{machine: fmt.Sprintf("press-%d", i), plan: plan}
			info := readings.Info{First: begin.AddDate(-2, 0, 0)}
			m.tried = mark{rows: 1, at: begin.AddDate(0, 0, -1)}
			var fits []time.Duration
			for minute := range 2 * ticks {
				until := begin.Add(time.Duration(minute) * time.Minute)
				ask := learnRequest{until: until, rows: plan.firstFit() + int64(minute)}
				if m.fitDue(m.tried, info, ask) != m.newDay(info, until) {
					t.Fatalf("%s of %s is fitted at %s by one rule only", plan.Name, m.machine, until)
				}
				if m.newDay(info, until) {
					m.tried.at = until
					fits = append(fits, until.Sub(begin))
				}
			}
			if len(fits) < 2 || len(fits) > 3 || fits[len(fits)-1]-fits[len(fits)-2] != learnEvery {
				t.Fatalf("%s of %s is fitted at %v", plan.Name, m.machine, fits)
			}
			at[fits[len(fits)-1]%learnEvery]++
			rows := int64(1000)
			for !m.fitDue(mark{rows: 1000}, readings.Info{First: begin}, learnRequest{until: begin, rows: rows}) {
				rows++
			}
			doubled[rows]++
		}
		for minute, n := range at {
			if n > 6 {
				t.Errorf("%s: %d of %d machines are fitted at %s", plan.Name, n, machines, minute)
			}
		}
		if want := 200; plan.own() != (len(doubled) == 1) || !plan.own() && len(doubled) < want {
			t.Errorf("%s: machines double at %d different counts of rows", plan.Name, len(doubled))
		}
	}
}

// Forecasters with steps of their own, whose ticks are those of all machines, are
// fitted at the short one's.
func TestDailyFitAtTheShortTick(t *testing.T) {
	b := newBench(t)
	b.plans = append(b.plans, Forecaster{Name: "hours", Step: time.Hour, Context: 24, Steps: 12, Interval: time.Hour})
	b.restart()
	b.store(wave(368*24, time.Hour))
	first := origin.AddDate(0, 0, 366)
	if fitted, err := b.engine.Learn(t.Context(), "press", Tick{"hours", first}, func(string, time.Time, time.Time) []fettle.Interval { return nil }); err != nil || !fitted {
		t.Fatalf("the first fit: %v, %v", fitted, err)
	}
	b.learn(first)
	var fits []time.Duration
	newest := b.models.Versions("press")
	for minute := 15; minute <= 24*60; minute += 15 {
		b.learn(first.Add(time.Duration(minute) * time.Minute))
		versions := b.models.Versions("press")
		if i := slices.IndexFunc(versions, func(v model.Version) bool {
			return v.Forecaster == "hours" && v.Created.After(newest[len(newest)-1].Created)
		}); i >= 0 {
			fits = append(fits, time.Duration(minute)*time.Minute)
		}
		newest = versions
	}
	if len(fits) != 1 {
		t.Errorf("fitted after %v, want once a day", fits)
	}
}

// A new process knows from the model's folder what it was fitted to.
func TestLearnDoesNotRefitAfterARestart(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	if !b.learn(b.watermark()) {
		t.Fatal("not fitted")
	}
	b.restart()
	if b.learn(b.watermark()) {
		t.Error("fitted again after a restart")
	}
	b.store(wave(600, 2*time.Second))
	if !b.learn(b.watermark()) {
		t.Error("not fitted at twice the rows")
	}
}

func TestLearnAgainWhenTheRowsAreOthers(t *testing.T) {
	b := newBench(t)
	b.store(wave(2000, 2*time.Second))
	b.learn(b.watermark())
	b.close()
	if err := os.RemoveAll(filepath.Join(b.dir, "db")); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.store(wave(200, 2*time.Second))
	if !b.learn(b.watermark()) {
		t.Error("the model of readings that are gone was kept")
	}
	if b.learn(b.watermark()) {
		t.Error("fitted twice to the same rows")
	}
}

// What cannot be fitted is no error, and is tried again at twice the rows.
func TestLearnWaitsForWholeWindows(t *testing.T) {
	b := newBench(t)
	rows := wave(600, 2*time.Second)
	for i := range 200 { // the first 200 rows have a gap every 40
		rows[i].Time = rows[i].Time.Add(time.Duration(i/40-5) * time.Minute)
	}
	b.store(rows[:200])
	if b.learn(b.watermark()) {
		t.Error("fitted without a whole window")
	}
	b.store(rows[200:390])
	if b.learn(b.watermark()) {
		t.Error("tried again before twice the rows")
	}
	b.store(rows[390:])
	if !b.learn(b.watermark()) {
		t.Error("not fitted once there are whole windows")
	}
}

// Rows in quarantine are not learnt from; the fit asks about its own time only.
func TestLearnAsksForTheQuarantine(t *testing.T) {
	b := newBench(t)
	rows := wave(400, 2*time.Second)
	b.store(rows)
	_, err := b.engine.Learn(t.Context(), "press", Tick{"short", rows[399].Time}, func(machine string, from, to time.Time) []fettle.Interval {
		if machine != "press" || !from.Equal(rows[0].Time) || !to.Equal(rows[399].Time.Add(time.Microsecond)) {
			t.Errorf("asked for %s from %s to %s", machine, from, to)
		}
		return []fettle.Interval{{From: rows[100].Time, To: rows[150].Time}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if champion, _ := b.models.Champion("press", fettle.ShortForecaster); champion.TrainedRows != 350 {
		t.Errorf("fitted to %d rows, want 350", champion.TrainedRows)
	}
}

// A sensor that appears later is forecast from the next fit on.
func TestLearnPicksUpANewSensor(t *testing.T) {
	b := newBench(t)
	rows := wave(600, 2*time.Second)
	for i := 200; i < len(rows); i++ {
		rows[i].Values = fettle.SortValues(append(rows[i].Values, fettle.Value{Sensor: "pressure", Value: float64(i % 9)}))
	}
	for _, c := range []struct {
		rows int
		want []string
	}{{200, []string{"load", "temp"}}, {300, []string{"load", "temp"}}, {600, []string{"load", "pressure", "temp"}}} {
		b.store(rows[:c.rows])
		b.learn(b.watermark())
		if made := b.forecast(b.watermark()); !slices.Equal(made.Window.Sensors, c.want) {
			t.Errorf("%d rows: forecast of %q, want %q", c.rows, made.Window.Sensors, c.want)
		}
	}
}

// Of a machine with more sensors than a ridge may cover, the first by name are
// forecast.
func TestLearnOfTooManySensors(t *testing.T) {
	b := newBench(t)
	rows := make([]fettle.Reading, 150)
	for i := range rows {
		rows[i] = fettle.Reading{Machine: "press", Time: origin.Add(time.Duration(i) * time.Second)}
		for s := range maxSensors + 44 {
			rows[i].Values = append(rows[i].Values, fettle.Value{Sensor: fmt.Sprintf("s%03d", s), Value: float64((i + s) % 17)})
		}
	}
	b.store(rows)
	b.learn(b.watermark())
	made := b.forecast(b.watermark())
	if n := len(made.Sensors); n != maxSensors || made.Sensors[n-1].Sensor != "s255" {
		t.Errorf("forecast of %d sensors", n)
	}
}

// A broken folder stops nothing: the next fit replaces it.
func TestLearnReplacesABrokenRidge(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	b.learn(b.watermark())
	champion, _ := b.models.Champion("press", fettle.ShortForecaster)
	b.close()
	for _, name := range []string{ridgeName, "fettle.json"} {
		path := filepath.Join(champion.Dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == ridgeName {
			text = []byte(strings.Replace(string(text), `"weights"`, `"wights"`, 1))
		} else { // without its hash, as a folder made by hand
			text = []byte(strings.Replace(string(text), `"sha256"`, `"was"`, 1))
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	if _, err := b.engine.Forecast(t.Context(), "press", Tick{"short", b.watermark()}); fettle.ReasonOf(err) != ReasonModel || fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "weights") {
		t.Errorf("%v, want an unusable model that says why", err)
	}
	if !b.learn(b.watermark()) {
		t.Error("not fitted")
	}
	b.forecast(b.watermark())
}

func TestRidgeComesBackAsItWas(t *testing.T) {
	r := fitRows(t, wave(500, 2*time.Second))
	r.StoredRows = 512
	dir := t.TempDir()
	if err := r.save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := openRidge(dir)
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%v; wrote\n%+v\nread\n%+v", err, r, back)
	}
}

func TestRidgeFileIsChecked(t *testing.T) {
	for want, spoil := range map[string]func(*ridge){
		"format":          func(r *ridge) { r.Format = 2 },
		"context":         func(r *ridge) { r.Context = 1 },
		"horizon":         func(r *ridge) { r.Horizon = 0 },
		"step_seconds":    func(r *ridge) { r.StepSeconds = 0 },
		"weights":         func(r *ridge) { r.Weights = r.Weights[1:] },
		"weights[3]":      func(r *ridge) { r.Weights[3] = nil },
		"sensors":         func(r *ridge) { r.Sensors = nil },
		"sensors[1].name": func(r *ridge) { r.Sensors[1].Name = r.Sensors[0].Name },
		"sensors[0]":      func(r *ridge) { r.Sensors[0].Below = r.Sensors[0].Below[1:] },
	} {
		r := fitRows(t, wave(200, 2*time.Second))
		spoil(r)
		dir := t.TempDir()
		if err := r.save(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := openRidge(dir); err == nil || !strings.Contains(err.Error(), want+" is ") || fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("%s spoilt: %v", want, err)
		}
	}
}

// Whatever is read without error can forecast.
func FuzzReadRidge(f *testing.F) {
	f.Add([]byte(`{"format":1,"context":2,"horizon":1,"step_seconds":2,"weights":[[0.5,1]],"sensors":[{"name":"a","span":{"low":0,"high":1},"below":[-1],"above":[1]}]}`))
	f.Add([]byte(`{"format":1,"context":2,"horizon":1,"weights":[[0.5]],"sensors":[]}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := readRidge(bytes.NewReader(text))
		if err != nil {
			return
		}
		fc := forecastRidge(fettle.Model{}, r)
		values := fc.predict([][]float64{make([]float64, fc.model.Context)})[0]
		for _, b := range fc.bandsNow() {
			if len(b.Below) > 0 {
				plus(values, b.Below)
				plus(values, b.Above)
			}
		}
	})
}
