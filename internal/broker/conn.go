package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fullAt is when messages for a subscriber begin to wait in mochi's queue
	// instead of the connection's buffer, in bytes.
	fullAt = 64 << 10
	// overflowAt is when a client that reads nothing, not even the answers it
	// asked for, is let go, in bytes; larger by any one packet.
	overflowAt = 4 << 20
	// keepBuffer is the largest buffer that an idle connection keeps, in bytes.
	keepBuffer = 4 << 10
	// writeTime is how long a client may take to read something.
	writeTime = time.Minute
	// partingTime is the same for the last words before its connection closes.
	partingTime = time.Second
	// holdAt is how many messages of QoS 1 and 2 a subscriber may have to
	// acknowledge before its publishers wait, goOnAt when they go on. Above holdAt
	// there is room for one message each of as many publishers.
	holdAt = behind / 2
	goOnAt = behind / 4
	// holdTime bounds the waiting. A subscriber that takes half a thousand
	// messages in it never loses one.
	holdTime = time.Second
)

// A conn is a client's connection that never makes its writer wait: bytes are
// gathered, and a goroutine that lives only while there are some sends them.
//
// mochi writes to a client while holding the client's lock, and whoever
// publishes to that client needs the lock too. Over a plain connection, a
// subscriber that stops reading would therefore stop every publisher. It is
// also mochi's only view of the client's pace; the waiting that a slow client
// needs is done in turn, where no lock is held.
type conn struct {
	net.Conn
	certified   string        // the common name in the client's certificate; set before anything else
	local       bool          // it came in where only this computer can; set before anything else
	grant       *grant        // what it may do; set by its own goroutine before it may do anything
	client      string        // its id, for the log; set by its own goroutine
	messages    bucket        // what it may still publish; touched by its own goroutine only
	bytes       bucket        // likewise
	tooMany     []bool        // which parts of the subscription in work are refused; touched by its own goroutine only
	gone        chan struct{} // closed with the connection
	incoming    incoming      // the message being read; touched by its own goroutine only
	window      window        // of messages to be answered
	subscribing atomic.Bool   // its own goroutine is busy giving it retained messages

	mu       sync.Mutex // guards all below
	changed  sync.Cond  // signalled when any of it may let a turn go on
	pending  []byte     // to be sent next
	spare    []byte     // an empty buffer to gather in
	sending  int        // bytes that the flusher is sending
	flushing bool       // the flusher lives
	closed   bool       // nothing more may be written
	flushers sync.WaitGroup

	settled        bool // the session is established: turns count
	unanswered     int  // messages of QoS 1 and 2 without their acknowledgement
	maxUnanswered  int  // as the client wishes (Receive Maximum)
	retainedQueued int  // retained messages given to mochi's queue
	retainedSent   int  // retained messages that left it

	held    chan struct{}             // not nil: publishers wait until it is closed
	lagging bool                      // publishers waited for it in vain
	tooSlow func(after time.Duration) // is told when that begins; set before anything else
}

func newConn(c net.Conn) *conn {
	wrapped := &conn{Conn: c, maxUnanswered: 1<<16 - 1, gone: make(chan struct{})}
	wrapped.changed.L = &wrapped.mu
	wrapped.window.changed.L = &wrapped.window.mu
	return wrapped
}

// Write takes the bytes; it fails only when the connection is closing.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(c.pending)+c.sending > overflowAt {
		c.shut()
		return 0, errors.New("write to client: it does not read")
	}
	c.pending = append(c.pending, p...)
	if !c.flushing {
		c.flushing = true
		c.flushers.Add(1)
		go c.flush()
	}
	return len(p), nil
}

// flush sends until nothing is left.
func (c *conn) flush() {
	defer c.flushers.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		out := c.pending
		c.pending, c.spare, c.sending = c.spare, nil, len(out)
		patience := writeTime
		if c.closed {
			patience = partingTime
		}
		c.mu.Unlock()
		_ = c.Conn.SetWriteDeadline(time.Now().Add(patience)) // fails as the write will
		_, err := c.Conn.Write(out)
		c.mu.Lock()
		c.sending = 0
		if cap(out) <= keepBuffer {
			c.spare = out[:0]
		}
		if err != nil {
			c.pending = nil
			c.end()
		}
		c.changed.Broadcast()
	}
	c.flushing = false
	if c.closed {
		c.Conn.Close()
	}
}

// Close ends reading now, and the connection as soon as what was written is
// sent, or cannot be.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
	return nil
}

// shut is Close for whoever holds the lock.
func (c *conn) shut() {
	if c.closed {
		return
	}
	c.end()
	if !c.flushing {
		c.Conn.Close()
		return
	}
	now := time.Now()
	_ = c.Conn.SetReadDeadline(now) // fails only on a connection that is closed already
	_ = c.Conn.SetWriteDeadline(now.Add(partingTime))
}

// end lets nothing more be written, and nobody wait.
func (c *conn) end() {
	if !c.closed {
		c.closed = true
		close(c.gone)
	}
	c.letGo()
	c.changed.Broadcast()
}

// wait returns when nothing of the connection is left; it must be closed.
func (c *conn) wait() {
	c.window.wait()
	c.flushers.Wait()
}

// SetDeadline is mochi's keepalive. It is about reading only: writing has its
// own patience.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// turn waits until the client can take one more message. It is called by
// mochi's goroutine that writes to this client, and by nobody else once the
// session is settled; meanwhile messages gather in mochi's queue.
func (c *conn) turn(qos byte, retained bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.settled && !c.closed && (len(c.pending)+c.sending >= fullAt || qos > 0 && c.unanswered >= c.maxUnanswered) {
		c.changed.Wait()
	}
	if qos > 0 {
		c.unanswered++
	}
	if retained {
		c.retainedSent++
	}
	if retained || qos > 0 {
		c.changed.Broadcast()
	}
}

// answered books the client's acknowledgement of one message; depth is how many
// it has still to acknowledge, those that wait for their turn included.
func (c *conn) answered(depth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unanswered > 0 { // clients may talk nonsense
		c.unanswered--
	}
	if depth <= goOnAt {
		c.lagging = false
		c.letGo()
	}
	c.changed.Broadcast()
}

// hold makes whoever publishes to this client wait while it is behind, but not
// longer than holdTime, and not again before it has caught up. depth is as in
// answered.
func (c *conn) hold(depth func() int) {
	if depth() < holdAt || c.subscribing.Load() {
		return
	}
	c.mu.Lock()
	if !c.settled || c.closed || c.lagging || depth() < holdAt {
		c.mu.Unlock()
		return
	}
	if c.held == nil {
		held := make(chan struct{})
		c.held = held
		time.AfterFunc(holdTime, func() { c.giveUp(held) })
	}
	held := c.held
	c.mu.Unlock()
	<-held
}

// giveUp stops waiting for a client that did not catch up.
func (c *conn) giveUp(held chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == held {
		c.lagging = true
		c.letGo()
		c.tooSlow(holdTime)
	}
}

// letGo ends the waiting of publishers, for whoever holds the lock.
func (c *conn) letGo() {
	if c.held != nil {
		close(c.held)
		c.held = nil
	}
}

// queuedRetained waits until mochi's queue has room for more retained messages:
// a new subscriber gets all of them at once, and mochi would drop those that do
// not fit. It is called where the client is read, so it cannot wait for the
// client's acknowledgements.
func (c *conn) queuedRetained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retainedQueued++
	for !c.closed && c.retainedQueued-c.retainedSent >= behind/2 && c.unanswered < c.maxUnanswered {
		c.changed.Wait()
	}
}

// agree notes how many unacknowledged messages the client wants at most; zero
// if it did not say.
func (c *conn) agree(receiveMaximum int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if receiveMaximum > 0 {
		c.maxUnanswered = receiveMaximum
	}
}

// settle starts the waiting for turns. Before, mochi sends again what the
// session kept, and nobody reads the client's answers yet.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = true
}
