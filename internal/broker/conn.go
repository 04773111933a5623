package broker

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
)

const (
	// overflowAt is when a client that reads nothing, not even the answers it
	// asked for, is let go, in bytes; larger by any one packet.
	overflowAt = 256 << 10
	// keepBuffer is the largest buffer that an idle connection keeps, in bytes.
	keepBuffer = 4 << 10
	// writeTime is how long a client may take to read writeBytes.
	writeTime  = time.Minute
	writeBytes = 64 << 10
	// partingTime is the same for the last words before its connection closes.
	partingTime = time.Second
	// maxConnect bounds a client's first packet, in bytes: a will of 64 KiB with
	// as long a password still fits. What strangers send is in memory at once.
	maxConnect = 192 << 10
)

// errLongConnect ends a connection whose first packet is longer.
var errLongConnect = errors.New("the first packet is too long")

// A conn is a client's connection that never makes its writer wait: answers are
// gathered, and a goroutine that lives only while there is something to send
// sends them, and then what waits in the client's outbox.
//
// mochi writes to a client while holding the client's lock. Over a plain
// connection, a client that stops reading would stop others.
type conn struct {
	net.Conn
	certified string        // the common name in the client's certificate; set before anything else
	local     bool          // it came in where only this computer can; set before anything else
	grant     *grant        // what it may do; set by its own goroutine before it may do anything
	client    string        // its id, for the log; set by its own goroutine
	turn      *turn         // to take over its session; touched by its own goroutine only
	messages  bucket        // what it may still publish; touched by its own goroutine only
	bytes     bucket        // likewise
	asked     []asked       // the subscriptions in work; touched by its own goroutine only
	will      mqtt.Will     // that is to be published; set when the client is lost
	gone      chan struct{} // closed with the connection
	ended     chan struct{} // closed when mochi has let go of it
	incoming  incoming      // the message being read; touched by its own goroutine only
	window    window        // of messages to be answered
	opening   []byte        // the beginning of the first packet, until its length is known; touched by its own goroutine only
	opened    bool          // it is

	mu       sync.Mutex // guards all below
	pending  []byte     // answers to be sent next
	spare    []byte     // an empty buffer to gather in
	sending  int        // bytes of answers that are being sent
	outbox   *outbox    // what else is to be sent; nil: nothing yet
	more     bool       // there may be something in it
	flushing bool       // the flusher lives
	closed   bool       // nothing more may be written
	stuck    bool       // because the client does not read
	flushers sync.WaitGroup
}

func newConn(c net.Conn) *conn {
	wrapped := &conn{Conn: c, gone: make(chan struct{}), ended: make(chan struct{})}
	wrapped.window.changed.L = &wrapped.window.mu
	return wrapped
}

// Write takes an answer; it fails only when the connection is closing.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(c.pending)+c.sending > overflowAt {
		c.stuck = true
		c.shut()
		return 0, errors.New("write to client: it does not read")
	}
	c.pending = append(c.pending, p...)
	c.start()
	return len(p), nil
}

// Read reads what the client sends, if its first packet is not too long.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.opened {
		return n, err
	}
	c.opening = append(c.opening, p[:n]...)
	if len(c.opening) < 2 {
		return n, err
	}
	length, used := binary.Uvarint(c.opening[1:]) // which is MQTT's variable byte integer
	if used > 0 && length > maxConnect {
		return 0, errLongConnect
	}
	if used != 0 {
		c.opened, c.opening = true, nil
	}
	return n, err
}

// serve has the connection send what is in an outbox.
func (c *conn) serve(o *outbox) {
	c.mu.Lock()
	c.outbox = o
	c.mu.Unlock()
	c.wake()
}

// wake tells that there is something in the outbox.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && !c.more {
		c.more = true
		c.start()
	}
}

// start has the flusher live, for whoever holds the lock.
func (c *conn) start() {
	if !c.flushing {
		c.flushing = true
		c.flushers.Add(1)
		go c.flush()
	}
}

// flush sends until nothing is left.
func (c *conn) flush() {
	defer c.flushers.Done()
	for {
		batch, from, some := c.gather()
		if !some {
			return
		}
		var tail []byte
		if from != nil {
			batch, tail = from.fill(batch, c)
		}
		err := c.send(batch, tail)
		c.mu.Lock()
		c.sending = 0
		c.more = c.more || from != nil && len(batch)+len(tail) > 0
		if cap(batch) <= keepBuffer {
			c.spare = batch[:0]
		}
		if err != nil {
			c.stuck = c.stuck || !c.closed && errors.Is(err, os.ErrDeadlineExceeded)
			c.pending, c.more = nil, false
			c.end()
		}
		c.mu.Unlock()
	}
}

// gather takes the answers, and tells where there is more to send. When there is
// none at all the flusher is to end.
func (c *conn) gather() (answers []byte, from *outbox, some bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.more = false
	}
	if len(c.pending) == 0 && !c.more {
		c.flushing = false
		if c.closed {
			c.Conn.Close()
		}
		return nil, nil, false
	}
	answers, c.pending, c.spare, c.sending = c.pending, c.spare, nil, len(c.pending)
	if c.more {
		from, c.more = c.outbox, false
	}
	return answers, from, true
}

// send writes both parts, piece by piece.
func (c *conn) send(parts ...[]byte) error {
	for _, part := range parts {
		for len(part) > 0 {
			n := min(len(part), writeBytes)
			c.allowWrite()
			if _, err := c.Conn.Write(part[:n]); err != nil {
				return err
			}
			part = part[n:]
		}
	}
	return nil
}

// allowWrite says how long the next write may take.
func (c *conn) allowWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed { // or shut has said it
		_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTime)) // fails as the write will
	}
}

// Close ends reading now, and the connection as soon as the answers are sent, or
// cannot be.
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

// end lets nothing more be written.
func (c *conn) end() {
	if !c.closed {
		c.closed = true
		close(c.gone)
	}
}

// wait returns when nothing of the connection is left; it must be closed.
func (c *conn) wait() {
	c.window.wait()
	c.flushers.Wait()
}

// doesNotRead tells whether the connection ended because of that.
func (c *conn) doesNotRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck
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
