package verdict

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// accept says at a row that how the machine is now is normal.
func (r *room) accept(at time.Time) time.Time {
	r.t.Helper()
	since, err := r.Accept("m", at)
	if err != nil {
		r.t.Fatal(err)
	}
	return since
}

// What becomes of a machine that a person has accepted as it is.
func TestMachineIsAcceptedAsItIs(t *testing.T) {
	level := func(_ int, v float64) float64 { return v + 10 }
	swings := func(row int, v float64) float64 { return v + 8*float64(row/9%2) }
	for name, c := range map[string]struct {
		change    func(row int, v float64) float64
		said      int  // row at which a person says so
		kept      bool // the model goes on for now
		calmAfter int  // rows until they say it once more, if they have to
	}{
		"another level":                {level, 1300, false, 0}, // enough of it to learn from
		"another level, said soon":     {level, 1030, true, 0},
		"swings wildly":                {swings, 1150, false, 0},
		"swings wildly, said too soon": {swings, 1010, true, 250}, // and said again
	} {
		t.Run(name, func(t *testing.T) {
			rows := healthy(6000, 8)
			change(rows, "current", 1000, 6000, c.change)
			r := newRoom(t)
			r.live(rows[:c.said])
			before := r.machines["m"].live.model
			since := r.accept(at(c.said - 1))
			if since.Before(at(1000)) || since.After(at(1030)) {
				t.Errorf("it began at %v, expected soon after %v", since, at(1000))
			}
			if kept := r.machines["m"].live.model == before; kept != c.kept {
				t.Errorf("the model before goes on: %v", kept)
			}
			if left := r.Quarantined("m", at(0), at(6000)); slices.ContainsFunc(left, func(i fettle.Interval) bool { return i.To.After(since) }) {
				t.Errorf("still in quarantine: %v", left)
			}
			if c.calmAfter > 0 {
				r.live(rows[c.said : c.said+c.calmAfter])
				r.accept(at(c.said + c.calmAfter - 1))
			}
			if score := worst(r.live(rows[c.said+c.calmAfter:])); score > 1 {
				t.Errorf("worst score after a person said that this is normal is %.2f", score)
			}
			if m := r.machines["m"]; m.course.renewing() || m.course.begin.Before(at(990)) {
				t.Errorf("nothing was learned of the new life: %+v", m.course)
			}
		})
	}
}

// What counts as normal now is watched as before: a fault on top of it is found,
// and so is the return to what was normal once.
func TestAcceptedMachineIsStillWatched(t *testing.T) {
	rows := healthy(3000, 8)
	change(rows, "current", 1000, 2500, func(_ int, v float64) float64 { return v + 10 })
	change(rows, "tempA", 1500, 1600, func(_ int, v float64) float64 { return v + 4 })
	r := newRoom(t)
	r.live(rows[:1400])
	r.accept(at(1399))
	verdicts := r.live(rows[1400:])
	if v := verdicts[1560-1400]; v.Score <= 1 || v.Causes[0].Sensor != "tempA" {
		t.Errorf("a fault of what is normal now: %+v", v)
	}
	if v := verdicts[2560-1400]; v.Score <= 1 {
		t.Errorf("as it was once: %+v", v)
	}
}

// A person's word is kept with all that was judged, whatever happens after it.
func TestAcceptedIsOnDisk(t *testing.T) {
	rows := healthy(3000, 8)
	change(rows, "current", 1000, 3000, func(_ int, v float64) float64 { return v + 10 })
	run := func(restart func(*room)) []fettle.Verdict {
		r := newRoom(t)
		r.live(rows[:1040])
		r.accept(at(1039))
		restart(r)
		return r.live(rows[1040:])
	}
	want := run(func(*room) {})
	got := run((*room).reopen)
	for i := range want {
		if want[i].Score != got[i].Score {
			t.Fatalf("score at row %d is %v after a restart, %v without", 1040+i, got[i].Score, want[i].Score)
		}
	}
}

func TestNothingToAccept(t *testing.T) {
	r := newRoom(t)
	r.live(healthy(firstRows-1, 1))
	for _, machine := range []string{"m", "nobody"} {
		_, err := r.Accept(machine, at(10))
		if fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), machine+" is still being learned") {
			t.Errorf("accepting %s: %v", machine, err)
		}
	}
}
