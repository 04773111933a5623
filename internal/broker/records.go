package broker

import (
	"encoding/binary"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle/internal/db"
)

const (
	retainedPrefix = "q/r/"
	sessionPrefix  = "q/s/"
	messagePrefix  = "q/m/"
)

func retainedKey(topic string) []byte { return append([]byte(retainedPrefix), topic...) }
func sessionKey(client string) []byte { return append([]byte(sessionPrefix), client...) }

func messageKey(client string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(db.AppendString([]byte(messagePrefix), client), number)
}

func isMessageKey(key []byte) bool {
	_, number, ok := db.CutString(key[len(messagePrefix):])
	return ok && len(number) == 8
}

// A messageRecord is a message in the store.
type messageRecord struct {
	Topic           string                 `json:"topic"`
	Payload         []byte                 `json:"payload,omitempty"`
	QoS             byte                   `json:"qos"`
	Retain          bool                   `json:"retain,omitempty"`
	Version         byte                   `json:"version"` // of MQTT, of its sender
	Origin          string                 `json:"origin"`  // its sender
	Created         int64                  `json:"created"` // seconds since 1970
	Expiry          int64                  `json:"expiry,omitempty"`
	ContentType     string                 `json:"content_type,omitempty"`
	ResponseTopic   string                 `json:"response_topic,omitempty"`
	Correlation     []byte                 `json:"correlation,omitempty"`
	Format          *byte                  `json:"format,omitempty"`
	User            []packets.UserProperty `json:"user,omitempty"`
	SubscriptionIDs []int                  `json:"subscription_ids,omitempty"`
	ID              uint16                 `json:"id,omitempty"`       // of the packet in which it was sent; 0: it was not
	Released        bool                   `json:"released,omitempty"` // at QoS 2: its client has it, and has still to confirm that
}

func newMessageRecord(pk packets.Packet) messageRecord {
	m := messageRecord{
		Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain, Version: pk.ProtocolVersion,
		Origin: pk.Origin, Created: pk.Created, Expiry: pk.Expiry, ContentType: pk.Properties.ContentType,
		ResponseTopic: pk.Properties.ResponseTopic, Correlation: pk.Properties.CorrelationData, User: pk.Properties.User,
		SubscriptionIDs: pk.Properties.SubscriptionIdentifier,
	}
	if pk.Properties.PayloadFormatFlag {
		m.Format = &pk.Properties.PayloadFormat
	}
	return m
}

func (m messageRecord) packet() packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.QoS, Retain: m.Retain}, ProtocolVersion: m.Version,
		TopicName: m.Topic, Payload: m.Payload, Origin: m.Origin, Created: m.Created, Expiry: m.Expiry,
		Properties: packets.Properties{ContentType: m.ContentType, ResponseTopic: m.ResponseTopic, CorrelationData: m.Correlation,
			User: m.User, SubscriptionIdentifier: m.SubscriptionIDs},
	}
	if m.Format != nil {
		pk.Properties.PayloadFormat, pk.Properties.PayloadFormatFlag = *m.Format, true
	}
	return pk
}

func newDeliveryRecord(d delivery) messageRecord {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Qos: d.qos, Retain: d.retain}, TopicName: d.topic, Payload: d.payload,
		Origin: d.origin, Created: d.created, Expiry: d.expiry}
	if d.properties != nil {
		pk.Properties = *d.properties
	}
	pk.Properties.SubscriptionIdentifier = d.subscriptionIDs
	m := newMessageRecord(pk)
	m.ID, m.Released = d.id, d.released
	return m
}

// delivery is what the record of a message that waits says.
func (m messageRecord) delivery(number uint64) *delivery {
	pk := m.packet()
	return &delivery{letter: newLetter(&pk), qos: min(m.QoS, 2), retain: m.Retain, subscriptionIDs: m.SubscriptionIDs,
		number: number, id: m.ID, released: m.Released && m.ID > 0}
}

// A sessionRecord is a session in the store.
type sessionRecord struct {
	User          string                          `json:"user"`
	Version       byte                            `json:"version"`
	Expiry        uint32                          `json:"expiry,omitempty"` // seconds after the client has gone; MQTT 5
	Seen          int64                           `json:"seen"`             // seconds since 1970
	Subscriptions map[string]packets.Subscription `json:"subscriptions"`
}

func newSessionRecord(cl *mqtt.Client) sessionRecord {
	return sessionRecord{
		User: string(cl.Properties.Username), Version: cl.Properties.ProtocolVersion, Expiry: cl.Properties.Props.SessionExpiryInterval,
		Seen: time.Now().Unix(), Subscriptions: cl.State.Subscriptions.GetAll(),
	}
}

// life is how long the session is kept without its client.
func (s sessionRecord) life() time.Duration {
	if s.Version == 5 {
		return min(time.Duration(s.Expiry)*time.Second, sessionLife)
	}
	return sessionLife
}
