package ingest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"fettle"
)

// errImpatient is why a sender stopped waiting before its context ended.
var errImpatient = errors.New("waited " + patience.String())

// A parcel is what one sender handed in at once.
type parcel struct {
	rows    []fettle.Reading // the good ones
	places  []int            // where each stood in what was handed in
	of      int              // how many were handed in
	refused []error          // of the others
	bytes   int              // weight of rows
	done    func(outcome)    // told once, must not block; nil: nobody waits
	claimed atomic.Bool      // by the committer, or by a sender that gave up
}

// outcome is what became of a parcel's rows.
type outcome struct {
	stored  int
	refused []error
	err     error // nothing is stored
}

func (p *parcel) add(r fettle.Reading, place int) {
	p.rows = append(p.rows, r)
	p.places = append(p.places, place)
	p.bytes += weight(r)
}

// weight is about what a reading takes in memory, its strings included.
func weight(r fettle.Reading) int {
	bytes := 150 + len(r.Machine)
	for _, v := range r.Values {
		bytes += 24 + len(v.Sensor)
	}
	for name, text := range r.Tags {
		bytes += 50 + len(name) + len(text)
	}
	return bytes
}

// at puts the place of the reading in front of an error's field, if there was
// more than one reading.
func (p *parcel) at(place int, bad *fettle.Error) error {
	if p.of == 1 {
		return bad
	}
	placed := *bad
	placed.Field = "[" + strconv.Itoa(place) + "]." + bad.Field
	return &placed
}

// abandon takes the parcel out of the queue, as far as that still goes, and says
// what its sender can know of it.
func (p *parcel) abandon(why error) error {
	if p.claimed.CompareAndSwap(false, true) {
		return fettle.Errorf(fettle.Busy, "commit of %d readings did not start in time: %w", len(p.rows), why)
	}
	// Its commit is under way; a sender that repeats it does no harm.
	return fettle.Errorf(fettle.Unavailable, "commit of %d readings is not confirmed yet: %w", len(p.rows), why)
}

// claim is abandon's counterpart in the committer.
func (p *parcel) claim() bool { return p.claimed.CompareAndSwap(false, true) }

func (p *parcel) answer(o outcome) {
	if p.done != nil {
		p.done(o)
	}
}

// queue holds parcels until they are committed, in the order in which they
// came. It is open while the gate runs.
type queue struct {
	limit int // bytes

	mu      sync.Mutex // guards the rest
	changed sync.Cond  // on mu: parcels came in, or the queue was closed
	open    bool
	parcels []*parcel
	bytes   int
	room    chan struct{} // closed, and replaced, when there is room again or never will be
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit, room: make(chan struct{})}
	q.changed.L = &q.mu
	return q
}

// push adds a parcel, waiting for room as long as a sender has patience.
func (q *queue) push(ctx context.Context, p *parcel) error {
	room, err := q.tryPush(p)
	if room == nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errImpatient)
	defer cancel()
	for ; room != nil; room, err = q.tryPush(p) {
		select {
		case <-room:
		case <-ctx.Done():
			return fettle.Errorf(fettle.Busy, "take in %d readings: the queue of %d bytes is full: %w", len(p.rows), q.limit, context.Cause(ctx))
		}
	}
	return err
}

// offer adds a parcel if there is room.
func (q *queue) offer(p *parcel) error {
	room, err := q.tryPush(p)
	if room != nil {
		return fettle.Errorf(fettle.Busy, "take in %d readings: the queue of %d bytes is full", len(p.rows), q.limit)
	}
	return err
}

// tryPush adds the parcel, or returns what to wait for. One parcel fits into an
// empty queue however big it is.
func (q *queue) tryPush(p *parcel) (room <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open {
		return nil, fettle.Errorf(fettle.Unavailable, "take in %d readings: the gate is closed", len(p.rows))
	}
	if q.bytes > 0 && q.bytes+p.bytes > q.limit {
		return q.room, nil
	}
	q.parcels = append(q.parcels, p)
	q.bytes += p.bytes
	q.changed.Signal()
	return nil, nil
}

// take removes the oldest parcels, as many as fit one commit but at least one,
// waiting for the first; none once the queue is closed and empty.
func (q *queue) take() []*parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.parcels) == 0 && q.open {
		q.changed.Wait()
	}
	n, rows, bytes := 0, 0, 0
	for _, p := range q.parcels {
		rows, bytes = rows+len(p.rows), bytes+p.bytes
		if n > 0 && (rows > commitRows || bytes > commitBytes) {
			break
		}
		n++
		q.bytes -= p.bytes
	}
	taken := slices.Clone(q.parcels[:n])
	q.parcels = slices.Delete(q.parcels, 0, n)
	q.makeRoom()
	return taken
}

func (q *queue) makeRoom() {
	close(q.room)
	q.room = make(chan struct{})
}

func (q *queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
}

// close lets nothing more in; what is in the queue is still to be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = false
	q.makeRoom()
	q.changed.Broadcast()
}

func (q *queue) size() (bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
