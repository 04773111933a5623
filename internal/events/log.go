package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"fettle"
	"fettle/internal/db"
)

// Bounds of what is held. Old events leave first.
const (
	ringEvents = 8192
	ringBytes  = 2 << 20
	overhead   = 128    // bytes of an event beside its data
	maxKept    = 10_000 // events in the store
	keptSlack  = 500    // more than that before the oldest are deleted, together
)

// block is how many numbers are reserved ahead. One synced commit a block sees
// to it that no number is ever given twice, whatever a crash takes.
const block = 1 << 20

const eventPrefix = "e/n/" // number: an event, as JSON

var reservedKey = []byte("e/reserved") // the highest number reserved

// A Log numbers events and hands them out. All methods may be called at the
// same time.
type Log struct {
	db  *db.DB
	now func() time.Time

	keeping sync.Mutex // commits go one after the other, in the order of numbers
	kept    []uint64   // numbers in the store, ascending; guarded by keeping

	mu       sync.Mutex      // guards what follows; held for moments, never over a commit
	ring     []*fettle.Event // ascending; the events never change
	bytes    int             // of the events in ring
	last     uint64          // the newest number
	reserved uint64          // numbers up to here may be given
	pinned   uint64          // number of the event being kept: it stays in the ring until it is in the store
	wake     chan struct{}   // closed when an event comes; nil if nobody waits
}

// Open reads what is kept in d. now is the wall clock, for the times of events.
func Open(d *db.DB, now func() time.Time) (*Log, error) {
	l := &Log{db: d, now: now}
	value, found, err := d.Get(reservedKey)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	if found {
		l.last, _, _ = db.CutUint64(value)
	}
	l.reserved = l.last
	err = d.Ascend([]byte(eventPrefix), db.After([]byte(eventPrefix)), func(key, _ []byte) error {
		number, _, _ := db.CutUint64(key[len(eventPrefix):])
		l.kept = append(l.kept, number)
		return nil
	})
	if err == nil {
		err = l.reserve()
	}
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	return l, nil
}

// Append adds an event about a machine ("" if about none). data is encoded as
// JSON, once for all readers. Curves never wait for the disk; the other kinds
// are in the store when Append returns. Who is already waiting may see an event
// before that. An error means that readers may miss the event.
func (l *Log) Append(kind fettle.EventKind, machine string, data any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s event: %w", kind, err)
	}
	e := &fettle.Event{Time: l.now().UTC(), Kind: kind, Machine: machine, Data: encoded}
	if kind.Curve() {
		err = l.show(e)
	} else {
		err = l.keep(e)
	}
	if err != nil {
		return fmt.Errorf("append %s event: %w", kind, err)
	}
	return nil
}

// show adds an event to the ring only.
func (l *Log) show(e *fettle.Event) error {
	for !l.add(e) {
		l.keeping.Lock()
		err := l.reserve()
		l.keeping.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// keep adds an event to the ring and to the store.
func (l *Log) keep(e *fettle.Event) error {
	l.keeping.Lock()
	defer l.keeping.Unlock()
	for !l.add(e) {
		if err := l.reserve(); err != nil {
			return err
		}
	}
	defer l.unpin()
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	batch := l.db.NewBatch()
	batch.Set(eventKey(e.Number), value)
	kept := append(l.kept, e.Number)
	if surplus := len(kept) - maxKept; surplus > keptSlack {
		batch.DeleteRange(eventKey(kept[0]), eventKey(kept[surplus]))
		kept = slices.Clone(kept[surplus:])
	}
	if err := l.db.Commit(batch, db.Lazy); err != nil {
		return err
	}
	l.kept = kept
	return nil
}

func eventKey(number uint64) []byte { return db.AppendUint64([]byte(eventPrefix), number) }

// reserve makes the next block of numbers durable, unless there are some left.
// The caller holds keeping.
func (l *Log) reserve() error {
	l.mu.Lock()
	left, reserved := l.reserved-l.last, l.reserved+block
	l.mu.Unlock()
	if left > 0 {
		return nil
	}
	batch := l.db.NewBatch()
	batch.Set(reservedKey, db.AppendUint64(nil, reserved))
	if err := l.db.Commit(batch, db.Synced); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved = reserved
	return nil
}

// add numbers an event and lets it be seen; false if no number is left.
func (l *Log) add(e *fettle.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == l.reserved {
		return false
	}
	l.last++
	e.Number = l.last
	if !e.Kind.Curve() {
		l.pinned = e.Number
	}
	l.ring = append(l.ring, e)
	l.bytes += size(e)
	l.evict()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
	return true
}

func (l *Log) unpin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pinned = 0
}

func size(e *fettle.Event) int { return len(e.Data) + len(e.Machine) + overhead }

// evict keeps the ring within its bounds, but for an event that is not in the
// store yet, and the newest.
func (l *Log) evict() {
	old := 0
	for old < len(l.ring)-1 && (len(l.ring)-old > ringEvents || l.bytes > ringBytes) && l.ring[old].Number != l.pinned {
		l.bytes -= size(l.ring[old])
		l.ring[old] = nil
		old++
	}
	l.ring = l.ring[old:]
}

// LastNumber is the number of the newest event, or of the newest that may have
// been given before the start.
func (l *Log) LastNumber() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
