package bridge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What a subscriber says and hears, as bytes. A packet of either version is
//
//	kind<<4 | flags   1 byte
//	length of body    1 to 4 bytes, 7 bits each, lowest first
//	body
//
// and the versions differ by the properties: MQTT 5 has them in most bodies,
// as their length in bytes and then identifier and value each; 3.1.1 has none.
// (OASIS MQTT 3.1.1 and 5.0, chapters 2 and 3.)

// A protocol is the version of MQTT as CONNECT has it.
type protocol byte

const (
	mqtt311 protocol = 4
	mqtt5   protocol = 5
)

// String is what people call the version.
func (p protocol) String() string {
	if p == mqtt311 {
		return "3.1.1"
	}
	return "5"
}

// Kinds of packets.
const (
	connectKind    = 1
	connackKind    = 2
	publishKind    = 3
	pubackKind     = 4
	subscribeKind  = 8
	subackKind     = 9
	unsubKind      = 10
	unsubackKind   = 11
	pingreqKind    = 12
	pingrespKind   = 13
	disconnectKind = 14
)

// Properties of MQTT 5 that a subscriber says or hears.
const (
	propExpiry     = 0x11 // seconds that the broker keeps the session
	propKeepAlive  = 0x13 // seconds, in place of those that the client asked for
	propReason     = 0x1F // in words
	propReceiveMax = 0x21
)

var errMalformed = errors.New("the broker sent what is no MQTT")

// A frame is one packet from the broker.
type frame struct {
	kind, flags byte
	body        []byte // at most maxBody
}

// maxBody is how much of a packet is kept, in bytes. It has room for the longest
// topic and for a payload that is one byte too long, so that whoever reads the
// payload sees that it is. The rest is read and thrown away.
const maxBody = maxPayload + 1 + 1<<17

// maxPayload is the largest payload that a receiver can want, in bytes.
const maxPayload = 1 << 20

// readFrame reads the next packet.
func readFrame(r *bufio.Reader) (frame, error) {
	first, err := r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	var length, shift int
	for {
		b, err := r.ReadByte()
		if err != nil {
			return frame{}, midway(err)
		}
		length |= int(b&0x7F) << shift
		if b < 0x80 {
			break
		}
		if shift += 7; shift > 21 {
			return frame{}, fmt.Errorf("%w: a packet longer than 256 MiB", errMalformed)
		}
	}
	f := frame{kind: first >> 4, flags: first & 0xF, body: make([]byte, min(length, maxBody))}
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, midway(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(length-len(f.body))); err != nil {
		return frame{}, midway(err)
	}
	return f, nil
}

// midway tells an end within a packet from one between two.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A welcome is the answer to CONNECT.
type welcome struct {
	resumed   bool // the broker has our session still
	code      byte // 0: we are in
	old       bool // the answer is one of 3.1.1, whatever was asked
	reason    string
	keepAlive int // seconds that the broker wants in place of ours; -1: it does not say
}

func (v protocol) parseConnack(body []byte) (welcome, error) {
	if len(body) < 2 {
		return welcome{}, errMalformed
	}
	// A broker of 3.1.1 refuses MQTT 5 in its own words.
	w := welcome{resumed: body[0]&1 != 0, code: body[1], old: v == mqtt311 || len(body) == 2, keepAlive: -1}
	if w.old {
		return w, nil
	}
	_, err := eachProperty(body[2:], func(id byte, number uint32, text []byte) {
		switch id {
		case propKeepAlive:
			w.keepAlive = int(number)
		case propReason:
			w.reason = string(text)
		}
	})
	return w, err
}

// A delivery is a PUBLISH from the broker.
type delivery struct {
	id                uint16 // 0 at QoS 0
	qos               byte
	again, retained   bool // sent before, perhaps to an earlier connection; kept by the broker from before we subscribed
	topic             string
	payload, identity []byte // identity is topic and payload, as they came
}

func (v protocol) parsePublish(f frame) (delivery, error) {
	d := delivery{qos: f.flags >> 1 & 3, again: f.flags&8 != 0, retained: f.flags&1 != 0, identity: f.body}
	topic, rest, ok := cutText(f.body)
	if !ok || d.qos > 1 { // we never subscribe at QoS 2
		return d, fmt.Errorf("%w: a message at QoS %d", errMalformed, d.qos)
	}
	d.topic = string(topic)
	if d.qos > 0 {
		if len(rest) < 2 {
			return d, errMalformed
		}
		d.id, rest = binary.BigEndian.Uint16(rest), rest[2:]
		if d.id == 0 {
			return d, fmt.Errorf("%w: a message with the identifier 0", errMalformed)
		}
	}
	if v == mqtt5 {
		var err error
		if rest, err = eachProperty(rest, func(byte, uint32, []byte) {}); err != nil {
			return d, err
		}
	}
	d.payload = rest
	return d, nil
}

// parseSuback returns a code for each filter, in order: the QoS granted, or
// 0x80 and above for a refusal.
func (v protocol) parseSuback(body []byte) ([]byte, error) {
	if len(body) < 2 {
		return nil, errMalformed
	}
	if v == mqtt311 {
		return body[2:], nil
	}
	return eachProperty(body[2:], func(byte, uint32, []byte) {})
}

// A farewell is the broker's DISCONNECT, which only MQTT 5 has.
type farewell struct {
	code   byte
	reason string
}

func parseDisconnect(body []byte) farewell {
	f := farewell{}
	if len(body) > 0 {
		f.code = body[0]
	}
	if len(body) > 1 { // what it adds is for people: not worth an error
		_, _ = eachProperty(body[1:], func(id byte, _ uint32, text []byte) {
			if id == propReason {
				f.reason = string(text)
			}
		})
	}
	return f
}

// eachProperty calls yield for each property at the beginning of b, with its
// number or its text, and returns what follows them.
func eachProperty(b []byte, yield func(id byte, number uint32, text []byte)) (rest []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, fmt.Errorf("%w: properties longer than their packet", errMalformed)
	}
	props, rest := b[n:n+int(length)], b[n+int(length):]
	for len(props) > 0 {
		id := props[0]
		number, text, after, ok := cutProperty(id, props[1:])
		if !ok {
			return nil, fmt.Errorf("%w: property %#x", errMalformed, id)
		}
		yield(id, number, text)
		props = after
	}
	return rest, nil
}

// cutProperty cuts off the value of a property, whose type its identifier tells
// (OASIS MQTT 5.0, 2.2.2.2).
func cutProperty(id byte, b []byte) (number uint32, text, rest []byte, ok bool) {
	fixed := func(n int) (uint32, []byte, []byte, bool) {
		if len(b) < n {
			return 0, nil, nil, false
		}
		for _, c := range b[:n] {
			number = number<<8 | uint32(c)
		}
		return number, nil, b[n:], true
	}
	switch id {
	case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A:
		return fixed(1)
	case propKeepAlive, propReceiveMax, 0x22, 0x23:
		return fixed(2)
	case 0x02, propExpiry, 0x18, 0x27:
		return fixed(4)
	case 0x0B:
		n, size := binary.Uvarint(b)
		if size <= 0 || size > 4 {
			return 0, nil, nil, false
		}
		return uint32(n), nil, b[size:], true
	case 0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, propReason:
		text, rest, ok = cutText(b)
		return 0, text, rest, ok
	case 0x26: // a name and a value
		if _, rest, ok = cutText(b); ok {
			text, rest, ok = cutText(rest)
		}
		return 0, text, rest, ok
	default:
		return 0, nil, nil, false
	}
}

// cutText cuts off a text or bytes behind their length of two bytes.
func cutText(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// A greeting is what CONNECT says.
type greeting struct {
	id, user, password string
	keepAlive          int    // seconds
	window             int    // messages that we bear unacknowledged
	expiry             uint32 // seconds that the broker shall keep the session
}

// connect asks for the session of an earlier connection, or for a new one that
// outlives this one.
func (v protocol) connect(g greeting) []byte {
	var flags byte // not "clean": that would throw the session away
	if g.user != "" {
		flags |= 0x80
	}
	if g.password != "" {
		flags |= 0x40
	}
	b := append(appendText(nil, "MQTT"), byte(v), flags)
	b = binary.BigEndian.AppendUint16(b, uint16(g.keepAlive))
	if v == mqtt5 {
		b = append(b, 8, propExpiry)
		b = binary.BigEndian.AppendUint32(b, g.expiry)
		b = append(b, propReceiveMax)
		b = binary.BigEndian.AppendUint16(b, uint16(g.window))
	}
	b = appendText(b, g.id)
	if g.user != "" {
		b = appendText(b, g.user)
	}
	if g.password != "" {
		b = appendText(b, g.password)
	}
	return packetOf(connectKind<<4, b)
}

// subscribe asks for filters at QoS 1. What the broker retains comes with a
// subscription that is new only; 3.1.1 has no such wish.
func (v protocol) subscribe(id uint16, filters []string) []byte {
	const qos1, retainedIfNew = 1, 1 << 4
	b := binary.BigEndian.AppendUint16(nil, id)
	options := byte(qos1)
	if v == mqtt5 {
		b = append(b, 0)
		options |= retainedIfNew
	}
	for _, filter := range filters {
		b = append(appendText(b, filter), options)
	}
	return packetOf(subscribeKind<<4|2, b)
}

// unsubscribe takes filters back.
func (v protocol) unsubscribe(id uint16, filters []string) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	if v == mqtt5 {
		b = append(b, 0)
	}
	for _, filter := range filters {
		b = appendText(b, filter)
	}
	return packetOf(unsubKind<<4|2, b)
}

// appendPuback acknowledges a message; it is the same in both versions.
func appendPuback(dst []byte, id uint16) []byte {
	return append(dst, pubackKind<<4, 2, byte(id>>8), byte(id))
}

func ping() []byte    { return []byte{pingreqKind << 4, 0} }
func goodbye() []byte { return []byte{disconnectKind << 4, 0} }

// packetOf puts the length before a body. MQTT's length is encoding/binary's
// Uvarint.
func packetOf(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(text))), text...)
}
