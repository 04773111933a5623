package broker

import (
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// deliver puts a message into the outboxes of its subscribers. If hold, it waits
// for those that are behind: for all of them at once.
func (b *Broker) deliver(l *letter, hold bool) {
	subscribers := b.server.Topics.Subscribers(l.topic)
	if len(subscribers.Shared) > 0 {
		subscribers.SelectShared()
		subscribers.MergeSharedSelected()
	}
	if len(subscribers.Subscriptions) == 0 {
		return
	}
	var behind []<-chan struct{}
	for client, sub := range subscribers.Subscriptions {
		o := b.outboxes.get(client)
		if o == nil || sub.NoLocal && l.origin == client {
			continue
		}
		if held := b.outboxes.add(o, l, sub); held != nil && hold {
			behind = append(behind, held)
		}
	}
	for _, held := range behind {
		<-held
	}
}

// retain keeps a message for future subscribers, or takes back the one before.
func (b *Broker) retain(l *letter) {
	pk := l.packet()
	b.server.Topics.RetainMessage(pk)
	atomic.StoreInt64(&b.server.Info.Retained, int64(b.server.Topics.Retained.Len()))
	b.retained.set(pk.TopicName, retainedSize(&pk))
	b.keeper.retainedChanged(pk.TopicName)
}

// An asked is a subscription that a client asks for.
type asked struct {
	sub     packets.Subscription
	existed bool
	tooMany bool // and so it is refused
	granted bool
}

// sendRetained has what is retained sent to a new subscriber, as it wished.
func (b *Broker) sendRetained(cl *mqtt.Client) {
	o := b.outboxes.get(cl.ID)
	if o == nil {
		return
	}
	for _, a := range connOf(cl).asked {
		if a.granted && (a.sub.RetainHandling == 0 || a.sub.RetainHandling == 1 && !a.existed) {
			o.addRetained(a.sub)
		}
	}
}

// What follows is what outboxes ask and tell.

func (b *Broker) noted(client string, number uint64) { b.keeper.noted(client, number) }

func (b *Broker) retainedUnder(filter string) []string {
	found := b.server.Topics.Messages(filter)
	topics := make([]string, len(found))
	for i, pk := range found {
		topics[i] = pk.TopicName
	}
	return topics
}

func (b *Broker) retainedOn(topic string) (*letter, bool) {
	pk, found := b.server.Topics.Retained.Get(topic)
	return newLetter(&pk), found
}

func (b *Broker) fellBehind(o *outbox, setting string, limit int) {
	message := "mqtt subscriber is too slow: messages for which there is no room are lost to it"
	if o.conn == nil {
		message = "mqtt client is away: messages for which there is no room are lost to it"
	}
	b.log.Warn(message, "client", fettle.Shorten(o.client), "queued_bytes", o.bytes, "limit", limit, "setting", setting)
}

func (b *Broker) caughtUp(o *outbox, lost int) {
	b.log.Info("mqtt subscriber has caught up", "client", fettle.Shorten(o.client), "lost", lost)
}
