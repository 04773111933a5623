package broker

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A letter is a message on its way to subscribers. They share it, and nobody
// changes it.
type letter struct {
	topic      string
	payload    []byte
	qos        byte
	retain     bool   // its publisher asked for that
	origin     string // the client id of its publisher
	created    int64  // seconds since 1970
	expiry     int64  // likewise; 0: never
	version    byte   // of MQTT, that its publisher speaks; 0: fettle's own
	properties *packets.Properties
}

// newLetter takes what concerns subscribers from a packet.
func newLetter(pk *packets.Packet) *letter {
	l := &letter{topic: pk.TopicName, payload: pk.Payload, qos: pk.FixedHeader.Qos, retain: pk.FixedHeader.Retain,
		origin: pk.Origin, created: pk.Created, expiry: pk.Expiry, version: pk.ProtocolVersion}
	p := &pk.Properties
	if p.PayloadFormatFlag || p.ContentType != "" || p.ResponseTopic != "" || len(p.CorrelationData) > 0 || len(p.User) > 0 {
		l.properties = &packets.Properties{PayloadFormatFlag: p.PayloadFormatFlag, PayloadFormat: p.PayloadFormat, ContentType: p.ContentType,
			ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, User: p.User}
	}
	return l
}

// packet is newLetter's inverse.
func (l *letter) packet() packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: l.qos, Retain: l.retain}, ProtocolVersion: l.version,
		TopicName: l.topic, Payload: l.payload, Origin: l.origin, Created: l.created, Expiry: l.expiry,
	}
	if l.properties != nil {
		pk.Properties = *l.properties
	}
	return pk
}

func (l *letter) expired(now time.Time) bool { return l.expiry > 0 && l.expiry <= now.Unix() }

// A delivery is a letter to one subscriber.
type delivery struct {
	*letter
	qos             byte   // of the subscription at most
	retain          bool   // as the subscriber sees it
	subscriptionIDs []int  // MQTT 5
	number          uint64 // counts the deliveries of a session
	id              uint16 // of the packet; 0: not sent yet
	open            bool   // this connection sent it
	released        bool   // at QoS 2: the client has it (PUBREC), and PUBREL is to be confirmed
	kept            bool   // the keeper knows of it
	keptID          uint16 // and of this id
}

// cost is what a delivery adds to the memory that waits, in bytes: the letter,
// as if nobody shared it, and what is around it.
func (d *delivery) cost() int {
	const around = 256
	cost := around + len(d.topic) + len(d.payload)
	if d.properties != nil {
		cost += around + propertiesSize(d.properties)
	}
	return cost
}

// propertiesSize is what the properties of a message take of their own, in bytes.
func propertiesSize(p *packets.Properties) int {
	const header = 16 // of a text in memory
	size := len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
	for _, user := range p.User {
		size += len(user.Key) + len(user.Val) + 2*header
	}
	return size
}

// appendHeader appends the PUBLISH packet without its payload, which is its end.
func (d *delivery) appendHeader(out []byte, version byte, again bool, now time.Time) []byte {
	var properties bytes.Buffer
	if version == 5 {
		d.encodeProperties(&properties, now)
	}
	first := byte(packets.Publish)<<4 | d.qos<<1
	if d.retain {
		first |= 1
	}
	length := 2 + len(d.topic) + properties.Len() + len(d.payload)
	if d.qos > 0 {
		length += 2
		if again {
			first |= 1 << 3
		}
	}
	out = append(out, first)
	out = binary.AppendUvarint(out, uint64(length)) // which is MQTT's variable byte integer
	out = binary.BigEndian.AppendUint16(out, uint16(len(d.topic)))
	out = append(out, d.topic...)
	if d.qos > 0 {
		out = binary.BigEndian.AppendUint16(out, d.id)
	}
	return append(out, properties.Bytes()...)
}

func (d *delivery) encodeProperties(to *bytes.Buffer, now time.Time) {
	if d.properties == nil && d.expiry == 0 && len(d.subscriptionIDs) == 0 {
		to.WriteByte(0)
		return
	}
	var p packets.Properties
	if d.properties != nil {
		p = *d.properties
	}
	if d.expiry > 0 {
		p.MessageExpiryInterval = uint32(min(max(d.expiry-now.Unix(), 1), math.MaxUint32))
	}
	p.SubscriptionIdentifier = d.subscriptionIDs
	p.Encode(packets.Publish, packets.Mods{AllowResponseInfo: true}, to, 0)
}

// appendRelease appends PUBREL: type 62, length 2, packet id.
func appendRelease(out []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(out, packets.Pubrel<<4|1<<1, 2), id)
}
