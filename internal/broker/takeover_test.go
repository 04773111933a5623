package broker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestTakeOver(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{}, nil)
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("will", 1)
		c := dial(t, b, version, "c", longSession, withWill("will", "gone"))
		c.subscribe("a", 1)
		for i := range 50 {
			next, answer := knock(t, b, version, "c", longSession, withWill("will", "gone"))
			if !answer.SessionPresent {
				t.Fatal("the session is gone")
			}
			if reason := c.wantClosed(); version == 5 && reason != packets.ErrSessionTakenOver.Code {
				t.Errorf("told %#x", reason)
			}
			watcher.acknowledge(watcher.wantMessage("will", "gone"))
			c = next
			if err := b.Publish("a", fmt.Append(nil, i), false); err != nil {
				t.Fatal(err)
			}
			pk := c.wantMessage("a", fmt.Sprint(i))
			if i%2 == 0 {
				c.acknowledge(pk)
				c.ping()
				continue
			}
			c, _ = knock(t, b, version, "c", longSession, withWill("will", "gone"))
			if pk = c.wantMessage("a", fmt.Sprint(i)); !pk.FixedHeader.Dup {
				t.Error("it does not say that it is sent again")
			}
			c.acknowledge(pk)
			c.ping()
			watcher.acknowledge(watcher.wantMessage("will", "gone"))
		}
		fresh, answer := knock(t, b, version, "c") // a clean start
		if answer.SessionPresent {
			t.Error("a clean start has a session")
		}
		_ = b.Publish("a", []byte("nobody's"), false)
		fresh.ping()
	})
}

// The will of a client which loses its session is published at whatever moment
// that comes: here, while it keeps the broker busy.
func TestWillOfABusyClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{}, nil)
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("will", 0)
		busy := dial(t, b, version, "c", longSession, withWill("will", "gone"))
		var all sync.WaitGroup
		defer all.Wait()
		for range 50 {
			all.Go(func() {
				for busy.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}) == nil {
				}
			})
			if pk, err := busy.tryRead(); err != nil || pk.FixedHeader.Type != packets.Pingresp {
				t.Fatalf("read %+v, %v", pk, err)
			}
			next := dial(t, b, version, "c", longSession, withWill("will", "gone"))
			watcher.wantMessage("will", "gone")
			busy.net.Close()
			all.Wait()
			busy = next
		}
		busy.net.Close()
	})
}

// A session that ends with its connection is not there for who takes that over.
func TestTakeOverOfAShortSession(t *testing.T) {
	b := start(t, Config{}, nil)
	dial(t, b, 5, "c", keptSession).subscribe("a", 1) // without an expiry
	if _, answer := knock(t, b, 5, "c", keptSession); answer.SessionPresent {
		t.Error("it is there")
	}
	if got := b.Stats().Subscriptions; got != 0 {
		t.Errorf("%d subscriptions are left", got)
	}
}

// TestEverybodyIsTheSame has many clients come at once under one id; the last one
// has the session, and nothing is left of the others.
func TestEverybodyIsTheSame(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{}, nil)
		dial(t, b, version, "c", longSession).subscribe("a", 1)
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				c := &client{t: t, version: version}
				if err := c.tryConnect(b, "c", longSession); err != nil {
					t.Error(err)
					return
				}
				_, _ = c.tryRead()
				if i%2 == 0 {
					c.net.Close()
				} else {
					t.Cleanup(func() { c.net.Close() })
				}
			})
		}
		all.Wait()
		last, answer := knock(t, b, version, "c", longSession)
		if !answer.SessionPresent {
			t.Fatal("the session is gone")
		}
		if err := b.Publish("a", []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		last.acknowledge(last.wantMessage("a", "x"))
		eventually(t, "the others are gone", func() bool { return b.Stats().Clients == 1 })
		if got := b.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions", got)
		}
	})
}

// What was begun at QoS 2 goes on where it was, over a restart and a kill.
func TestQoS2GoesOn(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		for _, killed := range []bool{false, true} {
			r := newRestartable(t, Config{})
			stop := r.stop
			defer func() { stop() }()
			c := dial(t, r.Broker, version, "c", longSession)
			c.subscribe("a", 2)
			p := dial(t, r.Broker, version, "p")
			for i := range 3 {
				p.publish("a", fmt.Sprint(i), 2, uint16(i+1))
				p.want(packets.Pubrec)
			}
			first, second := c.wantMessage("a", "0"), c.wantMessage("a", "1")
			c.wantMessage("a", "2")
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: first.PacketID})
			c.want(packets.Pubrel)
			c.net.Close()
			eventually(t, "it is gone", func() bool { return r.Stats().Clients == 1 })
			if killed {
				r.kill()
			} else {
				r.restart()
			}
			c = dial(t, r.Broker, version, "c", longSession)
			if pk := c.want(packets.Pubrel); pk.PacketID != first.PacketID {
				t.Errorf("killed %v: PUBREL for %d, want %d", killed, pk.PacketID, first.PacketID)
			}
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: first.PacketID})
			if pk := c.wantMessage("a", "1"); pk.PacketID != second.PacketID || !pk.FixedHeader.Dup {
				t.Errorf("killed %v: came again as %d, want %d", killed, pk.PacketID, second.PacketID)
			}
			c.wantMessage("a", "2")
			c.ping()
		}
	})
}

// A will is worth what another message of its client would be when it is
// published.
func TestWillOfFewerRights(t *testing.T) {
	a := openAccounts(t)
	password, err := a.Add(Account{Name: "press", Publish: []string{"sensor/#"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	var in inbox
	b := start(t, Config{Accounts: a, Wants: sensors}, in.receive)
	c := dial(t, b, 5, "c", asUser("press", password), withWill("sensor/will", "gone"))
	if err := a.SetRights("press", []string{"other"}, []string{"#"}); err != nil {
		t.Fatal(err)
	}
	c.net.Close()
	eventually(t, "it is counted", func() bool { return b.Stats().Forbidden == 1 })
	if got := in.all(); len(got) != 0 {
		t.Errorf("received %v", got)
	}
}

// What waits for a client which is away and may not have it any more is not sent.
func TestQueueOfFewerRights(t *testing.T) {
	a := openAccounts(t)
	password, err := a.Add(Account{Name: "press"}, "")
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, Config{Accounts: a}, nil)
	as := asUser("press", password)
	c := dial(t, b, 4, "c", as, keptSession)
	c.subscribe("#", 1)
	c.net.Close()
	eventually(t, "it is gone", func() bool { return b.Stats().Clients == 0 })
	_ = b.Publish("secret", []byte("x"), false)
	_ = b.Publish("open", []byte("x"), false)
	if err := a.SetRights("press", nil, []string{"open"}); err != nil {
		t.Fatal(err)
	}
	c = dial(t, b, 4, "c", as, keptSession)
	c.acknowledge(c.wantMessage("open", "x"))
	c.ping()
}
