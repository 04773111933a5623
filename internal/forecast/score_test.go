package forecast

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/model"

	"pgregory.net/rapid"
)

func (b *bench) accuracy(from, to time.Time) Accuracy {
	b.Helper()
	a, err := b.engine.Accuracy("press", "short", from, to)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func (b *bench) promotePatchTST(low, high float64) {
	b.Helper()
	if _, err := b.models.Promote(b.publishPatchTST(low, high, "load", "temp").Name, model.Decision{Reason: "better"}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) coverage() map[string]SensorCoverage {
	b.Helper()
	list, err := b.engine.Coverage("press", "short")
	if err != nil {
		b.Fatal(err)
	}
	by := map[string]SensorCoverage{}
	for _, s := range list {
		by[s.Sensor] = s
	}
	return by
}

// A plainScore is what one sensor's forecasts came to, added up the long way.
type plainScore struct {
	steps, inside         int
	abs, squares, lastAbs float64
}

// plainScores lays all kept forecasts beside the rows: of each step that was
// settled by the last tick, the nearest row within half a step.
func (b *bench) plainScores(rows []fettle.Reading, last time.Time) map[string]*plainScore {
	b.Helper()
	scores := map[string]*plainScore{"load": {}, "temp": {}}
	err := b.engine.Kept("press", "short", origin, last.Add(time.Hour), func(f fettle.Forecast) error {
		half := time.Duration(f.StepSeconds * float64(time.Second) / 2)
		for _, s := range f.Sensors {
			newest := math.NaN()
			for _, r := range rows {
				if v, found := r.Value(s.Sensor); found && !r.Time.After(f.Origin) {
					newest = v
				}
			}
			for h := range s.Values {
				at, best := f.TimeOf(h), time.Duration(math.MaxInt64)
				if at.Add(half).After(last) {
					continue
				}
				var read float64
				for _, r := range rows {
					if v, found := r.Value(s.Sensor); found && r.Time.Sub(at).Abs() <= half && r.Time.Sub(at).Abs() < best {
						best, read = r.Time.Sub(at).Abs(), v
					}
				}
				if best == math.MaxInt64 {
					continue
				}
				of := scores[s.Sensor]
				of.steps++
				of.abs += math.Abs(read - s.Values[h])
				of.squares += (read - s.Values[h]) * (read - s.Values[h])
				of.lastAbs += math.Abs(read - newest)
				if s.Lower[h] <= read && read <= s.Upper[h] {
					of.inside++
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return scores
}

// holed is a wave of which rows, and words of one sensor, are missing, and the
// others come a little early or late.
func holed(rows int, dice *rand.Rand) []fettle.Reading {
	all := wave(rows, 2*time.Second)
	var left []fettle.Reading
	for i, r := range all {
		if i > 200 {
			r.Time = r.Time.Add(time.Duration(dice.IntN(600_000)-300_000) * time.Microsecond)
			switch dice.IntN(20) {
			case 0:
				continue
			case 1:
				r.Values = r.Values[1:]
			}
		}
		left = append(left, r)
	}
	return left
}

// Scores are those of the plain way: whether rows come one minute at a time or
// all at once, and whatever restarts there are in between. So no step is scored
// twice, and none is left out.
func TestScoresEqualThePlainWay(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 1))
			b := newBench(t)
			rows := holed(1500, dice)
			var ticks []time.Time
			for block := range slices.Chunk(rows, 1+dice.IntN(400)) {
				if dice.IntN(3) == 0 {
					b.restart()
				}
				b.store(block)
				if len(ticks) == 0 && b.watermark().Sub(origin) > 6*time.Minute {
					b.learn(b.watermark())
				}
				ticks = append(ticks, b.ticks(b.watermark())...)
			}
			last := ticks[len(ticks)-1]
			a := b.accuracy(origin, last.Add(time.Hour))
			plain := b.plainScores(rows, last)
			for _, s := range a.Sensors {
				want := plain[s.Sensor]
				n := float64(want.steps)
				if s.Steps != int64(want.steps) || s.Last.Steps != s.Steps {
					t.Errorf("%s: %d steps are scored, want %d", s.Sensor, s.Steps, want.steps)
					continue
				}
				for name, c := range map[string][2]float64{
					"mae": {s.MAE, want.abs / n}, "rmse": {s.RMSE, math.Sqrt(want.squares / n)},
					"coverage": {*s.Coverage, float64(want.inside) / n}, "last value": {s.Last.MAE, want.lastAbs / n},
				} {
					if math.Abs(c[0]-c[1]) > 1e-9*math.Abs(c[1]) {
						t.Errorf("%s: %s is %g, want %g", s.Sensor, name, c[0], c[1])
					}
				}
				var byModel, byDistance int64
				for _, m := range s.ByModel {
					byModel += m.Steps
				}
				for _, d := range s.BySteps {
					byDistance += d.Steps
				}
				if byModel != s.Steps || byDistance != s.Steps {
					t.Errorf("%s: %d steps by model and %d by distance, of %d", s.Sensor, byModel, byDistance, s.Steps)
				}
			}
		})
	}
}

// crash makes the store what it was some ticks ago, as after a power cut.
func (b *bench) crash(before string) {
	b.Helper()
	b.close()
	if err := os.RemoveAll(filepath.Join(b.dir, "db")); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(before, filepath.Join(b.dir, "db")); err != nil {
		b.Fatal(err)
	}
	b.open()
}

// The same rows give the same scores and the same bands, whether they come one
// by one, all at once, or around restarts and crashes that lose the last minutes.
func TestLiveBackFillAndRestartsScoreAlike(t *testing.T) {
	rows := wave(2400, 2*time.Second)
	play := func(block int, restart, crash bool) (string, Made) {
		b := newBench(t)
		b.store(rows[:300])
		b.learn(b.watermark())
		for block := range slices.Chunk(rows[300:], block) {
			if restart {
				b.restart()
			}
			before := filepath.Join(b.dir, "before")
			if crash {
				if err := b.db.Checkpoint(before); err != nil {
					t.Fatal(err)
				}
			}
			b.store(block)
			b.ticks(b.watermark())
			if crash {
				b.crash(before)
				b.store(block) // it was not acknowledged, or comes again
				b.ticks(b.watermark())
			}
		}
		a := b.accuracy(origin, b.watermark())
		a.Buckets, a.BeatenBy = nil, ""
		for i := range a.Sensors {
			a.Sensors[i].ByModel[0].Model = "" // it is named by the clock
		}
		made, _ := b.engine.Latest("press", "short")
		return fmt.Sprintf("%+v %+v", derefScores(a), b.coverage()["load"].Scored), made
	}
	want, wantMade := play(2100, false, false)
	for _, c := range []struct {
		block          int
		restart, crash bool
	}{{7, false, false}, {250, true, false}, {31, true, false}, {100, false, true}, {700, true, true}} {
		got, made := play(c.block, c.restart, c.crash)
		if got != want {
			t.Errorf("blocks of %d, restarts %v, crashes %v:\n%s, want\n%s", c.block, c.restart, c.crash, got, want)
		}
		for i, s := range made.Sensors {
			if !slices.Equal(s.Lower, wantMade.Sensors[i].Lower) || !slices.Equal(s.Upper, wantMade.Sensors[i].Upper) {
				t.Errorf("blocks of %d, restarts %v, crashes %v: the band of %s is another", c.block, c.restart, c.crash, s.Sensor)
			}
		}
	}
}

// derefScores is what can be compared as text.
func derefScores(a Accuracy) []string {
	var lines []string
	for _, s := range a.Sensors {
		lines = append(lines, fmt.Sprintf("%s %d %.12g %.12g %.12g %.12g %.12g", s.Sensor, s.Steps, s.MAE, s.RMSE, *s.Coverage, *s.Width, *s.Pinball))
	}
	return lines
}

// A reading that arrives after its step was scored changes nothing, and what was
// never read is not scored.
func TestLateAndMissingReadings(t *testing.T) {
	b := newBench(t)
	rows := wave(700, 2*time.Second)
	b.store(rows[:300])
	b.learn(b.watermark())
	at := origin.Add(10 * time.Minute) // row 300
	b.store(rows[300:302])
	if ticks := b.ticks(b.watermark()); !ticks[len(ticks)-1].Equal(at) {
		t.Fatalf("ticks %v", ticks)
	}
	late := []fettle.Reading{rows[303], rows[304]}
	only := rows[305]
	only.Values = only.Values[:1] // temp is missing
	b.store(append([]fettle.Reading{rows[302], only}, rows[306:340]...))
	before := b.accuracy(origin, b.watermark())
	b.ticks(b.watermark())
	scored := func() map[string]int64 {
		steps := map[string]int64{}
		a := b.accuracy(origin, b.watermark())
		for i, s := range a.Sensors {
			steps[s.Sensor] = s.Steps
			if i < len(before.Sensors) {
				steps[s.Sensor] -= before.Sensors[i].Steps
			}
		}
		return steps
	}
	if got := scored(); got["load"] != 8 || got["temp"] != 7 {
		t.Errorf("scored %v; of ten steps two have no row, and one no temp", got)
	}
	b.store(late)
	b.ticks(b.watermark())
	b.restart()
	if got := scored(); got["load"] != 8 || got["temp"] != 7 {
		t.Errorf("late readings: scored %v", got)
	}
}

// A machine whose sensors send one by one, and one that reports a sensor by
// exception, are scored against the word that belongs to the step.
func TestTruthOfSensorsThatSendApart(t *testing.T) {
	const step = 2_000_000
	k := kept{origin: 100 * step, step: step, steps: 3}
	for _, c := range []struct {
		name   string
		truth  truth
		times  []int64 // of the sensor, in tenths of a step after the origin; values are their places
		at     int64   // step
		want   float64
		found  bool
		others []int64 // when others spoke
	}{
		{name: "nearest", times: []int64{0, 8, 11, 20}, at: 1, want: 2, found: true},
		{name: "half a step away", times: []int64{5}, at: 1, want: 0, found: true},
		{name: "too far away", times: []int64{4, 16}, at: 1},
		{name: "one by one", truth: truth{joins: true}, times: []int64{7, 17, 27}, at: 1, want: 1, found: true},
		{name: "one by one, a little early", truth: truth{joins: true}, times: []int64{9, 19}, at: 1, want: 0, found: true},
		{name: "held since before", truth: truth{held: map[string]int{"a": 9}}, others: []int64{0, 10, 20}, at: 1, want: -1, found: true},
		{name: "held since then", truth: truth{held: map[string]int{"a": 9}}, times: []int64{3}, others: []int64{0, 3, 10, 20}, at: 2, want: 0, found: true},
		{name: "the machine is silent", truth: truth{held: map[string]int{"a": 9}}, times: []int64{3}, others: []int64{0, 3}, at: 2},
		{name: "means", truth: truth{means: true}, times: []int64{0, 10, 20}, at: 1, want: 1, found: true},
		{name: "a mean that is missing", truth: truth{means: true}, times: []int64{0, 20}, at: 1},
	} {
		read := &trace{}
		for i, tenths := range c.times {
			read.times, read.values = append(read.times, k.origin+tenths*step/10), append(read.values, float64(i))
		}
		c.truth.by = map[string]*trace{"a": read}
		for _, tenths := range append(c.others, c.times...) {
			c.truth.spoke = append(c.truth.spoke, k.origin+tenths*step/10)
		}
		slices.Sort(c.truth.spoke)
		if v, found := c.truth.at(k, keptSensor{name: "a", last: -1}, k.origin+c.at*step); found != c.found || found && v != c.want {
			t.Errorf("%s: %g, %v; want %g, %v", c.name, v, found, c.want, c.found)
		}
	}
}

// Forecasts of resampled rows are scored against the mean of each step once it is
// over, as far as they look.
func TestForecastsOfMinutesAreScored(t *testing.T) {
	b := newHorizonBench(t)
	rows := slowWave(6 * 360)
	b.store(rows)
	made := b.run("minutes")
	var steps int64
	var errors float64
	last := made[len(made)-1].Origin.Add(time.Minute) // the last tick
	for _, f := range made {
		for h, v := range f.Sensors[0].Values {
			minute := int(f.TimeOf(h).Sub(origin) / time.Minute)
			if f.TimeOf(h).Add(time.Minute).After(last) {
				continue
			}
			var mean float64
			for _, r := range rows[minute*6 : minute*6+6] {
				load, _ := r.Value("load")
				mean += load / 6
			}
			steps++
			errors += math.Abs(mean - v)
		}
	}
	a, err := b.engine.Accuracy("press", "minutes", origin, last.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	load := a.Sensors[0]
	if load.Sensor != "load" || load.Steps != steps || math.Abs(load.MAE-errors/float64(steps)) > 0.01*load.MAE {
		t.Errorf("%d steps of %s with a mean error of %g, want %d and %g", load.Steps, load.Sensor, load.MAE, steps, errors/float64(steps))
	}
	if load.Skill < 0.5 || *load.Coverage < 0.8 {
		t.Errorf("skill %g, coverage %g", load.Skill, *load.Coverage)
	}
}

// After a level shift the bands hold again within 300 forecasts, in event time.
func TestBandsHoldAgainAfterALevelShift(t *testing.T) {
	b := newBench(t)
	rows := wave(1100, 5*time.Minute)
	for i := 600; i < len(rows); i++ {
		for s := range rows[i].Values {
			rows[i].Values[s].Value += 40
		}
	}
	b.store(rows)
	b.learn(rows[400].Time)
	b.ticks(rows[601+300].Time)
	for name, s := range b.coverage() {
		for h, step := range s.Steps {
			if *step.Coverage < 0.87 || *step.Coverage > 0.93 {
				t.Errorf("%s, step %d: %.1f %% of %d within the band", name, h+1, 100**step.Coverage, step.Scored)
			}
		}
	}
}

// A new family's bands begin with what was held out from its own fit. Those of a
// ridge go on over a refit, once they were followed for a while.
func TestBandsOfANewModel(t *testing.T) {
	b := newBench(t)
	rows := wave(8000, 2*time.Second)
	b.store(rows)
	at := func(row int) time.Time { return rows[row].Time }
	bands := func() [2]band {
		info, _ := b.rows.Info("press")
		m := b.engine.memoriesOf("press")[0]
		f, err := b.engine.champion(m, info)
		if err != nil {
			t.Fatal(err)
		}
		return [2]band{f.bandsNow()[0], m.book.bands(f)[0]} // held out, followed
	}
	near := func(b [2]band) bool { return math.Abs(b[0].Above[0]-b[1].Above[0]) < 1e-5*b[0].Above[0] }
	b.learn(at(500))
	if !near(bands()) {
		t.Error("the first band is not the fit's")
	}
	b.ticks(at(1500)) // some 30 forecasts
	if near(bands()) {
		t.Error("the band was not followed")
	}
	b.learn(at(1500))
	if !near(bands()) {
		t.Error("after 30 forecasts the band of a refit is not its own")
	}
	b.ticks(at(6000)) // 150 more
	before := bands()[1]
	b.learn(at(6000))
	if after := bands(); near(after) || after[1].Above[0] != before.Above[0] {
		t.Error("after 150 forecasts the band did not go on over a refit")
	}
	b.promotePatchTST(0, 100)
	b.learn(at(6000))
	if !near(bands()) {
		t.Error("the band of a PatchTST is not that of its own history")
	}
	b.ticks(at(6500))
	for name, s := range b.coverage() {
		if s.Scored < 190 {
			t.Errorf("%s: %d forecasts are counted; how bands held is the machine's, not a model's", name, s.Scored)
		}
	}
}

// A champion that a yardstick beats is told, by name.
func TestAYardstickDoesNotWinSilently(t *testing.T) {
	b := newBench(t)
	rows := wave(2500, 2*time.Second)
	b.store(rows)
	b.learn(rows[1000].Time)
	b.ticks(rows[1500].Time)
	a := b.accuracy(origin, b.watermark())
	if a.Beaten || a.Skill == nil || *a.Skill < 0.1 {
		t.Errorf("the ridge: %+v", a.Scores)
	}
	for _, s := range a.Sensors {
		if s.Seasonal.Steps != s.Steps || s.BeatenBy != "" {
			t.Errorf("the ridge, %s: %+v", s.Sensor, s)
		}
	}
	b.promotePatchTST(0, 1) // it clips all that is above 1
	b.ticks(b.watermark())
	a = b.accuracy(origin, b.watermark())
	if !a.Beaten || a.BeatenBy == "" || *a.Skill >= 0 {
		t.Errorf("a model that knows nothing: %+v, %v by %q", a.Scores, a.Beaten, a.BeatenBy)
	}
	for _, s := range a.Sensors {
		if len(s.ByModel) != 2 || s.ByModel[0].Skill*s.ByModel[1].Skill > 0 {
			t.Errorf("%s by model: %+v", s.Sensor, s.ByModel)
		}
	}
}

// A model drifts when its errors stay above those on what was held out; a fault
// of some hours is no drift.
func TestDrift(t *testing.T) {
	for _, c := range []struct {
		name    string
		noisy   func(hour int) bool
		drifted bool
	}{
		{"as ever", func(int) bool { return false }, false},
		{"a fault of six hours", func(hour int) bool { return hour >= 40 && hour < 46 }, false},
		{"since a day", func(hour int) bool { return hour >= 24 }, true},
	} {
		b := newBench(t)
		rows := wave(48*60, time.Minute)
		dice := rand.New(rand.NewPCG(1, 1))
		for i := range rows {
			if c.noisy(i / 60) {
				rows[i].Values[1].Value += 4 * dice.NormFloat64()
			}
		}
		b.store(rows)
		b.learn(rows[600].Time)
		if _, known := b.engine.Drift("press", "short"); known {
			t.Errorf("%s: drift is told before anything was scored", c.name)
		}
		b.ticks(b.watermark())
		d, known := b.engine.Drift("press", "short")
		if !known || d.Drifted != c.drifted || d.Hours < 23 {
			t.Errorf("%s: %+v, %v", c.name, d, known)
		}
		if c.drifted && d.Sensors[0].Sensor != "temp" {
			t.Errorf("%s: %s is said to drift most", c.name, d.Sensors[0].Sensor)
		}
	}
}

// Books and buckets read back as they were written; damaged ones are told.
func TestScoresReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := book{model: rapid.String().Draw(t, "model"), refits: rapid.Bool().Draw(t, "refits"), scored: rapid.Int64().Draw(t, "scored"), newest: rapid.Int64().Draw(t, "newest")}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringN(1, 9, 20), 0, 5, rapid.ID[string]).Draw(t, "sensors") {
			s := b.sensor(name)
			s.least = rapid.Float32().Draw(t, "least")
			s.learned = rapid.Uint64().Draw(t, "learned")
			for range rapid.IntRange(0, 4).Draw(t, "steps") {
				s.tracked = append(s.tracked, tracked{rapid.Float32().Draw(t, "scale"), -1, 2})
				l := ledger{scored: rapid.Uint32().Draw(t, "n"), width: 3}
				l.blocks[7] = rapid.Uint8().Draw(t, "block")
				s.held = append(s.held, l)
			}
		}
		var got book
		if err := got.read(b.append(nil)); err != nil {
			t.Fatal(err)
		}
		if string(got.append(nil)) != string(b.append(nil)) {
			t.Fatal("a book changed")
		}
		whole := newBucket()
		for range rapid.IntRange(0, 9).Draw(t, "entries") {
			of := entry{rapid.SampledFrom([]string{"m", "n"}).Draw(t, "of"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "sensor"), rapid.IntRange(0, 5).Draw(t, "group")}
			whole.of(of).add(score{residual: rapid.Float64Range(-9, 9).Draw(t, "residual"), banded: true, hasSeason: rapid.Bool().Draw(t, "season")})
		}
		again := newBucket()
		if err := again.read(whole.append(nil)); err != nil {
			t.Fatal(err)
		}
		if string(again.append(nil)) != string(whole.append(nil)) || len(again.entries) != len(whole.entries) {
			t.Fatal("a bucket changed")
		}
	})
}

func FuzzReadScores(f *testing.F) {
	b := book{model: "m"}
	s := b.sensor("a")
	s.tracked, s.held = []tracked{{1, -2, 2}}, []ledger{{scored: 3}}
	f.Add(b.append(nil))
	whole := newBucket()
	whole.of(entry{"m", "a", 1}).add(score{residual: 1})
	f.Add(whole.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		var b book
		if b.read(value) == nil {
			b.append(nil)
		}
		if whole := newBucket(); whole.read(value) == nil {
			whole.scores()
			whole.bySensor()
		}
	})
}

// Whoever asks may do so while forecasts are made and scored.
func TestScoresAreReadWhileForecastsAreMade(t *testing.T) {
	b := newBench(t)
	rows := wave(2400, 2*time.Second)
	b.store(rows)
	b.learn(rows[300].Time)
	b.restart() // the first to ask reads the book back
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := b.engine.Accuracy("press", "short", origin, origin.Add(24*time.Hour))
				_, err2 := b.engine.Coverage("press", "short")
				_, _ = b.engine.Drift("press", "short")
				_, err3 := b.engine.Fresh(t.Context(), "press", "short")
				if err := errors.Join(err, err2, err3); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	b.ticks(b.watermark())
	close(done)
	readers.Wait()
}

// A damaged record costs what is in it, and no more.
func TestDamagedScoresStopNothing(t *testing.T) {
	b := newBench(t)
	rows := wave(900, 2*time.Second)
	b.store(rows)
	b.learn(rows[300].Time)
	b.ticks(rows[600].Time)
	b.accuracy(origin, b.watermark()) // saves
	m := b.engine.memoriesOf("press")[0]
	batch := b.db.NewBatch()
	for _, prefix := range [][]byte{m.recordKey(kindBook), m.recordKey(kindKept), m.recordKey(kindHour)} {
		err := b.db.Ascend(prefix, db.After(prefix), func(key, _ []byte) error {
			batch.Set(slices.Clone(key), []byte{99})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.db.Commit(batch, db.Lazy); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.ticks(b.watermark())
	if a := b.accuracy(origin, b.watermark()); a.Steps == 0 {
		t.Error("nothing is scored any more")
	}
}
