package broker

import (
	"encoding/binary"
	"strings"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// This file is the way of a client's message: read, received, answered, passed
// on. mochi would answer each before it reads the next. So it is shown every
// message as one of QoS 0, for which it does all but answering, up to OnPublish;
// from there on the message is ours.

// incoming is what a message really came with.
type incoming struct {
	qos byte
	id  uint16
}

// nothing is a packet that mochi does nothing about: the acknowledgement of no
// message.
var nothing = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}

// OnPacketRead hides QoS and id of a message from mochi, and takes what is about
// QoS 1 and 2 away from it.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Pubrel:
		h.release(cl, pk.PacketID)
		return nothing, nil
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		h.acknowledged(cl, pk)
		return nothing, nil
	case packets.Publish:
		if pk.FixedHeader.Qos > 0 && pk.PacketID == 0 {
			return pk, nil // mochi ends the connection
		}
		h.slowDown(cl, pk.FixedHeader.Remaining)
		connOf(cl).incoming = incoming{pk.FixedHeader.Qos, pk.PacketID}
		pk.FixedHeader.Qos, pk.FixedHeader.Dup, pk.PacketID = 0, false, 0
		switch {
		case !fitTopic(pk.TopicName):
			h.refuseTopic(cl, pk)
			return nothing, nil
		case strings.HasPrefix(pk.TopicName, "$") && !strings.ContainsAny(pk.TopicName, "+#"):
			h.forbid(cl, pk) // mochi would drop what is on $SYS without a word
			return nothing, nil
		}
	}
	return pk, nil
}

// release answers PUBREL.
func (h *hook) release(cl *mqtt.Client, id uint16) {
	answer := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: id}
	if !h.b.receipts.release(cl.ID, id) {
		answer.ReasonCode = packets.ErrPacketIdentifierNotFound.Code
	}
	_ = cl.WritePacket(answer) // fails only if the client is gone
}

// acknowledged books what a client says about a message that it was sent.
func (h *hook) acknowledged(cl *mqtt.Client, pk packets.Packet) {
	o := h.b.outboxes.get(cl.ID)
	if o == nil {
		return // it has been forgotten
	}
	if pk.FixedHeader.Type != packets.Pubrec || pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
		o.acknowledged(pk.PacketID) // an error ends the exchange
		return
	}
	answer := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: pk.PacketID}
	if !o.received(pk.PacketID) {
		answer.ReasonCode = packets.ErrPacketIdentifierNotFound.Code
	}
	_ = cl.WritePacket(answer) // fails only if the client is gone
}

// forbid answers a message on a topic on which the client may not publish.
func (h *hook) forbid(cl *mqtt.Client, pk packets.Packet) {
	h.b.forbidden.Add(1)
	h.b.log.Warn("mqtt message refused: its client may not publish on the topic", "topic", fettle.Shorten(pk.TopicName), "client", cl.ID, "remote", cl.Net.Remote)
	if m, begun := h.enter(cl, &pk); begun {
		connOf(cl).window.settle(m, packets.ErrNotAuthorized, false)
	}
}

// refuseTopic answers a message on a topic that is none.
func (h *hook) refuseTopic(cl *mqtt.Client, pk packets.Packet) {
	h.b.forbidden.Add(1)
	h.b.log.Warn("mqtt message refused: its topic is too long or too deep", "topic", fettle.Shorten(pk.TopicName), "client", cl.ID, "remote", cl.Net.Remote,
		"limit_bytes", maxTopic, "limit_levels", maxLevels)
	if m, begun := h.enter(cl, &pk); begun {
		connOf(cl).window.settle(m, packets.ErrTopicNameInvalid, false)
	}
}

// enter puts a message into its client's window, with the QoS and id it came
// with; false if the broker stops, when it is settled already.
func (h *hook) enter(cl *mqtt.Client, pk *packets.Packet) (m *message, begun bool) {
	c := connOf(cl)
	m = &message{letter: newLetter(pk), id: c.incoming.id}
	m.qos, m.origin = c.incoming.qos, cl.ID
	begun = h.b.work.begin()
	if !begun {
		h.b.work.mustBegin()
	}
	c.window.add(m)
	if !begun {
		c.window.settle(m, packets.ErrServerShuttingDown, false)
	}
	return m, begun
}

// handled makes mochi do nothing more about a message. Rejecting it would do the
// same, but copies the whole packet for a line of the log that nobody reads.
var handled error = packets.CodeSuccessIgnore

// OnPublish has a client's message received.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.TopicName == "" {
		part(cl, packets.ErrTopicAliasInvalid)
		return pk, handled
	}
	if pk.Properties.TopicAliasFlag && !connOf(cl).grant.mayPublish(pk.TopicName) {
		h.forbid(cl, pk) // its rights are fewer than when it set the alias
		return pk, handled
	}
	if pk.FixedHeader.Retain && !h.b.mayRetain(&pk, cl) {
		pk.FixedHeader.Retain = false
	}
	if m, begun := h.enter(cl, &pk); begun {
		h.receive(cl, m)
	}
	return pk, handled
}

// mayRetain tells whether there is room for a message to be retained.
func (b *Broker) mayRetain(pk *packets.Packet, cl *mqtt.Client) bool {
	fits := b.retained.fits(pk.TopicName, retainedSize(pk))
	if !fits {
		b.log.Warn("mqtt message not retained: retained messages take too much memory",
			"topic", fettle.Shorten(pk.TopicName), "client", cl.ID, "limit", maxRetained)
	}
	return fits
}

// receive has a message of the window settled.
func (h *hook) receive(cl *mqtt.Client, m *message) {
	window := &connOf(cl).window
	settle := func(outcome packets.Code) { window.settle(m, outcome, false) }
	if m.qos == 2 {
		if h.b.receipts.full(cl.ID, m.id) {
			h.b.refused.Add(1)
			h.b.log.Warn("mqtt message not acknowledged: its client has not released so many before (PUBREL)", "client", cl.ID, "limit", maxUnreleased)
			settle(packets.ErrQuotaExceeded)
			return
		}
		settle = h.b.receipts.open(cl.ID, m.id, func(outcome packets.Code, again bool) { window.settle(m, outcome, again) })
	}
	switch {
	case settle == nil: // sent again
	case h.b.cfg.Wants(m.topic):
		h.b.take(Message{Topic: m.topic, Payload: m.payload, QoS: m.qos, Client: cl.ID}, settle)
	default:
		settle(taken)
	}
}

// take gives a message to the receive function, and settles it by its answer.
func (b *Broker) take(m Message, settle func(packets.Code)) {
	b.received.Add(1)
	b.receive(b.receiving, m, func(err error) {
		switch {
		case err != nil && fettle.KindOf(err) != fettle.Invalid:
			b.refused.Add(1)
			b.log.Warn("mqtt message not acknowledged", "topic", m.Topic, "client", m.Client, "qos", m.QoS, "err", err)
			settle(packets.ErrQuotaExceeded)
			return
		case m.QoS > 0:
			b.acknowledged.Add(1)
		}
		settle(taken)
	})
}

// answer tells a client what became of its messages, and passes on those that
// were taken: afterwards, because a subscriber may have to be waited for; but a
// message to be retained before, so that whoever knows it acknowledged finds it.
func (h *hook) answer(cl *mqtt.Client, messages []*message) {
	answers := make([]byte, 0, 4*len(messages))
	passedOn := 0
	for i, m := range messages {
		if m.outcome != taken {
			h.write(cl, answers)
			answers = answers[:0]
			refuse(cl, m, m.outcome)
			continue
		}
		if m.retain {
			h.write(cl, answers)
			answers = answers[:0]
			h.b.passOn(messages[passedOn:i+1], true)
			passedOn = i + 1
		}
		answers = appendAnswer(answers, m)
	}
	h.write(cl, answers)
	h.b.passOn(messages[passedOn:], true)
	for range messages {
		h.b.work.end()
	}
}

// appendAnswer appends PUBACK or PUBREC without a reason, which means success
// and is the same in both versions:
//
//	type 40 or 50, length 2, packet id
func appendAnswer(answers []byte, m *message) []byte {
	switch m.qos {
	case 1:
		answers = append(answers, packets.Puback<<4, 2)
	case 2:
		answers = append(answers, packets.Pubrec<<4, 2)
	default:
		return answers
	}
	return binary.BigEndian.AppendUint16(answers, m.id)
}

// write sends answers at once, past mochi, and keeps its counts.
func (h *hook) write(cl *mqtt.Client, answers []byte) {
	if len(answers) == 0 {
		return
	}
	if _, err := cl.Net.Conn.Write(answers); err != nil {
		return // the client is gone, and will send again
	}
	atomic.AddInt64(&h.b.server.Info.BytesSent, int64(len(answers)))
	atomic.AddInt64(&h.b.server.Info.PacketsSent, int64(len(answers)/4))
}

// refuse tells a client that its message was not taken, as far as its protocol
// can.
func refuse(cl *mqtt.Client, m *message, code packets.Code) {
	switch {
	case m.qos == 0:
	case code == packets.ErrServerShuttingDown:
		// No answer can say so (MQTT 5, 3.4.2.1): the end of the connection does,
		// and the client sends again.
	case cl.Properties.ProtocolVersion == 5:
		answer := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Puback},
			PacketID:    m.id,
			ReasonCode:  code.Code,
			Properties:  packets.Properties{ReasonString: code.Reason},
		}
		if m.qos == 2 {
			answer.FixedHeader.Type = packets.Pubrec
		}
		_ = cl.WritePacket(answer) // fails only if the client is gone
	default:
		// Only the connection, not the client: so mochi takes it for lost, and
		// publishes the will.
		_ = cl.Net.Conn.Close()
	}
}

// passOn gives messages to their subscribers, and retains those that ask for it.
// If hold, it waits for subscribers that are behind.
func (b *Broker) passOn(messages []*message, hold bool) {
	for _, m := range messages {
		if m.outcome != taken || m.again {
			continue
		}
		if m.retain {
			b.retain(m.letter)
		}
		b.deliver(m.letter, hold && m.qos > 0)
	}
}
