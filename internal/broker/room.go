package broker

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// defaultQueue and defaultQueueTotal are those of Limits.
	defaultQueue      = 8 << 20
	defaultQueueTotal = 64 << 20
	// holdTime is how long publishers wait for a subscriber that is behind.
	holdTime = time.Second
	// maxShrinks bounds how often others are made smaller for one message.
	maxShrinks = 4
)

// room is the memory in which messages wait for subscribers.
type room struct {
	each, total int // bounds, in bytes; those of Limits
	used        atomic.Int64
	holders     atomic.Int64  // outboxes that use some of it
	lost        atomic.Int64  // messages that found no room
	patience    time.Duration // how long publishers wait
	now         func() time.Time
}

// fair is what each subscriber may use even if that takes it from those which
// use more.
func (r *room) fair() int { return r.total / int(r.holders.Load()+1) }

// free is what nobody uses.
func (r *room) free() int { return r.total - int(r.used.Load()) }

// share is what one subscriber may use now.
func (r *room) share() int { return min(r.each, max(r.fair(), r.free())) }

// outboxes are those of all sessions.
type outboxes struct {
	room *room
	tell outboxListener

	mu       sync.RWMutex // guards byClient
	byClient map[string]*outbox
}

func newOutboxes(tell outboxListener, l Limits) *outboxes {
	r := &room{each: l.Queue, total: l.QueueTotal, patience: cmp.Or(l.patience, holdTime), now: time.Now}
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
