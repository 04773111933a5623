package bridge

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"fettle"
)

// arrivals are the messages of one connection that wait to be acknowledged, in
// the order in which they came: MQTT wants acknowledgements in that order, and
// receivers answer in any.
type arrivals struct {
	size  int // messages that may wait
	books *books
	fail  func(error) // ends the connection

	room  chan struct{} // told of every answer, for the reader who waits for room
	ready chan struct{} // told when there are acknowledgements to write

	mu    sync.Mutex // guards the rest
	queue []*arrival // oldest first
	acks  []byte     // packets to write
}

// An arrival is one message of QoS 1.
type arrival struct {
	id       uint16
	sum      uint64 // of topic and payload
	at       time.Time
	answered bool
	lost     bool // answered with: not now
}

func newArrivals(size int, books *books, fail func(error)) *arrivals {
	return &arrivals{size: size, books: books, fail: fail, room: make(chan struct{}, 1), ready: make(chan struct{}, 1)}
}

// tell wakes who waits on a channel of one place.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add takes a message in, once there is room. A message that an earlier
// connection has settled is answered already: only its acknowledgement did not
// reach the broker.
func (q *arrivals) add(ctx context.Context, d delivery) (a *arrival, settled bool, err error) {
	a = &arrival{id: d.id, sum: maphash.Bytes(q.books.seed, d.identity), at: q.books.now()}
	settled = d.again && q.books.isSettled(a.id, a.sum)
	for {
		q.mu.Lock()
		if len(q.queue) < q.size {
			q.queue = append(q.queue, a)
			q.mu.Unlock()
			return a, settled, nil
		}
		q.mu.Unlock()
		select {
		case <-q.room:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// answer takes a receiver's word about a message: nil, or an error of kind
// Invalid that will not change, settle it. Anything else means that it must
// come again, and the broker sends it again to the next connection only.
func (q *arrivals) answer(a *arrival, err error) {
	good := err == nil || fettle.KindOf(err) == fettle.Invalid
	if good {
		q.books.settle(a)
	}
	q.mu.Lock()
	a.answered, a.lost = true, !good
	n := 0
	for n < len(q.queue) && q.queue[n].answered && !q.queue[n].lost {
		q.acks = appendPuback(q.acks, q.queue[n].id)
		n++
	}
	q.queue = q.queue[n:]
	q.mu.Unlock()
	if n > 0 {
		q.books.acknowledge(n)
		tell(q.ready)
	}
	tell(q.room)
	if !good {
		q.fail(&notTaken{err})
	}
}

// take hands over the acknowledgements that are to be written.
func (q *arrivals) take(into []byte) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	into, q.acks = q.acks, into[:0]
	return into
}

// waiting is how many messages have no answer, and when the oldest came.
func (q *arrivals) waiting() (n int, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.queue {
		if !a.answered {
			if n == 0 {
				oldest = a.at
			}
			n++
		}
	}
	return n, oldest
}

// notTaken is the end of a connection for our own sake: a message could not be
// made durable.
type notTaken struct{ err error }

func (e *notTaken) Error() string { return "a message could not be stored: " + e.err.Error() }
func (e *notTaken) Unwrap() error { return e.err }
