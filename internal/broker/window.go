package broker

import (
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// windowMessages and windowBytes bound what one connection may have on its
	// way to the disk. Beyond, it is not read, which TCP lets its sender feel. A
	// client of MQTT 5 is told the number (Receive Maximum).
	windowMessages = 256
	windowBytes    = 1 << 20
	// windowsBytes bounds the same of all connections together; beyond it each may
	// have one message on its way.
	windowsBytes = 64 << 20
)

// taken is the outcome of a message that is to be acknowledged; any other says
// why it is not.
var taken = packets.Code{}

// A message is one that a client published, until it is answered.
type message struct {
	*letter
	id      uint16 // of the packet that it came in
	again   bool   // received before: answered, but for no subscriber
	settled bool   // its outcome is known
	outcome packets.Code
}

// size is what a message takes, in bytes.
func (m *message) size() int {
	if m.properties == nil {
		return len(m.payload)
	}
	return len(m.payload) + propertiesSize(m.properties)
}

// A window holds the messages of one connection from when they are read until
// they are answered. They may be settled in any order, by anybody; they are
// answered in the order in which they came, by one goroutine that lives only
// while there is something to answer.
type window struct {
	answer func([]*message) // tells the client, and the subscribers; set before the first message
	all    *windows         // of which this is one; set before the first message

	mu        sync.Mutex // guards all below, and settled and outcome of the messages
	changed   sync.Cond  // signalled when messages left
	messages  []*message // oldest first
	bytes     int        // of their sizes
	answering bool       // the goroutine lives
}

// add takes a message in, and waits for room before. A message fits into an
// empty window however big it is.
func (w *window) add(m *message) {
	n := m.size()
	for !w.all.enter(n, w.waitForRoom(n)) {
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, m)
	w.bytes += n
}

// waitForRoom waits until the window has room, and tells whether it is empty.
func (w *window) waitForRoom(n int) (empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.messages) > 0 && (len(w.messages) >= windowMessages || w.bytes+n > windowBytes) {
		w.changed.Wait()
	}
	return len(w.messages) == 0
}

// settle says what became of a message. It does not wait, and the first word
// counts.
func (w *window) settle(m *message, outcome packets.Code, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !m.settled {
		m.settled, m.outcome, m.again = true, outcome, again
		w.wake()
	}
}

// abandon settles all that is left.
func (w *window) abandon(outcome packets.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		if !m.settled {
			m.settled, m.outcome = true, outcome
		}
	}
	w.wake()
}

// wake has the oldest messages answered, if they can be.
func (w *window) wake() {
	if !w.answering && len(w.messages) > 0 && w.messages[0].settled {
		w.answering = true
		go w.run()
	}
}

// run answers until the oldest message is one that is not settled yet.
func (w *window) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := 0
		for n < len(w.messages) && w.messages[n].settled {
			n++
		}
		if n == 0 {
			w.answering = false
			w.changed.Broadcast()
			return
		}
		batch := w.messages[:n:n]
		w.mu.Unlock()
		w.answer(batch)
		w.mu.Lock()
		done := 0
		for _, m := range batch {
			done += m.size()
		}
		w.bytes -= done
		w.all.leave(done)
		w.messages = w.messages[n:]
		if len(w.messages) == 0 {
			w.messages = nil // idle connections keep nothing
		}
		w.changed.Broadcast()
	}
}

// wait returns when everything is answered.
func (w *window) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.messages) > 0 || w.answering {
		w.changed.Wait()
	}
}

// windows bounds what all of them hold.
type windows struct {
	mu      sync.Mutex // guards bytes
	changed sync.Cond  // signalled when there are fewer
	bytes   int
}

func newWindows() *windows {
	all := &windows{}
	all.changed.L = &all.mu
	return all
}

// enter takes n bytes in. If there is no room, and it must not be, it returns
// false when that may have changed.
func (all *windows) enter(n int, must bool) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if !must && all.bytes+n > windowsBytes {
		all.changed.Wait()
		return false
	}
	all.bytes += n
	return true
}

func (all *windows) leave(n int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.bytes -= n
	all.changed.Broadcast()
}
