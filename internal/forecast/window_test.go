package forecast

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"fettle"
)

// A ridge looks back on rows without a gap between them; up to five that are
// missing are filled.
func TestLookBackEndsAtAGap(t *testing.T) {
	for _, c := range []struct {
		gap  time.Duration // beyond the usual step
		have int
	}{{0, 50}, {10 * time.Second, 50}, {12 * time.Second, 30}, {8 * time.Minute, 30}} {
		b := newBench(t)
		b.store(gapped(230, 200, c.gap))
		b.learn(b.watermark())
		_, err := b.engine.Forecast(t.Context(), "press", Tick{"short", b.watermark()})
		b.mustHave(err, c.have, 50)
	}
}

// For a model from elsewhere a gap in time only matters by making the look-back
// too old: the newest 50 rows of the last ten minutes, whatever lies between.
func TestLookBackOfAModelFromElsewhere(t *testing.T) {
	for _, c := range []struct {
		gap  time.Duration
		have int
	}{{0, 6}, {8 * time.Minute, 6}, {20 * time.Minute, 4}} {
		b := newBench(t)
		rows := gapped(230, 226, c.gap)
		b.store(rows)
		b.publishPatchTST(0, 100, "load", "temp")
		made, err := b.engine.Forecast(t.Context(), "press", Tick{"short", b.watermark()})
		b.mustHave(err, c.have, 6)
		for i := range made.Window.TimesMicros {
			load, _ := rows[224+i].Value("load")
			if made.Window.TimesMicros[i] != rows[224+i].Time.UnixMicro() || made.Window.Columns[0][i] != load {
				t.Errorf("row %d of the look-back is not the stored one", i)
			}
		}
	}
}

// gapped is a wave that stops for a while before one of its rows.
func gapped(rows, before int, gap time.Duration) []fettle.Reading {
	all := wave(rows, 2*time.Second)
	for i := before; i < rows; i++ {
		all[i].Time = all[i].Time.Add(gap)
	}
	return all
}

// mustHave checks that an error says how many rows there are, if too few.
func (b *bench) mustHave(err error, have, need int) {
	b.Helper()
	short := missing(err)
	if have == need {
		if err != nil {
			b.Error(err)
		}
	} else if short == nil || short.Have != have || short.Need != need || fettle.KindOf(err) != fettle.Unavailable {
		b.Errorf("%v, want %d of %d rows", err, have, need)
	}
}

// split is the same machine, but for that each sensor sends a message of its
// own, at its own moment.
func split(rows []fettle.Reading, apart time.Duration) (messages []fettle.Reading) {
	for _, r := range rows {
		for i, v := range r.Values {
			messages = append(messages, fettle.Reading{Machine: r.Machine, Time: r.Time.Add(time.Duration(i) * apart), Values: []fettle.Value{v}})
		}
	}
	return messages
}

// A machine whose sensors each send by themselves is learnt and forecast as if
// they sent together.
func TestMachineOfOneSensorAMessage(t *testing.T) {
	rows := wave(600, 2*time.Second)
	together, apart := newBench(t), newBench(t)
	together.store(rows)
	apart.store(split(rows, 900*time.Millisecond))
	var made [2]Made
	for i, b := range []*bench{together, apart} {
		b.learn(rows[500].Time.Add(time.Second))
		made[i] = b.forecast(rows[500].Time.Add(time.Second))
		made[i].Model = ""
	}
	if !reflect.DeepEqual(made[0], made[1]) {
		t.Errorf("together\n%+v\napart\n%+v", made[0].Forecast, made[1].Forecast)
	}
	// A moment earlier the newest row is still to be completed.
	if early := apart.forecast(rows[500].Time.Add(500 * time.Millisecond)); !early.Origin.Equal(rows[499].Time) {
		t.Errorf("forecast from %s, want from the last whole row, %s", early.Origin, rows[499].Time)
	}
}

// A machine that stops for an hour is forecast again once it has a look-back of
// new rows, and its ticks owe the hour nothing.
func TestMachineThatStopsForAnHour(t *testing.T) {
	b := newBench(t)
	rows := gapped(900, 600, time.Hour)
	b.store(rows)
	var silent []time.Duration
	made := 0
	for {
		tick, due := b.engine.Due("press", b.watermark())
		if !due {
			break
		}
		b.learn(tick.At)
		got, err := b.engine.Forecast(t.Context(), "press", tick)
		if err != nil {
			silent = append(silent, tick.At.Sub(origin))
			continue
		}
		made++
		if w := got.Window; w.TimesMicros[49]-w.TimesMicros[0] != 98*1e6 {
			t.Errorf("a look-back crosses the stop: %v", w.TimesMicros)
		}
	}
	hour := time.Hour + 20*time.Minute                                                      // 600 rows of 2 s, and the stop
	if want := append(minutes(2, 3), hour, hour+time.Minute); !slices.Equal(silent, want) { // too few rows for a fit; too few after the stop
		t.Errorf("no forecast at %v, want %v", silent, want)
	}
	if made != 17+8 {
		t.Errorf("%d forecasts", made)
	}
}

// Readings that come every one to three seconds are one row each.
func TestIrregularMachine(t *testing.T) {
	b := newBench(t)
	rows := wave(800, 2*time.Second)
	random := newSample(1).random
	for i := range rows {
		rows[i].Time = rows[i].Time.Add(time.Duration((random.Float64() - 0.5) * float64(time.Second)))
	}
	b.store(rows)
	b.learn(b.watermark())
	made := b.forecast(b.watermark())
	if math.Abs(made.StepSeconds-2) > 0.1 || made.Window.TimesMicros[0] != rows[750].Time.UnixMicro() {
		t.Errorf("a step of %g s, a look-back from %s", made.StepSeconds, time.UnixMicro(made.Window.TimesMicros[0]))
	}
}

// A machine that comes to speak ten times as slowly is learnt anew, and forecast
// in its new steps.
func TestMachineThatSlowsDown(t *testing.T) {
	b := newBench(t)
	rows := wave(2000, 2*time.Second)
	slow := wave(700, 20*time.Second)
	for i := range slow {
		slow[i].Time = slow[i].Time.Add(rows[1999].Time.Sub(origin) + 20*time.Second)
	}
	b.store(append(rows, slow...))
	made := b.run("short")
	last := made[len(made)-1]
	if math.Abs(last.StepSeconds-20) > 1e-9 || last.Origin.Before(b.watermark().Add(-2*time.Minute)) {
		t.Errorf("forecast in steps of %g s from %s, newest row %s", last.StepSeconds, last.Origin, b.watermark())
	}
	without := 0
	for i := 1; i < len(made); i++ {
		if made[i].StepSeconds != made[i-1].StepSeconds {
			without = int(made[i].Origin.Sub(made[i-1].Origin) / (20 * time.Second))
		}
	}
	if without > 400 {
		t.Errorf("no forecast for %d rows", without)
	}
}

// A sensor that reports by exception is held, and forecast with the others.
func TestSensorThatReportsByException(t *testing.T) {
	b := newBench(t)
	rows := machineRows(1000, map[string][]float64{"load": sine(1000, 40, 0.05), "valve": scale(sine(1000, 400, 0), 10, 0)})
	for i := range rows {
		if i%20 != 0 {
			rows[i].Values = rows[i].Values[:1]
		}
	}
	b.store(rows)
	b.learn(b.watermark())
	made := b.forecast(rows[995].Time)
	if len(made.Sensors) != 2 {
		t.Fatalf("forecast of %q", made.Window.Sensors)
	}
	for i, v := range made.Window.Columns[1] {
		row := 946 + i
		if want, _ := rows[row-row%20].Value("valve"); v != want {
			t.Errorf("row %d holds %g, last said %g", row, v, want)
		}
	}
}

// A step that is set is not looked for.
func TestStepOfAMachineThatIsSet(t *testing.T) {
	b := newBench(t)
	b.steps = map[string]time.Duration{"press": 10 * time.Second}
	b.restart()
	b.store(wave(3000, 2*time.Second))
	b.learn(b.watermark())
	if made := b.forecast(b.watermark()); made.StepSeconds != 10 || made.Window.TimesMicros[1]-made.Window.TimesMicros[0] != 10e6 {
		t.Errorf("a step of %g s", made.StepSeconds)
	}
}

// A training window is what a live forecast looks back on, for long times.
func TestHistoryOfOwnRows(t *testing.T) {
	b := newBench(t)
	rows := gapped(400, 200, time.Minute)
	rows = slices.Delete(rows, 100, 103) // three are missing, and filled
	b.store(rows)
	quarantined := []fettle.Interval{{From: rows[300].Time, To: rows[310].Time}}
	w, report, err := History(t.Context(), b.rows, "press", Short(), HistoryRequest{Quarantined: quarantined})
	if err != nil {
		t.Fatal(err)
	}
	want := HistoryReport{Step: 2 * time.Second, Rows: 390, Filled: 3, Gaps: 2, Held: []string{}, Quarantined: 10, From: rows[0].Time, Until: rows[396].Time}
	if !reflect.DeepEqual(report, want) {
		t.Errorf("got  %+v\nwant %+v", report, want)
	}
	if w.Machine != "press" || !slices.Equal(w.Sensors, []string{"load", "temp"}) || w.Rows() != 392 { // and a row for each cut
		t.Errorf("%d rows of %q of %s", w.Rows(), w.Sensors, w.Machine)
	}
	for i := 1; i < w.Rows(); i++ {
		apart := w.TimesMicros[i] - w.TimesMicros[i-1]
		cut := silent(w, i) || silent(w, i-1)
		if apart != 2e6 && !cut {
			t.Errorf("rows %d and %d are %d µs apart", i-1, i, apart)
		}
	}
	newest, _, err := History(t.Context(), b.rows, "press", Short(), HistoryRequest{Quarantined: quarantined, MaxRows: 250})
	if err != nil || fmt.Sprint(newest) != fmt.Sprint(w.Slice(w.Rows()-250, w.Rows())) {
		t.Errorf("the newest 250 rows are others: %v, %d rows", err, newest.Rows())
	}
}

// For steps of a minute a row is the mean of what was said in it, and rows that
// are in quarantine in part are left out.
func TestHistoryOfMinutes(t *testing.T) {
	b := newBench(t)
	rows := wave(30*60, 2*time.Second) // an hour
	b.store(rows)
	plan := Forecaster{Name: "minutes", Step: time.Minute, Context: 4, Steps: 2, Interval: time.Minute}
	w, report, err := History(t.Context(), b.rows, "press", plan, HistoryRequest{
		Until: origin.Add(40*time.Minute + 30*time.Second), Sensors: []string{"temp", "load"}, // in the asker's order
		Quarantined: []fettle.Interval{{From: origin.Add(10*time.Minute + time.Second), To: origin.Add(12*time.Minute + time.Second)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := HistoryReport{Step: time.Minute, Rows: 37, Gaps: 1, Held: []string{}, Quarantined: 3, From: origin, Until: origin.Add(39 * time.Minute)}
	if !reflect.DeepEqual(report, want) {
		t.Errorf("got  %+v\nwant %+v", report, want)
	}
	if w.Rows() != 38 || !silent(w, 10) || w.TimesMicros[11] != origin.Add(13*time.Minute).UnixMicro() {
		t.Fatalf("rows at %v", w.TimesMicros)
	}
	for _, check := range []struct{ row, minute int }{{0, 0}, {9, 9}, {11, 13}, {37, 39}} {
		var sum float64
		for _, r := range rows[check.minute*30 : check.minute*30+30] {
			v, _ := r.Value("temp")
			sum += v
		}
		if got := w.Columns[0][check.row]; math.Abs(got-sum/30) > 1e-12*math.Abs(sum) {
			t.Errorf("minute %d is %g on average, want %g", check.minute, got, sum/30)
		}
	}
}

func TestHistoryOfNothing(t *testing.T) {
	b := newBench(t)
	if _, _, err := History(t.Context(), b.rows, "press", Short(), HistoryRequest{}); fettle.KindOf(err) != fettle.NotFound {
		t.Error(err)
	}
	b.store(wave(1, time.Second))
	w, report, err := History(t.Context(), b.rows, "press", Short(), HistoryRequest{})
	if err != nil || w.Rows() != 0 || len(w.Columns) != 2 || report.Rows != 0 {
		t.Errorf("%v, %+v, %+v", err, w, report)
	}
}

// However the days are read, the cells of a machine are the same.
func TestSourceReadsInStretches(t *testing.T) {
	b := newBench(t)
	b.store(wave(20*24*4, 15*time.Minute)) // twenty days
	got := func(step time.Duration) (cells []string) {
		s := source{store: b.rows, machine: "press", step: step, sensors: []string{"load"}}
		err := s.each(t.Context(), origin.Add(time.Minute), origin.Add(20*24*time.Hour), func(at int64, values []float64) error {
			cells = append(cells, fmt.Sprint(at/1e6, values[0]))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return cells
	}
	before := got(time.Hour)
	if len(before) != 20*24 {
		t.Errorf("%d hours of 20 days", len(before))
	}
	if _, err := b.rows.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := got(time.Hour); !slices.Equal(before, after) {
		t.Error("sealed days have other cells")
	}
	if cells := got(10 * time.Second); len(cells) != 20*24*4-1 { // more than are read at once
		t.Errorf("%d cells of ten seconds, want one for each row but the first", len(cells))
	}
}
