package broker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// deliver puts a letter into the outboxes of its subscribers. If hold, it waits
// for those that are behind: for all of them at once.
func (b *Broker) deliver(l *letter, hold bool) {
	subscribers := b.server.Topics.Subscribers(l.topic)
	if len(subscribers.Shared) > 0 {
		subscribers.SelectShared()
		subscribers.MergeSharedSelected()
	}
	var behind []<-chan struct{}
	for client, sub := range subscribers.Subscriptions {
		o := b.outboxes.get(client)
		if o == nil || sub.NoLocal && l.origin == client {
			continue
		}
		held := b.outboxes.add(o, l, sub)
		if held != nil && hold {
			behind = append(behind, held)
		}
	}
	for _, held := range behind {
		<-held
	}
}

// retain keeps a message for future subscribers, or takes back the one before.
func (b *Broker) retain(pk packets.Packet) {
	b.server.Topics.RetainMessage(pk)
	atomic.StoreInt64(&b.server.Info.Retained, int64(b.server.Topics.Retained.Len()))
	b.retained.set(pk.TopicName, len(pk.Payload))
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
	return newLetter(pk), found
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

// outboxes are those of all sessions.
type outboxes struct {
	room *room
	tell outboxListener

	mu       sync.RWMutex // guards byClient
	byClient map[string]*outbox
}

func newOutboxes(tell outboxListener, each, total int) *outboxes {
	r := &room{each: each, total: total, patience: holdTime, now: time.Now}
	return &outboxes{room: r, tell: tell, byClient: map[string]*outbox{}}
}

// get returns the outbox of a client; nil if it has none.
func (s *outboxes) get(client string) *outbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byClient[client]
}

// open returns the outbox of a client, an empty one if it is to be fresh.
func (s *outboxes) open(client string, fresh bool) *outbox {
	s.mu.Lock()
	o := s.byClient[client]
	if o != nil && !fresh {
		s.mu.Unlock()
		return o
	}
	added := &outbox{client: client, room: s.room, tell: s.tell, terms: terms{grant: func() *grant { return nil }}}
	s.byClient[client] = added
	s.mu.Unlock()
	if o != nil {
		o.close()
	}
	return added
}

// forget ends a session.
func (s *outboxes) forget(client string) {
	s.mu.Lock()
	o := s.byClient[client]
	delete(s.byClient, client)
	s.mu.Unlock()
	if o != nil {
		o.close()
	}
}

// add is add of one of the outboxes; others are made smaller for it if it has a
// right to that. If publishers should wait, it returns until when.
func (s *outboxes) add(o *outbox, l *letter, sub packets.Subscription) <-chan struct{} {
	for range maxShrinks {
		held, crowded := o.add(l, sub)
		if !crowded {
			return held
		}
		s.shrinkLargest()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lose(1, "mqtt.max_queued_total", s.room.total) // others were faster, again and again
	return nil
}

// shrinkLargest takes from the outbox that uses most, down to a bit less than
// every one has a right to.
func (s *outboxes) shrinkLargest() {
	var largest *outbox
	most := 0
	for _, o := range s.all() {
		if n := o.size(); n > most {
			largest, most = o, n
		}
	}
	if largest != nil {
		largest.shrink(s.room.fair() / 4 * 3)
	}
}

func (s *outboxes) all() []*outbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.byClient))
}

// forgetExpired frees the room of messages that nobody wants any more.
func (s *outboxes) forgetExpired() {
	for _, o := range s.all() {
		o.forgetExpired()
	}
}
