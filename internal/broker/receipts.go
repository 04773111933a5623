package broker

import (
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxUnreleased bounds the receipts of one session. A client of MQTT 5 is told to
// have fewer on their way; one of 3.1.1 has some tens.
const maxUnreleased = 1024

// receipts are the messages of QoS 2 that clients sent and have not released
// yet (PUBREL), by session. They are in memory.
//
// mochi keeps them in one map with those that it sends to the same client,
// under ids that each side chooses for itself: one would erase the other.
type receipts struct {
	mu       sync.Mutex // guards all below
	sessions map[string]map[uint16]*receipt
}

// A receipt is about one message.
type receipt struct {
	settled bool                 // what became of it is known
	taken   bool                 // and so acknowledged whenever it is sent again
	also    []func(packets.Code) // are told of the outcome too
}

// full tells whether a session has too many to take one more.
func (r *receipts) full(client string, id uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	session := r.sessions[client]
	return len(session) >= maxUnreleased && session[id] == nil
}

// open notes a message by its session and id. For one that is new, settle is
// given back in a shape that also tells those who sent it again meanwhile. For
// one sent again, settle is called now or when the first one is known, and nil
// is returned: it must not be received twice.
func (r *receipts) open(client string, id uint16, settle func(outcome packets.Code, again bool)) (first func(packets.Code)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session := r.sessions[client]
	if known := session[id]; known != nil {
		if known.taken {
			settle(taken, true)
		} else {
			known.also = append(known.also, func(outcome packets.Code) { settle(outcome, true) })
		}
		return nil
	}
	if session == nil {
		if r.sessions == nil {
			r.sessions = map[string]map[uint16]*receipt{}
		}
		session = map[uint16]*receipt{}
		r.sessions[client] = session
	}
	added := &receipt{}
	session[id] = added
	return func(outcome packets.Code) {
		r.mu.Lock()
		if added.settled {
			r.mu.Unlock()
			return // the first word counts
		}
		added.settled, added.taken = true, outcome == taken
		if !added.taken {
			delete(session, id)
		}
		also := added.also
		added.also = nil
		r.mu.Unlock()
		settle(outcome, false)
		for _, tell := range also {
			tell(outcome)
		}
	}
}

// release ends a message, and tells whether it was there.
func (r *receipts) release(client string, id uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	session := r.sessions[client]
	if known := session[id]; known == nil || !known.taken {
		return false
	}
	delete(session, id)
	return true
}

// forget ends a session.
func (r *receipts) forget(client string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, client)
}
