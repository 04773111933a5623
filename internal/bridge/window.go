package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho/log"
	"github.com/eclipse/paho.golang/paho/session"

	"fettle"
)

// A window holds the messages between Publish and their acknowledgement, in
// order. A goroutine of its own, the sender, writes them to whatever connection
// there is. Towards paho it is the session: paho brings it connections and
// what arrives on them.
type window struct {
	size   int
	sender sync.WaitGroup

	mu      sync.Mutex // guards all below
	changed sync.Cond  // signalled when any of it changes
	queue   []*message // oldest first
	next    int        // place of the first in queue that is to be sent
	sent    int        // messages of QoS 1 in queue that are sent
	id      uint16     // of the last message of QoS 1
	conn    io.Writer  // nil while there is none
	limit   int        // messages of QoS 1 that the broker bears unacknowledged
	largest int        // bytes of a packet that the broker takes; 0: any
	held    bool       // nothing is sent for a while, because the broker is busy
	hold    time.Duration
	resume  *time.Timer // ends the hold
	closed  bool

	stats   Stats
	refused int64 // since the last flush
	why     string
}

// A message is in the window.
type message struct {
	packet  *packets.Publish
	sent    bool // on the present connection
	counted bool // as sent, ever
}

const (
	firstHold = 100 * time.Millisecond
	lastHold  = 5 * time.Second
	// overhead bounds what a packet is longer than its topic and payload.
	overhead = 16
)

var errClosed = fettle.Errorf(fettle.Unavailable, "mqtt client is closed")

func newWindow(size int) *window {
	w := &window{size: size, limit: size, hold: firstHold}
	w.changed.L = &w.mu
	return w
}

// start starts the sender.
func (w *window) start() { w.sender.Go(w.send) }

// stop lets the sender end and nobody wait any longer.
func (w *window) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.resume != nil {
		w.resume.Stop()
	}
	w.changed.Broadcast()
}

// wait waits for the end of the sender.
func (w *window) wait() { w.sender.Wait() }

// hangUp breaks the connection.
func (w *window) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.conn.(io.Closer); ok {
		c.Close()
	}
}

// await waits, holding the lock, until the condition is true or the context
// ends.
func (w *window) await(ctx context.Context, condition func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer stop()
	for !condition() && !w.closed {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.changed.Wait()
	}
	if w.closed {
		return errClosed
	}
	return nil
}

// put takes a message when there is room.
func (w *window) put(ctx context.Context, topic string, payload []byte, qos byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.await(ctx, func() bool { return len(w.queue) < w.size }); err != nil {
		return fmt.Errorf("publish on %s: %w", topic, err)
	}
	if n := len(topic) + len(payload) + overhead; w.largest > 0 && n > w.largest {
		return fettle.BadField("message too large", "message", fmt.Sprintf("%d bytes long", len(payload)),
			fmt.Sprintf("packets of at most %d bytes, as the broker takes", w.largest))
	}
	w.queue = append(w.queue, &message{packet: &packets.Publish{Topic: topic, Payload: bytes.Clone(payload), QoS: qos}})
	w.changed.Broadcast()
	return nil
}

// flush waits until the window is empty.
func (w *window) flush(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.await(ctx, func() bool { return len(w.queue) == 0 }); err != nil {
		return fmt.Errorf("%d messages are not acknowledged: %w", len(w.queue), err)
	}
	if n := w.refused; n > 0 {
		w.refused = 0
		return fettle.Errorf(fettle.Forbidden, "mqtt broker refused %d messages: %s", n, w.why)
	}
	return nil
}

func (w *window) count() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// send is the sender: it writes one message after the other until the window is
// closed.
func (w *window) send() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for !w.closed && !w.maySend() {
			w.changed.Wait()
		}
		if w.closed {
			return
		}
		m, conn := w.queue[w.next], w.conn
		m.sent = true
		w.advance()
		if m.packet.QoS > 0 {
			m.packet.PacketID = w.newID()
			w.sent++
		}
		w.mu.Unlock()
		_, err := m.packet.WriteTo(conn) // may block while the broker does not read
		w.mu.Lock()
		w.written(m, conn, err)
	}
}

// maySend tells whether there is a message to send that the broker bears.
func (w *window) maySend() bool {
	return w.conn != nil && !w.held && w.next < len(w.queue) && (w.queue[w.next].packet.QoS == 0 || w.sent < w.limit)
}

// advance moves next to the first message that is not sent.
func (w *window) advance() {
	for w.next < len(w.queue) && w.queue[w.next].sent {
		w.next++
	}
}

// newID is a packet identifier that no message in the window has. There are
// more of them than messages.
func (w *window) newID() uint16 {
	for {
		w.id++
		if w.id != 0 && w.find(w.id) < 0 {
			return w.id
		}
	}
}

// find is the place of the sent message with an identifier; -1 if there is none.
func (w *window) find(id uint16) int {
	return slices.IndexFunc(w.queue, func(m *message) bool { return m.sent && m.packet.QoS > 0 && m.packet.PacketID == id })
}

// written books how writing a message went.
func (w *window) written(m *message, conn io.Writer, err error) {
	switch {
	case err != nil && w.conn == conn:
		w.lost() // paho notices too, when it reads
		if c, ok := conn.(io.Closer); ok {
			c.Close()
		}
	case err != nil: // and paho has noticed already
	default:
		w.countSent(m)
		if m.packet.QoS == 0 {
			w.remove(slices.Index(w.queue, m))
		}
	}
}

// countSent counts a message once, however often it is written. Its answer may
// be here before the writer has come to say that it is out.
func (w *window) countSent(m *message) {
	if !m.counted {
		m.counted = true
		w.stats.Sent++
	}
}

// remove takes a message out; -1 is none.
func (w *window) remove(i int) {
	if i < 0 {
		return
	}
	if m := w.queue[i]; m.sent && m.packet.QoS > 0 {
		w.sent--
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	if i < w.next {
		w.next--
	}
	w.changed.Broadcast()
}

// lost: without a connection, everything is to be sent again.
func (w *window) lost() {
	w.conn, w.next, w.sent = nil, 0, 0
	for _, m := range w.queue {
		m.sent = false
	}
}

// Reasons of MQTT 5 that are about the message itself, which no other time makes
// better. Any other means "not now", even one that no broker should give here.
var forGood = []byte{packets.PubackNotAuthorized, packets.PubackTopicNameInvalid, packets.PubackPayloadFormatInvalid}

// answered books the broker's answer to a message.
func (w *window) answered(p *packets.Puback) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.find(p.PacketID)
	switch {
	case i < 0: // answers nothing of ours
	case p.ReasonCode < 0x80:
		w.countSent(w.queue[i])
		w.stats.Acknowledged++
		w.hold = firstHold
		w.remove(i)
	case slices.Contains(forGood, p.ReasonCode):
		w.stats.Refused++
		w.refused++
		w.why = fmt.Sprintf("%s on %s", reason(p), fettle.Shorten(w.queue[i].packet.Topic))
		w.remove(i)
	default:
		w.queue[i].sent = false
		w.sent--
		w.next = min(w.next, i)
		w.pause()
	}
}

func reason(p *packets.Puback) string {
	if p.Properties != nil && p.Properties.ReasonString != "" {
		return fmt.Sprintf("%s (reason %#x)", p.Properties.ReasonString, p.ReasonCode)
	}
	return fmt.Sprintf("reason %#x", p.ReasonCode)
}

// pause holds everything back for a while, each time longer: what is sent to a
// busy broker makes it busier, and would overtake what it has just refused.
func (w *window) pause() {
	if w.held || w.closed {
		return
	}
	w.held = true
	w.resume = time.AfterFunc(w.hold, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held = false
		w.changed.Broadcast()
	})
	w.hold = min(2*w.hold, lastHold)
}

// ConAckReceived is called by paho with each new connection.
func (w *window) ConAckReceived(conn io.Writer, _ *packets.Connect, answer *packets.Connack) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost()
	w.conn, w.limit, w.largest = conn, w.size, 0
	if p := answer.Properties; p != nil {
		if p.ReceiveMaximum != nil {
			w.limit = min(w.size, int(*p.ReceiveMaximum))
		}
		if p.MaximumPacketSize != nil {
			w.largest = int(*p.MaximumPacketSize)
		}
	}
	w.changed.Broadcast()
	return nil
}

// ConnectionLost is called by paho, perhaps more than once.
func (w *window) ConnectionLost(*packets.Disconnect) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost()
	return nil
}

// PacketReceived is called by paho with all that carries an identifier.
func (w *window) PacketReceived(p *packets.ControlPacket, _ chan<- *packets.Publish) error {
	if answer, ok := p.Content.(*packets.Puback); ok {
		w.answered(answer)
	}
	return nil
}

// What paho's session can do beside is for subscribing, and for publishing
// through paho.

func (w *window) AddToSession(context.Context, session.Packet, chan<- packets.ControlPacket) error {
	return errors.New("BUG: the window sends its own messages only")
}

func (w *window) Ack(*packets.Publish) error { return nil }
func (w *window) Close() error               { return nil }
func (w *window) SetErrorLogger(log.Logger)  {}
func (w *window) SetDebugLogger(log.Logger)  {}
