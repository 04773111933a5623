package forecast

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
)

// wait publishes a PatchTST that says the last value, and has it wait in the
// shadow.
func (b *bench) wait(sensors ...string) fettle.Model {
	b.Helper()
	version := b.publishPatchTST(0, 100, sensors...)
	if _, err := b.models.Wait(version.Name, model.Decision{Reason: "better on held-out windows"}); err != nil {
		b.Fatal(err)
	}
	return version
}

func (b *bench) trial() Trial {
	b.Helper()
	t, found := b.engine.Trial("press", fettle.ShortForecaster)
	if !found {
		b.Fatal("no trial")
	}
	return t
}

// A challenger is scored against the same readings of the same steps as the
// champion: its two steps beside the champion's first two, and no others.
func TestShadowIsScoredBesideTheChampion(t *testing.T) {
	b := newBench(t)
	rows := wave(2400, 2*time.Second)
	b.store(rows[:300])
	b.learn(b.watermark())
	b.ticks(b.watermark())
	if trial, found := b.engine.Trial("press", fettle.ShortForecaster); found {
		t.Fatalf("a trial of nobody: %+v", trial)
	}
	version := b.wait("load", "temp")
	b.store(rows[300:])
	ticks := b.ticks(b.watermark())
	got := b.trial()
	last := ticks[len(ticks)-1]
	if got.Model != version.Name || !got.Began.Equal(ticks[0]) || !got.Until.Equal(last) || got.Ticks != int64(len(ticks)-1) || got.Missed != 0 {
		t.Errorf("%+v of %d ticks from %s", got, len(ticks), ticks[0])
	}
	var want [2]TrialError
	var n float64
	err := b.engine.Kept("press", fettle.ShortForecaster, ticks[0], last, func(f fettle.Forecast) error {
		at := slices.IndexFunc(rows, func(r fettle.Reading) bool { return r.Time.Equal(f.Origin) })
		for _, s := range f.Sensors {
			now, _ := rows[at].Value(s.Sensor)
			for h := range 2 {
				v, _ := rows[at+1+h].Value(s.Sensor)
				for i, said := range []float64{now, s.Values[h]} {
					want[i].MSE += (v - said) * (v - said) / 1e4
					want[i].MAE += math.Abs(v-said) / 100
				}
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range []TrialError{got.Own, got.Champions} { // packed forecasts are rounded more
		if math.Abs(got.MSE/(want[i].MSE/n)-1) > 0.02 || math.Abs(got.MAE/(want[i].MAE/n)-1) > 0.02 {
			t.Errorf("error %d is %+v, want %g and %g", i, got, want[i].MSE/n, want[i].MAE/n)
		}
	}
	if got.Own.MSE < got.Champions.MSE {
		t.Error("the last value is better than a ridge on a wave")
	}
}

// What a trial says does not depend on how rows came, nor on restarts and
// crashes, and it changes no forecast of the champion.
func TestShadowOutlivesRestarts(t *testing.T) {
	rows := wave(2400, 2*time.Second)
	play := func(block int, waits, restart, crash bool) (trial, scores string) {
		b := newBench(t)
		b.store(rows[:300])
		b.learn(b.watermark())
		if waits {
			b.wait("load", "temp")
		}
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
				b.store(block)
				b.ticks(b.watermark())
			}
		}
		if waits {
			trial = fmt.Sprintf("%+v", b.trial())
		}
		of := b.accuracy(rows[0].Time, b.watermark())
		return trial, fmt.Sprintf("%d steps, skill %v, coverage %v", of.Steps, *of.Skill, *of.Coverage)
	}
	trial, scores := play(len(rows), true, false, false)
	for what, c := range map[string]struct {
		block          int
		restart, crash bool
	}{"row by row": {1, false, false}, "restarts": {100, true, false}, "crashes": {100, false, true}} {
		if got, _ := play(c.block, true, c.restart, c.crash); got != trial {
			t.Errorf("%s:\n%s\nwant\n%s", what, got, trial)
		}
	}
	if _, got := play(len(rows), false, false, false); got != scores {
		t.Errorf("the champion's scores are %s\nwithout a shadow %s", scores, got)
	}
}

// A trial goes on over refits of the ridge that serves, begins anew once another
// model serves, and ends, with all that it kept, once somebody decides.
func TestShadowFollowsDecisions(t *testing.T) {
	b := newBench(t)
	rows := wave(4000, 2*time.Second)
	b.store(rows[:600])
	b.learn(b.watermark())
	b.wait("load", "temp")
	next := 600
	play := func() {
		b.store(rows[next : next+400])
		next += 400
		b.ticks(b.watermark())
	}
	play()
	before := b.trial()
	b.store(rows[next : next+400])
	next += 400
	if !b.learn(b.watermark()) {
		t.Fatal("not fitted anew")
	}
	play()
	if after := b.trial(); !after.Began.Equal(before.Began) || after.Ticks <= before.Ticks || after.Champion == before.Champion {
		t.Errorf("after a refit: %+v, before: %+v", after, before)
	}
	b.promotePatchTST(0, 50)
	play()
	if again := b.trial(); !again.Began.After(before.Began) || again.Ticks > 15 {
		t.Errorf("with another champion: %+v", again)
	}
	if _, err := b.models.Promote(b.trial().Model, model.Decision{Reason: "by hand"}); err != nil {
		t.Fatal(err)
	}
	play()
	if trial, found := b.engine.Trial("press", fettle.ShortForecaster); found {
		t.Errorf("still on trial: %+v", trial)
	}
	m := b.engine.memoriesOf("press")[0]
	for _, kind := range []byte{kindTrial, kindShadow} {
		from := m.recordKey(kind)
		err := b.db.Ascend(from, append(slices.Clone(from), 0xff, 0xff), func(key, _ []byte) error {
			t.Errorf("%q is left", key)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(m.loaded) != 1 {
		t.Errorf("%d models in memory, want the one that serves", len(m.loaded))
	}
}

// A challenger that cannot be used stops nothing, and the trial says why it has
// no figures.
func TestShadowThatCannotBeUsed(t *testing.T) {
	b := newBench(t)
	b.store(wave(600, 2*time.Second))
	b.learn(b.watermark())
	b.wait("load", "torque")
	ticks := b.ticks(b.watermark())
	if got := b.trial(); len(ticks) == 0 || got.Ticks != 0 || got.Missed != int64(len(ticks)) || !strings.Contains(got.Trouble, `no sensor "torque"`) {
		t.Errorf("%+v after %d ticks", got, len(ticks))
	}
}

// A live machine that is behind spends nothing on what does not serve.
func TestShadowIsLeftOutBehind(t *testing.T) {
	b := newBench(t)
	rows := wave(600, 2*time.Second)
	b.store(rows[:300])
	b.learn(b.watermark())
	b.ticks(b.watermark())
	b.wait("load", "temp")
	b.mu.Lock()
	b.clock = rows[0].Time
	b.mu.Unlock()
	b.store(rows[300:])
	ticks := b.ticks(b.watermark())
	if m := b.engine.memoriesOf("press")[0]; len(ticks) != 1 || m.book.trial == nil || len(b.engine.shadowAt(m, b.watermark().UnixMicro()).sensors) > 0 {
		t.Errorf("%d ticks, trial %+v", len(ticks), m.book.trial)
	}
}

func FuzzReadTrial(f *testing.F) {
	one := &trial{model: "a", champion: "b", units: []trialUnit{{"load", 2}}, ticks: 3}
	f.Add(one.append(nil))
	f.Add([]byte{trialLayout})
	f.Fuzz(func(t *testing.T, value []byte) {
		var read, again trial
		if read.read(value) != nil {
			return
		}
		if err := again.read(read.append(nil)); err != nil {
			t.Errorf("%+v comes back with %v", read, err)
		}
	})
}
