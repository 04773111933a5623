package ingest

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// clock is the wall clock of the tests.
var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// site is a running gate before a real store.
type site struct {
	*Gate
	db    *db.DB
	store *readings.Store
	stop  func() error // ends Run and returns what it returned

	mu   sync.Mutex
	told []fettle.Reading
}

func newSite(t testing.TB, cfg Config) *site {
	return newSiteBefore(t, cfg, func(s *readings.Store) store { return s })
}

// newSiteBefore runs the gate before what wrap makes of the store.
func newSiteBefore(t testing.TB, cfg Config, wrap func(*readings.Store) store) *site {
	t.Helper()
	dir := t.TempDir()
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readings.Open(d, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return clock }
	}
	s := &site{db: d, store: rows}
	s.Gate = newGate(cfg, wrap(rows), func(rows []fettle.Reading) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, rows...)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		mustBeSound(t, rows)
		d.Close()
	})
	for !s.running() {
		time.Sleep(time.Millisecond)
	}
	return s
}

// mustBeSound checks everything in a store of readings.
func mustBeSound(t testing.TB, rows *readings.Store) {
	t.Helper()
	if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
		t.Errorf("check of the readings found %q, %v", r.Faults, err)
	}
}

func (g *Gate) running() bool {
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	return g.queue.open
}

func (s *site) submit(rows ...fettle.Reading) (Result, error) {
	return s.Submit(context.Background(), rows)
}

// row is a good reading of a machine, n seconds before the clock.
func row(machine string, n int) fettle.Reading {
	return fettle.Reading{Machine: machine, Time: clock.Add(-time.Duration(n) * time.Second), Values: []fettle.Value{{Sensor: "a", Value: float64(n)}}}
}

func wantKind(t *testing.T, err error, kind fettle.Kind, parts ...string) {
	t.Helper()
	if err == nil || fettle.KindOf(err) != kind {
		t.Fatalf("error is %v (kind %d), expected kind %d", err, fettle.KindOf(err), kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestSubmit(t *testing.T) {
	s := newSite(t, Config{})
	local := time.FixedZone("", 3600)
	rows := []fettle.Reading{
		{Machine: "m", Time: clock.In(local).Add(-1500), Values: []fettle.Value{{Sensor: "b", Value: 2}, {Sensor: "a", Value: 1}, {Sensor: "b", Value: 3}}, Tags: map[string]string{}},
		{Machine: "l", Values: []fettle.Value{{Sensor: "a", Value: 1}}, Tags: map[string]string{"k": "v"}},
	}
	if done, err := s.submit(rows...); err != nil || done.Stored != 2 {
		t.Fatalf("Submit did %+v, %v", done, err)
	}
	want := "[{m 2026-03-01 11:59:59.999998 +0000 UTC [{a 1} {b 3}] map[]} {l 2026-03-01 12:00:00 +0000 UTC [{a 1}] map[k:v]}]"
	if got := fmt.Sprint(s.told); got != want {
		t.Errorf("committed was told\n%s\nexpected\n%s", got, want)
	}
	for i, machine := range []string{"m", "l"} {
		stored, err := s.store.Last(machine, time.Time{}, 9)
		if err != nil || fmt.Sprint(stored) != fmt.Sprint(s.told[i:i+1]) {
			t.Errorf("stored is %v, %v", stored, err)
		}
		if got := s.Arrived(machine); !got.Equal(clock) {
			t.Errorf("%s arrived at %v, expected %v", machine, got, clock)
		}
	}
	if got := s.Arrived("nobody"); !got.IsZero() {
		t.Errorf("nobody arrived at %v", got)
	}
	if _, err := s.submit(); err != nil {
		t.Errorf("nothing submitted: %v", err)
	}
}

// Readings without a time never become one row.
func TestArrivalTimes(t *testing.T) {
	s := newSite(t, Config{})
	timeless := fettle.Reading{Machine: "m", Values: []fettle.Value{{Sensor: "a", Value: 1}}}
	for range 10 {
		if _, err := s.submit(timeless, timeless, timeless); err != nil {
			t.Fatal(err)
		}
	}
	if info, _ := s.store.Info("m"); info.Rows != 30 || info.Last.Sub(clock) > time.Millisecond {
		t.Errorf("%d rows until %v, expected 30 until a little after %v", info.Rows, info.Last, clock)
	}
}

func TestClockSetBack(t *testing.T) {
	now := clock
	g := newGate(Config{Now: func() time.Time { return now }}, newSite(t, Config{}).store, nil)
	for _, c := range []struct {
		back time.Duration
		want time.Duration // since clock
	}{
		{0, 0},
		{0, time.Microsecond},
		{time.Millisecond, 2 * time.Microsecond},
		{time.Hour, -time.Hour},
		{time.Hour, -time.Hour + time.Microsecond},
	} {
		now = clock.Add(-c.back)
		if got := time.UnixMicro(g.arrivalTime()).Sub(clock); got != c.want {
			t.Errorf("clock set back by %v: arrival at %v, expected %v", c.back, got, c.want)
		}
	}
}

func TestRefusedReadings(t *testing.T) {
	long := strings.Repeat("x", fettle.MaxName+1)
	values := func(sensor string, v float64) []fettle.Value { return []fettle.Value{{Sensor: sensor, Value: v}} }
	good := values("a", 1)
	many := make([]fettle.Value, fettle.MaxSensors+1)
	tags := map[string]string{}
	for i := range fettle.MaxTags + 1 {
		tags[fmt.Sprint("t", i)] = ""
	}
	for _, c := range []struct {
		row    fettle.Reading
		reason string
		text   string
	}{
		{fettle.Reading{Machine: "", Values: good}, reasonName, "machine is 0 bytes long; expected 1..128"},
		{fettle.Reading{Machine: long, Values: good}, reasonName, "129 bytes long"},
		{fettle.Reading{Machine: " \u00a0", Values: good}, reasonName, "not only spaces"},
		{fettle.Reading{Machine: "\u200b", Values: good}, reasonName, "invisible"},
		{fettle.Reading{Machine: "a\nb", Values: good}, reasonName, `"a\nb"`},
		{fettle.Reading{Machine: "a\x00", Values: good}, reasonName, `"a\x00"`},
		{fettle.Reading{Machine: "\xff", Values: good}, reasonName, `"\xff"`},
		{fettle.Reading{Machine: "m", Values: values("", 1)}, reasonName, "sensor is 0 bytes"},
		{fettle.Reading{Machine: "m", Values: values("a\t", 1)}, reasonName, `sensor is "a\t"`},
		{fettle.Reading{Machine: "m"}, reasonEmpty, "at least one"},
		{fettle.Reading{Machine: "m", Values: many}, reasonSensors, "5001 sensors; expected at most 5000"},
		{fettle.Reading{Machine: "m", Values: values("a", math.NaN())}, reasonNumber, "a is NaN"},
		{fettle.Reading{Machine: "m", Values: values("a", math.Inf(-1))}, reasonNumber, "a is -Inf"},
		{fettle.Reading{Machine: "m", Values: good, Tags: tags}, reasonTags, "33 tags; expected at most 32"},
		{fettle.Reading{Machine: "m", Values: good, Tags: map[string]string{"k": strings.Repeat("x", 257)}}, reasonTag, "at most 256"},
		{fettle.Reading{Machine: "m", Values: good, Tags: map[string]string{"k": "\xff"}}, reasonTag, "UTF-8"},
		{fettle.Reading{Machine: "m", Values: good, Tags: map[string]string{"": "v"}}, reasonName, "tag is 0 bytes"},
		{fettle.Reading{Machine: "m", Values: good, Time: clock.Add(5*time.Minute + 1)}, reasonFuture, "at most 2026-03-01T12:05:00Z"},
		{fettle.Reading{Machine: "m", Values: good, Time: time.Unix(0, -1)}, reasonPast, "1970 or later"},
	} {
		s := newSite(t, Config{})
		alone, err := s.submit(c.row)
		wantKind(t, err, fettle.Invalid, c.text)
		if alone.Stored != 0 || fettle.ReasonOf(err) != c.reason {
			t.Errorf("%s: Submit did %+v, reason %q", c.reason, alone, fettle.ReasonOf(err))
		}
		// Between good ones it costs nobody anything.
		among, err := s.submit(row("m", 2), c.row, row("m", 1))
		wantKind(t, err, fettle.Invalid, "[1].", c.text)
		if _, isList := err.(codec.Errors); !isList || among.Stored != 2 {
			t.Errorf("%s: Submit did %+v, %T", c.reason, among, err)
		}
		if n := s.Stats().Refused[c.reason]; n != 2 {
			t.Errorf("%s is counted %d times", c.reason, n)
		}
		if r := s.Rejected(); len(r) != 2 || r[0].Reason != c.reason || !strings.Contains(r[0].Error, c.text) {
			t.Errorf("%s: rejections are %+v", c.reason, r)
		}
	}
}

func TestTimesAtTheEdge(t *testing.T) {
	s := newSite(t, Config{MaxFuture: time.Minute})
	for _, at := range []time.Time{clock.Add(time.Minute), time.Unix(0, 0)} {
		r := row("m", 0)
		r.Time = at
		if _, err := s.submit(r); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
}

func TestMachineLimit(t *testing.T) {
	s := newSite(t, Config{MaxMachines: 2})
	done, err := s.submit(row("a", 1), row("b", 1), row("c", 1), row("a", 0))
	wantKind(t, err, fettle.Invalid, `[2].machine is c`, "limit of 2 is reached")
	if done.Stored != 3 || s.Stats().Refused[reasonMachines] != 1 {
		t.Errorf("Submit did %+v, refused %v", done, s.Stats().Refused)
	}
	// Machines in the store count from the start.
	again := newGate(Config{MaxMachines: 2}, s.store, nil)
	for machine, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got := again.admit(machine, map[string]bool{}) == nil; got != want {
			t.Errorf("%s is admitted: %v, expected %v", machine, got, want)
		}
	}
}

// The store's own limits reach the sender like the gate's.
func TestSensorLimitOfMachine(t *testing.T) {
	s := newSite(t, Config{})
	wide := row("m", 1)
	wide.Values = nil
	for i := range fettle.MaxSensors {
		wide.Values = append(wide.Values, fettle.Value{Sensor: fmt.Sprintf("s%04d", i), Value: 1})
	}
	if _, err := s.submit(wide); err != nil {
		t.Fatal(err)
	}
	partly := row("m", 0)
	partly.Values = []fettle.Value{{Sensor: "a", Value: 1}, {Sensor: "s0000", Value: 2}}
	done, err := s.submit(row("l", 1), row("m", 0), partly)
	wantKind(t, err, fettle.Invalid, "[1].a", "[2].a", "at most 5000 sensors")
	if done.Stored != 2 {
		t.Errorf("%d rows stored, expected 2", done.Stored)
	}
	if last := s.told[len(s.told)-1]; fmt.Sprint(last.Values) != "[{s0000 2}]" {
		t.Errorf("committed was told of %v", last)
	}
}

func TestStats(t *testing.T) {
	s := newSite(t, Config{})
	for _, r := range []fettle.Reading{row("m", 3), row("m", 1), row("m", 2), row("m", 1)} {
		if _, err := s.submit(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Offer([]fettle.Reading{row("l", 1), {}}); fettle.ReasonOf(err) != reasonName {
		t.Errorf("Offer says %v", err)
	}
	s.Refuse("sensor/data", []byte("rubbish"), fettle.BadField("not JSON", "byte 0", "r", "a message"))
	if err := s.stop(); err != nil { // what was offered is committed now
		t.Fatal(err)
	}
	got := s.Stats()
	if got.Messages != 5 || got.Rows != 5 || got.New != 4 || got.Merged != 1 || got.Late != 1 || got.Commits != 5 || got.Dropped != 0 || got.QueueBytes != 0 {
		t.Errorf("Stats are %+v", got)
	}
	if fmt.Sprint(got.Refused) != "map[name not usable:1 not JSON:1]" {
		t.Errorf("Refused is %v", got.Refused)
	}
}
