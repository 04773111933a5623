package events

import (
	"math"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

var wall = time.Date(2030, 5, 5, 5, 5, 5, 0, time.UTC)

// A room is a log with its store, in a folder of its own.
type room struct {
	*Log
	t   *testing.T
	dir string
	db  *db.DB
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
	r.restart()
}

// restart is a new log over the same store: the old one's memory is gone.
func (r *room) restart() {
	r.t.Helper()
	var err error
	if r.Log, err = Open(r.db, func() time.Time { return wall }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) append(kind fettle.EventKind, machine string, data any) {
	r.t.Helper()
	if err := r.Append(kind, machine, data); err != nil {
		r.t.Error(err)
	}
}

// after is everything that is held after a number.
func (r *room) after(number uint64, f Filter) []fettle.Event {
	r.t.Helper()
	var all []fettle.Event
	for {
		events, next, _, err := r.since(number, f, maxBatch)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(events) == 0 {
			return all
		}
		all, number = append(all, events...), next
	}
}

// told writes events down: kind, machine, data.
func told(events []fettle.Event) string {
	var lines []string
	for _, e := range events {
		lines = append(lines, string(e.Kind)+" "+e.Machine+" "+string(e.Data))
	}
	return strings.Join(lines, ", ")
}

func TestEventsAreNumbered(t *testing.T) {
	r := newRoom(t)
	if n := r.LastNumber(); n != 0 {
		t.Errorf("last number of an empty log is %d", n)
	}
	r.append(fettle.EventAlarm, "m", 1)
	r.append(fettle.EventReadings, "m", map[string]float64{"tempA": 61.5})
	r.append(fettle.EventTunnel, "", "up")
	got := r.after(0, Filter{})
	if want := `alarm m 1, readings m {"tempA":61.5}, tunnel  "up"`; told(got) != want {
		t.Errorf("events are %s, expected %s", told(got), want)
	}
	for i, e := range got {
		if e.Number != uint64(i+1) || !e.Time.Equal(wall) {
			t.Errorf("event %d has number %d, time %v", i, e.Number, e.Time)
		}
	}
	if n := r.LastNumber(); n != 3 {
		t.Errorf("last number is %d", n)
	}
}

func TestNumbersAscendOverRestarts(t *testing.T) {
	r := newRoom(t)
	var last uint64
	for range 4 {
		r.append(fettle.EventVerdict, "m", 1)
		if n := r.LastNumber(); n <= last {
			t.Fatalf("number %d after %d", n, last)
		}
		last = r.LastNumber()
		r.restart()
		if r.LastNumber() < last {
			t.Fatalf("last number went from %d to %d", last, r.LastNumber())
		}
	}
}

func TestNumbersGoOnAfterABlock(t *testing.T) {
	r := newRoom(t)
	r.last = r.reserved - 1
	for range 3 {
		r.append(fettle.EventVerdict, "m", 1)
		r.append(fettle.EventAlarm, "m", 1)
	}
	last := r.LastNumber()
	if last != block+5 {
		t.Errorf("last number is %d", last)
	}
	r.restart()
	if r.append(fettle.EventVerdict, "m", 1); r.LastNumber() <= last {
		t.Errorf("number %d was given twice", r.LastNumber())
	}
}

// What was read before a restart stays read, what was missed is still there.
func TestKeptEventsSurviveRestarts(t *testing.T) {
	r := newRoom(t)
	for i := range 3 {
		r.append(fettle.EventAlarm, "m", i)
		r.append(fettle.EventReadings, "m", i)
		r.append(fettle.EventModel, "n", i)
	}
	seen := r.LastNumber() - 3
	r.restart()
	r.append(fettle.EventAlarm, "m", 3)
	for _, c := range []struct {
		after  uint64
		filter Filter
		want   string
	}{
		{0, Filter{}, "alarm m 0, model n 0, alarm m 1, model n 1, alarm m 2, model n 2, alarm m 3"},
		{seen, Filter{}, "alarm m 2, model n 2, alarm m 3"},
		{0, Filter{Machine: "n"}, "model n 0, model n 1, model n 2"},
		{0, Filter{Kinds: []fettle.EventKind{fettle.EventAlarm, fettle.EventTunnel}}, "alarm m 0, alarm m 1, alarm m 2, alarm m 3"},
		{0, Filter{Kinds: []fettle.EventKind{fettle.EventReadings}}, ""},
		{r.LastNumber(), Filter{}, ""},
		{r.LastNumber() + 1e9, Filter{}, ""},
	} {
		if got := told(r.after(c.after, c.filter)); got != c.want {
			t.Errorf("after %d with %+v: %s; expected %s", c.after, c.filter, got, c.want)
		}
	}
}

func TestNewestOfACurveWins(t *testing.T) {
	r := newRoom(t)
	for i := range 3 {
		r.append(fettle.EventReadings, "m", i)
		r.append(fettle.EventVerdict, "m", i)
		r.append(fettle.EventReadings, "n", i)
		r.append(fettle.EventTraining, "m", i)
	}
	want := "training m 0, training m 1, readings m 2, verdict m 2, readings n 2, training m 2"
	if got := told(r.after(0, Filter{})); got != want {
		t.Errorf("events are %s, expected %s", got, want)
	}
}

func TestRingIsBounded(t *testing.T) {
	r := newRoom(t)
	large := strings.Repeat("x", ringBytes/8)
	for range 20 {
		r.append(fettle.EventReadings, "m", large)
	}
	if r.bytes > ringBytes || len(r.ring) < 5 {
		t.Errorf("ring holds %d events in %d bytes", len(r.ring), r.bytes)
	}
	r.append(fettle.EventReadings, "m", strings.Repeat(large, 10))
	if len(r.ring) != 1 {
		t.Errorf("beside one event beyond the bound the ring holds %d", len(r.ring))
	}
	for i := range 2 * ringEvents {
		r.append(fettle.EventReadings, "m", i)
	}
	var sum int
	for _, e := range r.ring {
		sum += size(e)
	}
	if len(r.ring) != ringEvents || r.bytes != sum || cap(r.ring) > 4*ringEvents {
		t.Errorf("ring holds %d events in %d bytes, counted %d", len(r.ring), sum, r.bytes)
	}
}

// Alarms that left the ring come from the store.
func TestAlarmsOutliveTheRing(t *testing.T) {
	r := newRoom(t)
	const alarms = 3 * maxBatch
	for i := range alarms {
		r.append(fettle.EventAlarm, "m", i)
	}
	for i := range 2 * ringEvents {
		r.append(fettle.EventReadings, "m", i)
	}
	r.append(fettle.EventAlarm, "m", alarms)
	got := r.after(0, Filter{Kinds: []fettle.EventKind{fettle.EventAlarm}})
	if len(got) != alarms+1 {
		t.Fatalf("%d alarms, expected %d", len(got), alarms+1)
	}
	for i, e := range got {
		if i > 0 && e.Number <= got[i-1].Number {
			t.Fatalf("number %d comes after %d", e.Number, got[i-1].Number)
		}
	}
}

func TestStoreIsBounded(t *testing.T) {
	r := newRoom(t)
	for i := range maxKept + 2*keptSlack {
		r.append(fettle.EventAlarm, "m", i)
	}
	for range 2 {
		kept := 0
		err := r.db.Ascend([]byte(eventPrefix), db.After([]byte(eventPrefix)), func(_, _ []byte) error { kept++; return nil })
		if err != nil || kept != len(r.kept) || kept < maxKept || kept > maxKept+keptSlack {
			t.Errorf("%d events are kept, counted %d, err %v", kept, len(r.kept), err)
		}
		r.restart()
	}
}

func TestAppendSaysWhatWentWrong(t *testing.T) {
	r := newRoom(t)
	if err := r.Append(fettle.EventForecast, "m", math.NaN()); err == nil || !strings.Contains(err.Error(), "encode forecast event") {
		t.Errorf("event that JSON cannot hold: %v", err)
	}
	r.db.Close()
	if err := r.Append(fettle.EventAlarm, "m", 1); fettle.KindOf(err) != fettle.Unavailable {
		t.Errorf("event that could not be kept: %v", err)
	}
	if r.pinned != 0 {
		t.Error("an event that could not be kept holds the ring up")
	}
	if err := r.Append(fettle.EventReadings, "m", 1); err != nil {
		t.Errorf("curve without a store: %v", err)
	}
	if got := told(r.after(0, Filter{Kinds: []fettle.EventKind{fettle.EventReadings}})); got != "readings m 1" {
		t.Errorf("events are %s", got)
	}
}
