package forecast

import (
	"slices"
	"testing"
	"time"

	"fettle"
)

func TestFirstTickFollowsTheFirstLookBack(t *testing.T) {
	for _, c := range []struct {
		rows  int
		ahead time.Duration // of the watermark, before the newest row
		want  []time.Duration
	}{
		{rows: 49, want: nil},
		{rows: 50, want: nil}, // at 98 s
		{rows: 60, want: nil}, // at 118 s
		{rows: 61, want: []time.Duration{2 * time.Minute}},
		{rows: 61, ahead: time.Microsecond, want: nil},
		{rows: 90, want: []time.Duration{2 * time.Minute}},
		{rows: 91, want: []time.Duration{2 * time.Minute, 3 * time.Minute}},
	} {
		b := newBench(t)
		b.store(wave(c.rows, 2*time.Second))
		checkTicks(t, b.ticks(b.watermark().Add(-c.ahead)), c.want)
	}
}

func TestNothingIsDueOfAnUnknownMachine(t *testing.T) {
	b := newBench(t)
	if at, due := b.engine.Due("lathe", origin); due {
		t.Errorf("due at %v", at)
	}
	if next := b.engine.Next("lathe", "short"); !next.IsZero() {
		t.Errorf("next at %s", next)
	}
}

// A tick is due until it is consumed, and then never again, also after a
// restart.
func TestTicksAreConsumedOnce(t *testing.T) {
	b := newBench(t)
	b.store(wave(200, 2*time.Second))
	first, _ := b.engine.Due("press", b.watermark())
	if again, due := b.engine.Due("press", b.watermark()); !due || again != first {
		t.Errorf("due again at %v, want still %v", again, first)
	}
	checkTicks(t, b.ticks(b.watermark()), minutes(2, 3, 4, 5, 6))
	b.restart()
	checkTicks(t, b.ticks(b.watermark()), nil)
	if next := b.engine.Next("press", "short"); !next.Equal(origin.Add(7 * time.Minute)) {
		t.Errorf("next at %s", next)
	}
}

// Old readings get every tick that saw something new; the time that a machine
// stood still has none.
func TestBackFillSkipsSilenceOnly(t *testing.T) {
	b := newBench(t)
	rows := wave(150, 2*time.Second) // up to 4:58
	for _, r := range wave(61, 2*time.Second) {
		r.Time = r.Time.Add(30*24*time.Hour + 30*time.Second)
		rows = append(rows, r)
	}
	b.store(rows)
	month := 30 * 24 * time.Hour
	checkTicks(t, b.ticks(b.watermark()), append(minutes(2, 3, 4, 5), month+time.Minute, month+2*time.Minute))
	if n := b.engine.Stats().Skipped; n != 0 {
		t.Errorf("%d ticks count as skipped", n)
	}
}

// A live machine that is behind is forecast from its newest readings.
func TestLiveMachineSkipsToTheNewestTick(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second)) // up to 9:58
	b.engine.cfg.Now = func() time.Time { return origin.Add(10 * time.Minute) }
	for range 2 { // asking changes nothing
		if at, due := b.engine.Due("press", b.watermark()); !due || at.At.Sub(origin) != 9*time.Minute {
			t.Errorf("due at %v", at)
		}
	}
	checkTicks(t, b.ticks(b.watermark()), minutes(9))
	if n := b.engine.Stats().Skipped; n != 7 {
		t.Errorf("%d ticks skipped, want those from 2 to 8 minutes", n)
	}
}

// A back-fill that reaches into the last ten minutes gives every older tick.
func TestBackFillBecomesLive(t *testing.T) {
	b := newBench(t)
	b.store(wave(601, 2*time.Second)) // up to 20:00
	b.engine.cfg.Now = func() time.Time { return origin.Add(20*time.Minute + time.Second) }
	checkTicks(t, b.ticks(b.watermark()), minutes(2, 3, 4, 5, 6, 7, 8, 9, 10, 20))
}

// A machine whose rows are farther apart than the interval ticks in its own
// rhythm, though that be not quite regular.
func TestSlowMachineTicksInItsRhythm(t *testing.T) {
	b := newBench(t)
	rows := wave(54, 5*time.Minute)
	for i := range rows {
		rows[i].Time = rows[i].Time.Add(-time.Duration(i%3) * 20 * time.Millisecond)
	}
	b.store(rows)
	checkTicks(t, b.ticks(b.watermark()), minutes(245, 250, 255, 260))
}

// A pace that is changed counts from the next tick on, in both directions.
func TestPaceIsChanged(t *testing.T) {
	b := newBench(t)
	b.store(wave(151, 2*time.Second)) // up to 5:00
	checkTicks(t, b.ticks(b.watermark()), minutes(2, 3, 4, 5))
	b.engine.SetPace(5*time.Minute, 20*time.Minute)
	b.store(wave(451, 2*time.Second)) // up to 15:00
	checkTicks(t, b.ticks(b.watermark()), minutes(10, 15))
	b.engine.SetPace(time.Minute, 10*time.Minute)
	b.store(wave(511, 2*time.Second)) // up to 17:00
	checkTicks(t, b.ticks(b.watermark()), minutes(16, 17))
}

func minutes(ticks ...int) []time.Duration {
	after := make([]time.Duration, len(ticks))
	for i, m := range ticks {
		after[i] = time.Duration(m) * time.Minute
	}
	return after
}

func checkTicks(t *testing.T, got []time.Time, want []time.Duration) {
	t.Helper()
	var after []time.Duration
	for _, at := range got {
		after = append(after, at.Sub(origin))
	}
	if !slices.Equal(after, want) {
		t.Errorf("ticks at %v, want %v", after, want)
	}
}

func TestQuarantineHoldsItsTimes(t *testing.T) {
	at := func(s int) time.Time { return origin.Add(time.Duration(s) * time.Second) }
	q := newQuarantine([]fettle.Interval{{From: at(30), To: at(40)}, {From: at(10), To: at(35)}, {From: at(60), To: at(61)}})
	for _, c := range []struct {
		at   int
		want bool
	}{{9, false}, {10, true}, {34, true}, {39, true}, {40, false}, {59, false}, {60, true}, {61, false}} {
		if got := q.holds(at(c.at).UnixMicro()); got != c.want {
			t.Errorf("second %d in quarantine: %t", c.at, got)
		}
	}
}
