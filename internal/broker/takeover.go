package broker

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// takeOverTime bounds how long a connection waits for the one before it under
// the same client id to let go of the session. That may be in the middle of a
// message for which the disk is too slow.
const takeOverTime = 5 * time.Second

// turns lets the connections of one client id take their session over one after
// the other. mochi would let the end of an old connection delete what a new one
// has just taken over.
type turns struct {
	mu   sync.Mutex // guards busy
	busy map[string]chan struct{}
}

// A turn is the time in which one connection takes a session over.
type turn struct {
	turns  *turns
	client string
	over   chan struct{}
}

// take waits for the turn of a connection.
func (t *turns) take(client string) *turn {
	mine := &turn{t, client, make(chan struct{})}
	for {
		t.mu.Lock()
		before := t.busy[client]
		if before == nil {
			if t.busy == nil {
				t.busy = map[string]chan struct{}{}
			}
			t.busy[client] = mine.over
			t.mu.Unlock()
			return mine
		}
		t.mu.Unlock()
		<-before
	}
}

// end is the end of a turn; the second one does nothing, nor does that of none.
func (t *turn) end() {
	if t == nil {
		return
	}
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	if t.turns.busy[t.client] == t.over {
		delete(t.turns.busy, t.client)
		close(t.over)
	}
}

// OnSessionEstablish is called before a client takes its session over: the
// connection that has it is ended first, all of it.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	connOf(cl).turn = h.b.turns.take(cl.ID)
	before, found := h.b.server.Clients.Get(cl.ID)
	if !found || before.Net.Conn == nil {
		return
	}
	part(before, packets.ErrSessionTakenOver)
	select {
	case <-connOf(before).ended:
	case <-time.After(takeOverTime):
	}
}
