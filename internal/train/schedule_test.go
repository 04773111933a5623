package train

import (
	"strings"
	"testing"
	"time"

	"fettle"
)

// A schedule that came while no server ran is made up for once, with the
// machines spread over the time after; a queue over a restart stays.
func TestScheduleIsMadeUpFor(t *testing.T) {
	w := newWorks(t, 600)
	w.another()
	w.cfg.Schedule, w.cfg.Stagger = "0 0 1 * *", 6*time.Hour
	w.open()
	w.keepScheduleSeen(time.Now().AddDate(0, -2, 0))
	before := time.Now()
	w.run()
	for end := time.Now().Add(time.Minute); len(w.List(Filter{})) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	w.cancel()
	w.open()
	runs := w.List(Filter{State: fettle.TrainingQueued})
	if len(runs) != 2 {
		t.Fatalf("%d runs", len(runs))
	}
	for _, r := range runs {
		if r.Trigger != BySchedule || r.NotBefore == nil || r.NotBefore.Before(before) || r.NotBefore.After(time.Now().Add(6*time.Hour)) {
			t.Errorf("%+v", r)
		}
	}
	if runs[0].NotBefore.Equal(*runs[1].NotBefore) {
		t.Error("all start at once")
	}
	if seen := w.scheduleSeen(); seen.Before(before) {
		t.Errorf("looked at until %v", seen)
	}
}

// A clock that was years ahead for a while, and has been set back, does not stop
// the schedule for those years.
func TestScheduleAfterClockWasAhead(t *testing.T) {
	w := newWorks(t, 600)
	w.cfg.Schedule = "0 0 1 * *"
	w.open()
	w.keepScheduleSeen(time.Now().AddDate(70, 0, 0))
	w.run()
	for end := time.Now().Add(time.Minute); w.scheduleSeen().After(time.Now()) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	w.cancel()
	if seen := w.scheduleSeen(); seen.After(time.Now()) {
		t.Errorf("looked at until %v", seen)
	}
}

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC)
	for expression, want := range map[string]string{
		"0 0 1 * *":    "2026-04-01 00:00",
		"0 0 * * *":    "2026-03-03 00:00",
		"*/15 * * * *": "2026-03-02 07:45",
		"30 7 * * 1":   "2026-03-09 07:30",
	} {
		if err := checkSchedule(expression); err != nil {
			t.Error(err)
		}
		if got := Comes(expression, at).Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s comes at %s, expected %s", expression, got, want)
		}
	}
	for _, bad := range []string{"monthly", "0 0 1 *", "61 0 1 * *", "0 0 31 2 *", "* * * * * *", "@everysecond"} {
		if err := checkSchedule(bad); err == nil || !strings.Contains(err.Error(), "training.schedule is "+bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A drift asks for one run, and not for the next one right after it.
func TestDrift(t *testing.T) {
	w := newWorks(t, 600)
	w.Drifted("m", fettle.ShortForecaster, "error doubled")
	w.Drifted("m", fettle.ShortForecaster, "error doubled")
	runs := w.List(Filter{Machine: "m"})
	if len(runs) != 1 || runs[0].Trigger != ByDrift || runs[0].By != "error doubled" {
		t.Fatalf("%+v", runs)
	}
	w.run()
	w.awaitEnd(runs[0].ID)
	w.Drifted("m", fettle.ShortForecaster, "error doubled")
	if n := len(w.List(Filter{})); n != 1 {
		t.Errorf("%d runs", n)
	}
	w.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	w.Drifted("m", fettle.ShortForecaster, "error doubled")
	if n := len(w.List(Filter{})); n != 2 {
		t.Errorf("%d runs a day later", n)
	}
}

// Whoever moves the clock looks at the schedule: runs are asked for once when it
// has come, not before and not again.
func TestLookAtSchedule(t *testing.T) {
	w := newWorks(t, 600)
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return clock }
	if next := w.LookAtSchedule(); !next.IsZero() {
		t.Errorf("without a schedule the next is at %s", next)
	}
	w.cfg.Schedule = "0 6 * * *"
	w.Manager.cfg.Schedule = w.cfg.Schedule
	for _, c := range []struct {
		hours, runs int
		next        string
	}{{0, 0, "03-01 06"}, {5, 0, "03-01 06"}, {6, 1, "03-02 06"}, {7, 1, "03-02 06"}} {
		clock = time.Date(2026, 3, 1, c.hours, 0, 0, 0, time.UTC)
		if next := w.LookAtSchedule().Format("01-02 15"); next != c.next || len(w.List(Filter{})) != c.runs {
			t.Errorf("at %d o'clock: next %s, want %s; %d runs, want %d", c.hours, next, c.next, len(w.List(Filter{})), c.runs)
		}
	}
}
