package events

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"fettle"
	"fettle/internal/db"
)

// A Filter picks events. The zero value picks all.
type Filter struct {
	Kinds   []fettle.EventKind // nil: of every kind
	Machine string             // "": about any machine or none
}

func (f Filter) wants(e *fettle.Event) bool {
	return (f.Machine == "" || f.Machine == e.Machine) && (len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind))
}

// maxBatch bounds the events that a reader holds or a Wait returns.
const maxBatch = 1000

// Wait returns the events after a number that a filter picks, at most max of
// them (0: as many as one call gives), ascending. If there are none it waits
// for the first; when the context ends, it returns none. Of curves only the
// newest of each kind and machine are returned.
func (l *Log) Wait(ctx context.Context, after uint64, f Filter, max int) ([]fettle.Event, error) {
	if max <= 0 || max > maxBatch {
		max = maxBatch
	}
	for {
		events, next, wake, err := l.since(after, f, max)
		if err != nil || len(events) > 0 {
			return events, err
		}
		after = next
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// Subscribe makes a reader of the events after a number that a filter picks.
// After 0 are all that are still held; after LastNumber only what comes.
func (l *Log) Subscribe(after uint64, f Filter) *Reader {
	return &Reader{log: l, after: after, filter: f, closed: make(chan struct{})}
}

// A Reader hands out events one by one. One that is slow costs nobody anything:
// what it has not asked for waits in the log, not in the reader.
type Reader struct {
	log    *Log
	filter Filter
	after  uint64
	batch  []fettle.Event // to be handed out

	once   sync.Once
	closed chan struct{}
}

// readerBatch is how many events a reader takes from the log at once. Few: a
// curve that was taken cannot be overtaken by a newer one.
const readerBatch = 64

// Next returns the next event, waiting for it if need be. It fails when the
// context ends, and once the reader is closed. One goroutine at a time may call
// it.
func (r *Reader) Next(ctx context.Context) (fettle.Event, error) {
	for len(r.batch) == 0 {
		events, next, wake, err := r.log.since(r.after, r.filter, readerBatch)
		if err != nil {
			return fettle.Event{}, err
		}
		r.batch, r.after = events, next
		if len(events) > 0 {
			break
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return fettle.Event{}, ctx.Err()
		case <-r.closed:
			return fettle.Event{}, errClosed
		}
	}
	select {
	case <-r.closed:
		return fettle.Event{}, errClosed
	default:
	}
	e := r.batch[0]
	r.batch = r.batch[1:]
	return e, nil
}

var errClosed = fettle.Errorf(fettle.Unavailable, "reader of events is closed")

// Close ends a Next that waits, and all later ones. It may be called at any
// time, and more than once.
func (r *Reader) Close() { r.once.Do(func() { close(r.closed) }) }

// since collects the events after a number. next is the number to go on after;
// wake is closed when there is more.
func (l *Log) since(after uint64, f Filter, max int) (events []fettle.Event, next uint64, wake <-chan struct{}, err error) {
	l.mu.Lock()
	after = min(after, l.last) // a number of another log: only what comes
	held := l.last + 1         // the oldest number that the ring holds
	if len(l.ring) > 0 {
		held = l.ring[0].Number
	}
	from, _ := slices.BinarySearchFunc(l.ring, after+1, func(e *fettle.Event, n uint64) int { return cmp.Compare(e.Number, n) })
	ring := slices.Clone(l.ring[from:])
	next = l.last
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	wake = l.wake
	l.mu.Unlock()

	if after+1 < held {
		if events, err = l.stored(after, held, f, max); err != nil {
			return nil, after, nil, err
		}
	}
	events = append(events, thin(ring, f)...)
	if len(events) > max {
		events = events[:max]
		next = events[max-1].Number
	}
	return events, next, wake, nil
}

// stored reads events of the store between two numbers, one more than max at
// most: that one says that there are more.
func (l *Log) stored(after, before uint64, f Filter, max int) ([]fettle.Event, error) {
	var events []fettle.Event
	err := l.db.Ascend(eventKey(after+1), eventKey(before), func(_, value []byte) error {
		var e fettle.Event
		if err := json.Unmarshal(value, &e); err != nil {
			return err
		}
		if f.wants(&e) {
			events = append(events, e)
		}
		if len(events) > max {
			return db.Stop
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read events after %d: %w", after, err)
	}
	return events, nil
}

// thin picks events, and of each curve only the newest.
func thin(ring []*fettle.Event, f Filter) []fettle.Event {
	type curve struct {
		kind    fettle.EventKind
		machine string
	}
	newer := map[curve]bool{}
	var events []fettle.Event
	for _, e := range slices.Backward(ring) {
		if !f.wants(e) {
			continue
		}
		if e.Kind.Curve() {
			c := curve{e.Kind, e.Machine}
			if newer[c] {
				continue
			}
			newer[c] = true
		}
		events = append(events, *e)
	}
	slices.Reverse(events)
	return events
}
