package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// This file is the way out of an outbox: to the connection, and, at QoS 1 and 2,
// to the acknowledgement.

// A retainedFor is a subscription for which retained messages have still to be
// sent. Which they are is found when its turn comes, so that a client which
// subscribes again and again and reads nothing costs no more than this.
type retainedFor struct {
	sub    packets.Subscription
	found  bool
	topics []string // still to be sent
}

// addRetained has the retained messages of a new subscription sent.
func (o *outbox) addRetained(sub packets.Subscription) {
	if mqtt.IsSharedFilter(sub.Filter) {
		return // MQTT 5, 4.8.2
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = o.room.now()
	if o.conn == nil || o.closed {
		return
	}
	o.backlog = append(o.backlog, retainedFor{sub: sub})
	o.conn.wake()
}

// fill appends what is to be sent next on the connection. The payload of the last
// packet may be left to tail, to be sent after it. It is called again after that
// has been written; nothing is appended when there is nothing more.
func (o *outbox) fill(out []byte, c *conn) (batch, tail []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != c {
		return out, nil
	}
	o.written()
	now := o.room.now()
	for len(out) < batchBytes {
		d, again := o.next(now)
		switch {
		case d == nil:
			return out, nil
		case d.released:
			out = appendRelease(out, d.id)
			continue
		}
		before := len(out)
		out = d.appendHeader(out, o.terms.version, again, now)
		if limit := o.terms.maxPacket; limit > 0 && len(out)-before+len(d.payload) > limit {
			out = out[:before] // as if it had it: MQTT 5, 3.1.2.11.4
			o.skip(d)
			continue
		}
		if len(d.payload) > copyBytes {
			return out, d.payload
		}
		out = append(out, d.payload...)
	}
	return out, nil
}

// written books that what was taken at QoS 0 is sent.
func (o *outbox) written() {
	if o.writing > 0 {
		o.use(-o.writing)
		o.writing = 0
		o.sentOff()
	}
}

// next takes out what is to be sent next: what was sent before, then retained
// messages, then what waits. It is nil if there is nothing that the client may
// have now.
func (o *outbox) next(now time.Time) (d *delivery, again bool) {
	for len(o.again) > 0 && o.open < o.terms.open {
		d, o.again = o.again[0], o.again[1:]
		if o.sent[d.id] != d {
			continue // acknowledged meanwhile
		}
		o.begin(d)
		return d, true
	}
	if len(o.again) > 0 {
		return nil, false
	}
	full := o.open >= o.terms.open || o.unacked > o.room.each/2
	if !full && (o.room.free() > 0 || o.unacked+o.writing == 0) {
		if d = o.nextRetained(now); d != nil {
			o.send(d)
			return d, false
		}
	}
	for len(o.backlog) == 0 && len(o.waiting) > 0 {
		d = o.waiting[0]
		if d.qos > 0 && full {
			return nil, false
		}
		o.waiting[0] = nil
		if o.waiting = o.waiting[1:]; len(o.waiting) == 0 {
			o.waiting = nil // idle sessions keep nothing
		}
		if d.expired(now) || !o.terms.grant().maySubscribe(d.topic) {
			o.end(d)
			o.sentOff()
			continue
		}
		o.send(d)
		return d, false
	}
	return nil, false
}

// send books a delivery as sent.
func (o *outbox) send(d *delivery) {
	if d.qos == 0 {
		o.writing += d.cost()
		return
	}
	d.id = o.nextID()
	o.setSent(d)
	o.begin(d)
}

// begin books that the connection has sent it.
func (o *outbox) begin(d *delivery) {
	d.open = true
	o.open++
}

// skip ends a delivery that was taken out and is not to be sent.
func (o *outbox) skip(d *delivery) {
	if d.qos == 0 {
		return // what is written ends
	}
	o.unsend(d)
}

// nextRetained finds the next retained message for a new subscription. What is
// retained takes no room until it is sent.
func (o *outbox) nextRetained(now time.Time) *delivery {
	for len(o.backlog) > 0 {
		first := &o.backlog[0]
		if !first.found {
			first.found, first.topics = true, o.tell.retainedUnder(first.sub.Filter)
		}
		for len(first.topics) > 0 {
			topic := first.topics[0]
			first.topics = first.topics[1:]
			l, found := o.tell.retainedOn(topic)
			if !found || l.expired(now) || !o.terms.grant().maySubscribe(topic) {
				continue
			}
			o.number++
			d := &delivery{letter: l, qos: min(l.qos, first.sub.Qos), retain: true, subscriptionIDs: identifiers(first.sub), number: o.number}
			o.use(d.cost())
			return d
		}
		o.backlog = o.backlog[1:]
	}
	o.backlog = nil
	return nil
}

// acknowledged books PUBACK, PUBCOMP, or a PUBREC that is an error.
func (o *outbox) acknowledged(id uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = o.room.now()
	d := o.sent[id]
	if d == nil {
		return // clients may talk nonsense
	}
	o.unsend(d)
	if o.conn != nil {
		o.conn.wake()
	}
}

// received books PUBREC; false if there is no such message.
func (o *outbox) received(id uint16) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = o.room.now()
	d := o.sent[id]
	if d == nil || d.qos != 2 {
		return false
	}
	d.released = true
	if d.kept {
		o.tell.noted(o.client, d.number)
	}
	return true
}
