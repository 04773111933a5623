package influx

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"fettle"
	"fettle/internal/db"
)

// The records of this package. A machine's cursor is the time of its last row
// that InfluxDB has.
//
//	"i/m/" machine    time: a mirror's cursor through its readings
//	"i/a/" machine    time: a mirror's cursor through its anomalies
//	"i/t"             the mirror's target; with another one the cursors are void
//	"i/f"             JSON: what is followed, and up to when it was read
const (
	readingsCursor  = "i/m/"
	anomaliesCursor = "i/a/"
	targetKey       = "i/t"
	followKey       = "i/f"
)

// Stats tell how a mirror or a follower does.
type Stats struct {
	Rows      int64     // readings carried over
	Anomalies int64     // anomaly records carried over
	Refused   int64     // of both: refused by the other side for good
	Errors    int64     // times that something went wrong, and was tried again
	Since     time.Time // since when there has been something to carry, by the clock; zero: nothing is waiting
	Until     time.Time // of a follower: up to when the bucket was read
	LastOK    time.Time // by the clock
	LastError string    // what is wrong now; empty: nothing
}

// Lag is how far behind it is.
func (s Stats) Lag(now time.Time) time.Duration {
	since := s.Since
	if s.Until.After(since) {
		since = s.Until
	}
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since))
}

// books keep the Stats.
type books struct {
	now func() time.Time
	mu  sync.Mutex
	s   Stats
}

// change changes them, and returns what they were.
func (b *books) change(do func(*Stats)) (before Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before = b.s
	do(&b.s)
	return before
}

func (b *books) read() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// ok notes a success.
func (b *books) ok() {
	now := b.now()
	b.change(func(s *Stats) { s.LastOK, s.LastError = now, "" })
}

// failed notes what went wrong, and tells whether it is news.
func (b *books) failed(err error) (news bool) {
	return b.change(func(s *Stats) { s.Errors++; s.LastError = err.Error() }).LastError == ""
}

// A patience says how long to wait before trying again: longer each time, and
// never the same as others do.
type patience struct {
	first, most time.Duration
	next        time.Duration
}

// wait waits, at least as long as asked; it returns early when ctx ends.
func (p *patience) wait(ctx context.Context, asked time.Duration) {
	p.next = cmp.Or(p.next, p.first)
	pause := max(asked, p.next/2+rand.N(p.next))
	p.next = min(2*p.next, p.most)
	sleep(ctx, pause)
}

func (p *patience) reset() { p.next = 0 }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// cursors are the times up to which machines have been carried over.
type cursors struct {
	db     *db.DB
	prefix string
	at     map[string]time.Time
}

func loadCursors(d *db.DB, prefix string) (*cursors, error) {
	c := &cursors{db: d, prefix: prefix, at: map[string]time.Time{}}
	err := d.Ascend([]byte(prefix), db.After([]byte(prefix)), func(key, value []byte) error {
		name, _, named := db.CutString(key[len(prefix):])
		at, _, timed := db.CutMicros(value)
		if !named || !timed {
			return fettle.Errorf(fettle.Internal, "cursor %x is damaged", key)
		}
		c.at[name] = at
		return nil
	})
	return c, err
}

// move puts machines forward, in memory and in the batch.
func (c *cursors) move(batch *db.Batch, to map[string]time.Time) {
	for machine, at := range to {
		c.at[machine] = at
		batch.Set(db.AppendString([]byte(c.prefix), machine), db.AppendMicros(nil, at))
	}
}
