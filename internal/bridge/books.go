package bridge

import (
	"hash/maphash"
	"sync"
	"time"
)

// State is how a Subscriber does.
type State struct {
	Broker      string    // its URL, without user and password
	Protocol    string    // version of MQTT spoken last: "5", "3.1.1"; empty before the first connection
	Connected   bool      // and subscribed
	Since       time.Time // wall clock of the last change of Connected, or of the start
	Connections int64     // so far
	Resumed     int64     // of them, those that found their session still there

	LastError   string // of the last connection that failed or broke, or the last subscription refused; empty if none
	LastErrorAt time.Time

	Received     int64 // messages, those sent again included
	Acknowledged int64 // of QoS 1, each after the receiver's word
	Again        int64 // of Received, those sent again that were settled before, and so not received twice
	Waiting      int   // received and without the receiver's word
	Lag          time.Duration
}

// books keep the State, and over connections what each packet identifier
// stood for last.
type books struct {
	now  func() time.Time
	seed maphash.Seed

	mu       sync.Mutex // guards the rest
	state    State
	settled  map[uint16]uint64 // identifier -> sum of the message settled last
	arrivals *arrivals         // of the present or last connection
}

func newBooks(broker string, now func() time.Time) *books {
	return &books{now: now, seed: maphash.MakeSeed(), settled: map[uint16]uint64{}, state: State{Broker: broker, Since: now()}}
}

func (b *books) receive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.Received++
}

func (b *books) acknowledge(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.Acknowledged += int64(n)
}

// acknowledged counts so far.
func (b *books) acknowledged() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Acknowledged
}

func (b *books) settle(a *arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled[a.id] = a.sum
}

// isSettled tells whether a message that comes again was dealt with: the broker
// says that it was sent before, and the last message under its identifier had the
// same bytes. This matters for readings without a time of their own; those with
// one would only be merged with themselves.
func (b *books) isSettled(id uint16, sum uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, found := b.settled[id]
	if found && known == sum {
		b.state.Again++
		return true
	}
	return false
}

// connected begins a connection. Without its session the broker numbers
// messages anew.
func (b *books) connected(l *link) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = b.state.Connections == 0
	b.state.Protocol, b.state.Connections, b.arrivals = l.protocol.String(), b.state.Connections+1, l.arrivals
	if l.resumed {
		b.state.Resumed++
	} else {
		clear(b.settled)
	}
	return first
}

// subscribed is the moment from which messages come.
func (b *books) subscribed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.Connected, b.state.Since = true, b.now()
}

// trouble books an error; it may be that of a connection that lives on.
func (b *books) trouble(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.LastError, b.state.LastErrorAt = err.Error(), b.now()
}

// gone ends a connection, or an attempt at one.
func (b *books) gone() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Connected {
		b.state.Connected, b.state.Since = false, b.now()
	}
}

func (b *books) report() State {
	b.mu.Lock()
	s, arrivals := b.state, b.arrivals
	b.mu.Unlock()
	if arrivals != nil {
		var oldest time.Time
		if s.Waiting, oldest = arrivals.waiting(); s.Waiting > 0 {
			s.Lag = max(0, b.now().Sub(oldest))
		}
	}
	return s
}
