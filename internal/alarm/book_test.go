package alarm

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/db"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// wall is what the clock on the wall shows in these tests.
var wall = time.Date(2030, 5, 5, 5, 5, 5, 0, time.UTC)

// A room is a book with its store, in a folder of its own, and what it told.
type room struct {
	*Book
	t       *testing.T
	dir     string
	db      *db.DB
	mu      sync.Mutex // guards changes
	changes []fettle.Alarm
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, dir: t.TempDir()}
	r.open()
	t.Cleanup(func() { r.db.Close() })
	return r
}

func (r *room) open() {
	r.t.Helper()
	var err error
	if r.db, err = db.Open(r.dir, db.Options{}); err != nil {
		r.t.Fatal(err)
	}
	if r.Book, err = Open(r.db, func() time.Time { return wall }, r.hear); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) reopen() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// hear books a change, and asks the book about it, as the pipeline does.
func (r *room) hear(a fettle.Alarm) {
	if kept, err := r.Get(a.ID); err != nil || kept.ID != a.ID {
		r.t.Errorf("alarm %d was told before it was kept: %v", a.ID, err)
	}
	r.OpenOf(a.Machine)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, a)
}

// verdicts makes rows with these scores, a second apart, from a row on.
func verdicts(machine, sensor string, from int, scores ...float64) []fettle.Verdict {
	list := make([]fettle.Verdict, len(scores))
	for i, score := range scores {
		list[i] = fettle.Verdict{
			Machine: machine, Time: start.Add(time.Duration(from+i) * time.Second), Score: score,
			Causes: []fettle.Cause{{Sensor: sensor, Share: 1, Value: 81.2, Low: 61, High: 70.3}},
		}
	}
	return list
}

func (r *room) apply(list []fettle.Verdict) {
	r.t.Helper()
	if err := r.Apply(list[0].Machine, list, words); err != nil {
		r.t.Fatal(err)
	}
}

func TestAlarmTellsWhatHappened(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("m", "vib", 0, 1.5, 1.6, 1.7, 2.5, 1.2))
	a, err := r.Get(1)
	if err != nil {
		t.Fatal(err)
	}
	want := fettle.Alarm{
		ID: 1, Machine: "m", Cause: "vib", Priority: fettle.High, State: fettle.Raised, RaisedAt: start.Add(2 * time.Second),
		Score: 1.2, PeakScore: 2.5, Sentence: "1.2 by vib",
		Causes: []fettle.Cause{{Sensor: "vib", Share: 1, Value: 81.2, Low: 61, High: 70.3}},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("alarm is\n%+v\nexpected\n%+v", a, want)
	}
	if a, err = r.Acknowledge(1, "anna", "on my way"); err != nil {
		t.Fatal(err)
	}
	want.State, want.AcknowledgedAt, want.AcknowledgedBy, want.Note = fettle.Acknowledged, &wall, "anna", "on my way"
	if !reflect.DeepEqual(a, want) {
		t.Errorf("answered it is\n%+v\nexpected\n%+v", a, want)
	}
	r.apply(verdicts("m", "vib", 5, 0.5, 0.4, 0.3, 0.2, 0.1))
	over := start.Add(9 * time.Second)
	want.State, want.ClearedAt, want.Score = fettle.Cleared, &over, 0.1
	r.reopen()
	if a, _ = r.Get(1); !reflect.DeepEqual(a, want) {
		t.Errorf("over it is\n%+v\nexpected\n%+v", a, want)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("m", "vib", 0, 1.5, 1.5, 1.5))
	if _, err := r.Acknowledge(1, "anna", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id       uint64
		by, note string
		kind     fettle.Kind
		text     string
	}{
		{2, "anna", "", fettle.NotFound, "no alarm 2"},
		{1, "ben", "", fettle.Conflict, "alarm 1 was acknowledged by anna at 2030-05-05T05:05:05Z"},
		{1, "", "", fettle.Invalid, `by is ""; expected who it is, in 1 to 128 bytes of UTF-8`},
		{1, strings.Repeat("a", 129), "", fettle.Invalid, "expected who it is"},
		{1, "\xff", "", fettle.Invalid, "expected who it is"},
		{1, "anna", strings.Repeat("a", 2001), fettle.Invalid, "note is 2001 bytes; expected at most 2000 bytes of UTF-8"},
	} {
		_, err := r.Acknowledge(c.id, c.by, c.note)
		if err == nil || fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("answer to %d by %q: %v; expected %q", c.id, c.by, err, c.text)
		}
	}
}

func TestAcceptedAlarmTellsWhoSaidSo(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("m", "vib", 0, 1.5, 1.5, 1.5))
	r.apply(verdicts("m", "temp", 3, 1.5, 1.5, 1.5))
	if _, err := r.Acknowledge(1, "anna", "on my way"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Accept(1, "ben", "the new oil"); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	over := start.Add(5 * time.Second)
	for id, want := range map[uint64]struct{ acknowledged, note string }{1: {"anna", "on my way\nthe new oil"}, 2: {"ben", "the new oil"}} {
		a, err := r.Get(id)
		if err != nil || a.State != fettle.Cleared || !a.ClearedAt.Equal(over) || a.AcceptedBy != "ben" || a.AcknowledgedBy != want.acknowledged || a.Note != want.note {
			t.Errorf("alarm %d is %+v, %v", id, a, err)
		}
	}
	for id, text := range map[uint64]string{1: "alarm 1 is over: the machine is as it was before, and there is nothing to accept", 3: "no alarm 3"} {
		if _, err := r.Accept(id, "ben", ""); err == nil || err.Error() != text {
			t.Errorf("accepting alarm %d: %v", id, err)
		}
	}
}

func TestVerdictsThatCameBeforeAreLeftOut(t *testing.T) {
	once, again := newRoom(t), newRoom(t)
	tries := 0
	rapid.Check(t, func(rt *rapid.T) {
		tries++
		machine := fmt.Sprintf("m%d", tries)
		scores := rapid.SliceOfN(rapid.SampledFrom([]float64{0.2, 0.95, 1.5, 2.5}), 30, 60).Draw(rt, "scores")
		list := verdicts(machine, "vib", 0, scores...)
		once.apply(list)
		for next := 0; next < len(list); {
			from := rapid.IntRange(0, next).Draw(rt, "from")
			to := rapid.IntRange(next, len(list)).Draw(rt, "to")
			if from < to {
				again.apply(list[from:to])
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				again.reopen()
			}
			next = max(next, to)
		}
		got, want := again.List(Filter{Machine: machine}), once.List(Filter{Machine: machine})
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("alarms are\n%+v\nexpected\n%+v", got, want)
		}
	})
}

func TestListsAndFilters(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("a", "vib", 0, 1.5, 1.5, 1.5, 0, 0, 0, 0, 0)) // 1: over, unseen
	r.apply(verdicts("a", "vib", 10, 1.5, 1.5, 1.5))               // 2: open
	r.apply(verdicts("a", "oil", 20, 2.5, 2.5, 2.5))               // 3: open, high
	r.apply(verdicts("b", "vib", 0, 1.5, 1.5, 1.5))                // 4: open, acknowledged
	r.apply(verdicts("b", "vib", 3, 0, 0, 0, 0, 0))                // and over
	if _, err := r.Acknowledge(4, "anna", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, "4 3 2 1"},
		{Filter{State: StateAll, Limit: 2}, "4 3"},
		{Filter{State: StateOpen}, "3 2"},
		{Filter{State: StateUnanswered}, "3 2 1"},
		{Filter{Machine: "b"}, "4"},
		{Filter{Machine: "b", State: StateUnanswered}, ""},
		{Filter{Machine: "nobody"}, ""},
	} {
		if got := numbers(r.List(c.filter)); got != c.want {
			t.Errorf("%+v: alarms %s, expected %s", c.filter, got, c.want)
		}
	}
	if got := numbers(r.OpenOf("a")); got != "3 2" {
		t.Errorf("open, worst first: %s, expected 3 2", got)
	}
	if got := numbers(r.OpenOf("nobody")); got != "" {
		t.Errorf("open of an unknown machine: %s", got)
	}
}

func numbers(list []fettle.Alarm) string {
	var ids []string
	for _, a := range list {
		ids = append(ids, fmt.Sprint(a.ID))
	}
	return strings.Join(ids, " ")
}

// The oldest alarms that are over make room; open ones stay.
func TestHistoryIsBounded(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("open", "vib", 0, 1.5, 1.5, 1.5)) // number 1
	round := []float64{1.5, 1.5, 1.5, 0, 0, 0, 0, 0}
	const rounds = 500
	var scores []float64
	for range rounds {
		scores = append(scores, round...)
	}
	for i := range maxKept/rounds + 1 {
		r.apply(verdicts("m", "vib", i*len(scores), scores...))
		r.changes = nil
	}
	for range 2 {
		list := r.List(Filter{})
		newest := uint64(1 + maxKept + rounds)
		if len(list) != maxKept || list[0].ID != newest || list[maxKept-1].ID != 1 || list[maxKept-2].ID != rounds+3 {
			t.Fatalf("%d alarms from %d to %d and %d", len(list), list[0].ID, list[maxKept-2].ID, list[maxKept-1].ID)
		}
		r.reopen()
	}
	r.apply(verdicts("later", "vib", 0, 1.5, 1.5, 1.5))
	if a := r.List(Filter{Limit: 1})[0]; a.Machine != "later" || a.ID != 2+maxKept+rounds {
		t.Errorf("after a restart the next alarm has number %d", a.ID)
	}
}

func TestMachineHasFewOpenAlarms(t *testing.T) {
	r := newRoom(t)
	for i := range 3 * maxOpen {
		r.apply(verdicts("m", fmt.Sprintf("s%d", i), 10*i, 1.5, 1.5, 1.5, 1.5, 1.5))
	}
	if open := r.OpenOf("m"); len(open) != maxOpen {
		t.Errorf("%d alarms are open, expected %d", len(open), maxOpen)
	}
}

func TestNothingCountsThatCouldNotBeKept(t *testing.T) {
	r := newRoom(t)
	r.apply(verdicts("m", "vib", 0, 1.5, 1.5))
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	third := verdicts("m", "vib", 2, 1.5)
	err := r.Apply("m", third, words)
	if fettle.KindOf(err) != fettle.Unavailable || len(r.changes) > 0 || len(r.List(Filter{})) > 0 {
		t.Fatalf("err %v, told %v", err, r.changes)
	}
	r.open()
	r.apply(third)
	if len(r.changes) != 1 {
		t.Errorf("told %v", r.changes)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRoom(t)
	var workers sync.WaitGroup
	for _, machine := range []string{"a", "b", "c"} {
		workers.Go(func() {
			for i := range 40 {
				if err := r.Apply(machine, verdicts(machine, "vib", 8*i, 1.5, 1.5, 1.5, 0, 0, 0, 0, 0), words); err != nil {
					t.Error(err)
				}
			}
		})
		workers.Go(func() {
			for id := range uint64(120) {
				_, err := r.Acknowledge(id, machine, "")
				if e := new(fettle.Error); err != nil && !errors.As(err, &e) {
					t.Error(err)
				}
				r.List(Filter{State: StateUnanswered})
				r.OpenOf(machine)
			}
		})
	}
	workers.Wait()
	list := r.List(Filter{})
	if len(list) != 120 || list[0].ID != 120 || list[119].ID != 1 {
		t.Errorf("%d alarms", len(list))
	}
}
