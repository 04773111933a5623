package notify

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// A desk is a box over a store of its own, whose letters go to a test and whose
// clock is a test's.
type desk struct {
	*Box
	t      *testing.T
	dir    string
	cfg    Config
	clock  time.Time
	answer func(a *address, l letter) error // what addresses say
	sent   []string                         // "address: id: first line of the text"
	mu     sync.Mutex                       // guards clock and sent
}

func newDesk(t *testing.T, receivers ...Receiver) *desk {
	for i, r := range receivers {
		if len(r.Email) == 0 {
			receivers[i].Webhook = "http://127.0.0.1/hook"
		}
	}
	d := &desk{t: t, dir: t.TempDir(), clock: noon, answer: func(*address, letter) error { return nil }}
	d.cfg = Config{
		Receivers: receivers, Group: time.Minute, PerHour: 3, MaxAge: time.Hour, GiveUp: 24 * time.Hour,
		Alert: func(sensors []string, at time.Time) string {
			return "Machine at Risk: Stay alert on " + strings.Join(sensors, ", ") + " (Checked at: " + stamp(at) + ")"
		},
		Page: func() string { return "http://page" },
	}
	d.open()
	t.Cleanup(func() { _ = d.db.Close() })
	return d
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}

func (d *desk) open() {
	d.t.Helper()
	store, err := db.Open(d.dir, db.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	if d.Box, err = Open(store, d.cfg, d.now, slog.New(slog.NewTextHandler(d.t.Output(), nil))); err != nil {
		d.t.Fatal(err)
	}
	for _, a := range d.addresses {
		a.sender = stub{d, a}
	}
}

func (d *desk) reopen() {
	d.t.Helper()
	if err := d.db.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

type stub struct {
	desk *desk
	a    *address
}

func (s stub) place() string { return "there" }

func (s stub) send(_ context.Context, l letter) error {
	err := s.desk.answer(s.a, l)
	if err == nil {
		first, _, _ := strings.Cut(l.text, "\n")
		s.desk.mu.Lock()
		defer s.desk.mu.Unlock()
		s.desk.sent = append(s.desk.sent, fmt.Sprintf("%s: %s: %s", s.a, l.id, first))
	}
	return err
}

// note tells the box of alarms, as the book of alarms does.
func (d *desk) note(alarms ...fettle.Alarm) {
	d.t.Helper()
	batch := d.db.NewBatch()
	committed, err := d.Note(batch, d.now(), alarms)
	if err == nil {
		err = d.db.Commit(batch, db.Synced)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	committed()
}

// wait moves the clock on, and makes every attempt that falls due on the way.
func (d *desk) wait(span time.Duration) {
	d.t.Helper()
	until := d.now().Add(span)
	for {
		next, first := until, (*address)(nil)
		for _, a := range d.addresses {
			if at, some := a.due(d.now()); some && !at.After(next) {
				next, first = at, a
			}
		}
		if next.After(d.clock) {
			d.mu.Lock()
			d.clock = next
			d.mu.Unlock()
		}
		if first == nil {
			return
		}
		if err := first.deliver(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) expectSent(what string, n int) {
	d.t.Helper()
	if len(d.sent) != n {
		d.t.Fatalf("%s: %d messages are sent, expected %d:\n%s", what, len(d.sent), n, strings.Join(d.sent, "\n"))
	}
}

func (d *desk) status() AddressStatus { return d.Status()[0] }

func raised(id uint64) fettle.Alarm { return open(id, fettle.High, noon) }

var refuses = func(*address, letter) error { return fettle.Errorf(fettle.Unavailable, "not now") }
