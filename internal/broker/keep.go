package broker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle/internal/db"
)

const (
	// keepEvery is the time between two writes of what changed.
	keepEvery = time.Second
	// keepBatch bounds one commit, in bytes of payload.
	keepBatch = 1 << 20
)

// A keeper writes to the store what outlives the program: retained messages, the
// sessions of clients that asked for it, and the messages that wait for those
// which are away. It writes lazily, a second after a change and when the broker
// stops: nothing here may slow down a message.
//
// What a client that is connected has not acknowledged is written when it goes,
// and when the broker stops; a program that is killed loses that.
//
//	q/r/<topic>                     a retained message
//	q/s/<client>                    a session
//	q/m/<client><number, 8 bytes>   a message that waits
type keeper struct {
	db       *db.DB // nil: keep nothing
	server   *mqtt.Server
	outboxes *outboxes
	log      *slog.Logger

	mu       sync.Mutex                     // guards all below
	retained map[string]struct{}            // topics that changed
	sessions map[string]struct{}            // clients whose session changed
	messages map[string]map[uint64]struct{} // messages that changed, by client and number
}

func newKeeper(d *db.DB, server *mqtt.Server, o *outboxes, log *slog.Logger) *keeper {
	return &keeper{db: d, server: server, outboxes: o, log: log,
		retained: map[string]struct{}{}, sessions: map[string]struct{}{}, messages: map[string]map[uint64]struct{}{}}
}

// kept tells whether a client's session outlives its connection.
func kept(cl *mqtt.Client) bool {
	if cl.Net.Inline {
		return false
	}
	if cl.Properties.ProtocolVersion == 5 {
		return cl.Properties.Props.SessionExpiryInterval > 0
	}
	return !cl.Properties.Clean
}

func (k *keeper) retainedChanged(topic string) {
	if k.db == nil || ours(topic) {
		return // fettle's own are told anew after each start
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retained[topic] = struct{}{}
}

func (k *keeper) sessionChanged(client string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sessions[client] = struct{}{}
}

// noted is told that a message in an outbox changed, or is gone.
func (k *keeper) noted(client string, number uint64) {
	if k.db == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	numbers := k.messages[client]
	if numbers == nil {
		numbers = map[uint64]struct{}{}
		k.messages[client] = numbers
	}
	numbers[number] = struct{}{}
}

// run writes what changed, until the context ends.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.outboxes.forgetExpired()
		if err := k.write(db.Lazy); err != nil {
			k.log.Warn("mqtt sessions and retained messages are not kept", "err", err)
		}
	}
}

// write brings the store up to what mochi holds now.
func (k *keeper) write(last db.Durability) error {
	k.mu.Lock()
	retained, sessions, messages := k.retained, k.sessions, k.messages
	k.retained, k.sessions, k.messages = map[string]struct{}{}, map[string]struct{}{}, map[string]map[uint64]struct{}{}
	k.mu.Unlock()
	if k.db == nil || len(retained)+len(sessions)+len(messages) == 0 {
		return nil
	}
	err := k.writeThese(retained, sessions, messages, last)
	if err != nil { // the next round tries again
		for client, numbers := range messages {
			for number := range numbers {
				k.noted(client, number)
			}
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		maps.Copy(k.retained, retained)
		maps.Copy(k.sessions, sessions)
	}
	return err
}

func (k *keeper) writeThese(retained, sessions map[string]struct{}, messages map[string]map[uint64]struct{}, last db.Durability) error {
	w := &keepWriter{keeper: k, batch: k.db.NewBatch()}
	for topic := range retained {
		pk, found := k.server.Topics.Retained.Get(topic)
		w.put(retainedKey(topic), found, newMessageRecord(pk), len(pk.Payload))
	}
	for client := range sessions {
		cl, found := k.server.Clients.Get(client)
		found = found && kept(cl)
		var s sessionRecord
		if found {
			s = newSessionRecord(cl)
		}
		w.put(sessionKey(client), found, s, 0)
	}
	for client, numbers := range messages {
		var waiting map[uint64]delivery
		cl, found := k.server.Clients.Get(client)
		if o := k.outboxes.get(client); o != nil && found && kept(cl) {
			waiting = o.snapshot()
		}
		for number := range numbers {
			if d, found := waiting[number]; found {
				w.put(messageKey(client, number), true, newDeliveryRecord(d), len(d.payload))
			} else {
				w.put(messageKey(client, number), false, nil, 0)
			}
		}
	}
	return w.commit(last)
}

// A keepWriter writes in batches that are not too large.
type keepWriter struct {
	*keeper
	batch *db.Batch
	bytes int
	err   error
}

func (w *keepWriter) put(key []byte, found bool, record any, bytes int) {
	if !found {
		w.batch.Delete(key)
		return
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic("BUG: " + err.Error()) // texts, numbers and bytes only
	}
	w.batch.Set(key, text)
	if w.bytes += bytes; w.bytes >= keepBatch && w.err == nil {
		w.err = w.db.Commit(w.batch, db.Lazy)
		w.batch, w.bytes = w.db.NewBatch(), 0
	}
}

func (w *keepWriter) commit(d db.Durability) error {
	if w.err != nil {
		return w.err
	}
	return w.db.Commit(w.batch, d)
}

// restore gives mochi what the store holds. What is not wanted any more is left
// out and deleted; so is what cannot be read, such as what an older fettle kept
// in another shape, but that is said.
func (b *Broker) restore() error {
	k := b.keeper
	if k.db == nil {
		return nil
	}
	stale, unreadable := k.db.NewBatch(), map[string]int{}
	each := func(prefix string, record func() any, use func(key []byte, record any) (keep bool)) error {
		err := k.db.Ascend([]byte(prefix), db.After([]byte(prefix)), func(key, value []byte) error {
			into := record()
			read := json.Unmarshal(value, into) == nil
			if prefix == messagePrefix {
				read = read && isMessageKey(key)
			}
			if !read {
				unreadable[prefix]++
			}
			if !read || !use(key[len(prefix):], into) {
				stale.Delete(append([]byte(nil), key...))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read mqtt sessions and retained messages: %w", err)
		}
		return nil
	}
	err := each(sessionPrefix, func() any { return &sessionRecord{} }, func(key []byte, record any) bool {
		return b.restoreSession(string(key), *record.(*sessionRecord))
	})
	if err != nil {
		return err
	}
	err = each(messagePrefix, func() any { return &messageRecord{} }, func(key []byte, record any) bool {
		client, number, _ := db.CutString(key)
		return b.restoreMessage(client, binary.BigEndian.Uint64(number), *record.(*messageRecord))
	})
	if err != nil {
		return err
	}
	err = each(retainedPrefix, func() any { return &messageRecord{} }, func(key []byte, record any) bool {
		pk := record.(*messageRecord).packet()
		if pk.TopicName != string(key) || len(pk.Payload) == 0 || !b.retained.fits(pk.TopicName, retainedSize(&pk)) {
			return false
		}
		b.retained.set(pk.TopicName, retainedSize(&pk))
		pk.FixedHeader.Retain = true
		b.server.Topics.RetainMessage(pk)
		return true
	})
	if err != nil {
		return err
	}
	atomic.StoreInt64(&b.server.Info.Retained, int64(b.server.Topics.Retained.Len()))
	if len(unreadable) > 0 {
		b.log.Warn("mqtt: what another version kept cannot be read, and is left out; its clients subscribe, and its senders publish, again",
			"sessions", unreadable[sessionPrefix], "waiting_messages", unreadable[messagePrefix], "retained_messages", unreadable[retainedPrefix])
	}
	return k.db.Commit(stale, db.Lazy)
}

func (b *Broker) restoreSession(client string, s sessionRecord) bool {
	if time.Since(time.Unix(s.Seen, 0)) > s.life() || b.server.Clients.Len() >= b.cfg.Limits.Sessions {
		return false
	}
	cl := b.server.NewClient(nil, "", client, false)
	cl.Properties.Username, cl.Properties.ProtocolVersion = []byte(s.User), s.Version
	cl.Properties.Props.SessionExpiryInterval, cl.Properties.Props.SessionExpiryIntervalFlag = s.Expiry, s.Version == 5
	cl.Stop(packets.ErrServerShuttingDown)
	for filter, sub := range s.Subscriptions {
		if b.server.Topics.Subscribe(client, sub) {
			atomic.AddInt64(&b.server.Info.Subscriptions, 1)
		}
		cl.State.Subscriptions.Add(filter, sub)
	}
	b.server.Clients.Add(cl)
	o := b.outboxes.open(client, true)
	o.terms = terms{version: s.Version, kept: true, grant: b.grantOfUser(s.User)}
	return true
}

func (b *Broker) restoreMessage(client string, number uint64, m messageRecord) bool {
	o := b.outboxes.get(client)
	return o != nil && m.QoS > 0 && o.restore(m.delivery(number))
}
