package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestRetained(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		var in inbox
		b := start(t, Config{Wants: sensors}, in.receive)
		c := dial(t, b, version, "c")
		c.retain("sensor/data", "first")
		c.retain("sensor/data", "second")
		c.retain("lab/state", "on")
		c.retain("lab/state", "")
		late := dial(t, b, version, "late")
		late.subscribe("#", 0)
		if pk := late.wantMessage("sensor/data", "second"); !pk.FixedHeader.Retain {
			t.Error("the retained message does not say so")
		}
		late.ping() // lab/state was taken back
		if got := in.all(); len(got) != 2 {
			t.Errorf("received %v, want both", got)
		}
	})
}

func TestRetainedMemoryIsBounded(t *testing.T) {
	var r retained
	r.set("a", maxRetained-10)
	for _, c := range []struct {
		topic string
		size  int
		fits  bool
	}{{"b", 10, true}, {"b", 11, false}, {"b", 0, true}, {"a", maxRetained, true}, {"a", maxRetained + 1, false}} {
		if got := r.fits(c.topic, c.size); got != c.fits {
			t.Errorf("%d bytes on %s: fits is %v", c.size, c.topic, got)
		}
	}
	r.set("a", 0)
	if !r.fits("b", 1000) {
		t.Error("what is gone still counts")
	}
}

// What is around a retained message counts, or many small ones would take all
// memory.
func TestRetainedSize(t *testing.T) {
	pk := packets.Packet{TopicName: "abc", Payload: []byte("x")}
	small := retainedSize(&pk)
	pk.Properties.User = []packets.UserProperty{{Key: "k", Val: strings.Repeat("v", 1000)}}
	if large := retainedSize(&pk); small < aroundRetained || large < small+1000 {
		t.Errorf("%d, and with a property %d", small, large)
	}
	if pk.Payload = nil; retainedSize(&pk) != 0 {
		t.Error("what takes back takes room")
	}
}

// A will that is delayed longer than its session lives comes with the end of that.
func TestDelayedWill(t *testing.T) {
	b := start(t, Config{}, nil)
	watcher := dial(t, b, 5, "watcher")
	watcher.subscribe("will", 1)
	for _, expiry := range []uint32{0, 1} {
		c := dial(t, b, 5, "c", withWill("will", "gone"), func(pk *packets.Packet) {
			pk.Connect.WillProperties.WillDelayInterval = 3600
			pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = expiry, expiry > 0
		})
		c.net.Close()
		watcher.acknowledge(watcher.wantMessage("will", "gone"))
	}
}

// mochi keeps a node for each level of a topic.
func TestTopicsAreBounded(t *testing.T) {
	b := start(t, Config{}, nil)
	for _, topic := range []string{strings.Repeat("x", maxTopic+1), strings.Repeat("/", maxLevels)} {
		c := dial(t, b, 5, "c")
		c.publish(topic, "x", 1, 1)
		if pk := c.want(packets.Puback); pk.ReasonCode != packets.ErrTopicNameInvalid.Code {
			t.Errorf("answered %#x", pk.ReasonCode)
		}
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1, Filters: packets.Subscriptions{{Filter: topic}, {Filter: "a"}}})
		if pk := c.want(packets.Suback); pk.ReasonCodes[0] != packets.ErrTopicFilterInvalid.Code || pk.ReasonCodes[1] != 0 {
			t.Errorf("answered %#x", pk.ReasonCodes)
		}
		if _, answer := knock(t, b, 5, "will", withWill(topic, "x")); answer.ReasonCode == 0 {
			t.Error("a will on it is taken")
		}
		old := dial(t, b, 4, "old")
		old.publish(topic, "x", 1, 1)
		old.wantClosed()
	}
}

// A new subscriber gets all retained messages at once, more than mochi's queue
// for it holds.
func TestManyRetained(t *testing.T) {
	b := start(t, Config{}, nil)
	const n = 6000
	for i := range n {
		if err := b.Publish(fmt.Sprintf("many/%d", i), []byte("x"), true); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, b, 4, "c")
	c.subscribe("many/#", 0)
	for range n {
		c.want(packets.Publish)
	}
	if got := b.Stats().Dropped; got != 0 {
		t.Errorf("%d were dropped", got)
	}
}

func TestWill(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		var in inbox
		b := start(t, Config{Wants: sensors}, in.receive)
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("#", 0)
		polite := dial(t, b, version, "polite", withWill("sensor/polite", "gone"))
		polite.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
		polite.wantClosed()
		dial(t, b, version, "lost", withWill("sensor/lost", "gone")).net.Close()
		watcher.wantMessage("sensor/lost", "gone")
		eventually(t, "the will on a wanted topic is received", func() bool { return len(in.all()) == 1 })
	})
}

func TestSessionIsKept(t *testing.T) {
	b := start(t, Config{}, nil)
	c := dial(t, b, 4, "c", keptSession)
	c.subscribe("a/#", 1)
	c.net.Close()
	eventually(t, "the client is gone", func() bool { return b.Stats().Clients == 0 })
	for i := range 10 {
		if err := b.Publish("a/b", fmt.Append(nil, i), false); err != nil {
			t.Fatal(err)
		}
	}
	c, answer := knock(t, b, 4, "c", keptSession)
	if !answer.SessionPresent {
		t.Error("the session is not there any more")
	}
	got := map[string]bool{}
	for range 10 {
		pk := c.want(packets.Publish)
		got[string(pk.Payload)] = true
		c.acknowledge(pk)
	}
	if len(got) != 10 {
		t.Errorf("got %v, want all ten messages", got)
	}
	c.ping()
}

func TestSessionsAreBounded(t *testing.T) {
	b := start(t, Config{MaxClients: 5}, nil)
	for i := range 30 {
		c := dial(t, b, 4, fmt.Sprint("random", i), keptSession)
		c.ping()
		c.net.Close()
		eventually(t, "the client is gone", func() bool { return b.Stats().Clients == 0 })
	}
	if got := b.server.Clients.Len(); got > 2*5+1 {
		t.Errorf("%d sessions are kept, want at most twice the client limit", got)
	}
}

// TestStuckSubscriberStopsNobody has a subscriber that reads nothing; what is
// published fills its connection, its buffer and its queue.
func TestStuckSubscriberStopsNobody(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		b := start(t, Config{}, nil)
		dial(t, b, 4, "stuck").subscribe("#", qos)
		watcher := dial(t, b, 4, "watcher")
		watcher.subscribe("#", qos)
		c := dial(t, b, 4, "c")
		payload := strings.Repeat("x", 16<<10)
		const n = 3000
		for i := range n {
			c.publish("a", payload, 1, uint16(i+1))
			c.want(packets.Puback)
			pk := watcher.wantMessage("a", payload)
			if qos == 1 {
				watcher.acknowledge(pk)
			}
		}
		if b.Stats().Dropped == 0 {
			t.Errorf("QoS %d: nothing was dropped, so nobody was stuck", qos)
		}
	}
}

// TestReceiveMaximum holds the broker to the number of unacknowledged messages
// that a client of MQTT 5 bears, and to go on when it answers.
func TestReceiveMaximum(t *testing.T) {
	b := start(t, Config{}, nil)
	c := dial(t, b, 5, "c", receiveMaximum(2))
	c.subscribe("a", 1)
	for i := range 1000 {
		if err := b.Publish("a", fmt.Append(nil, i), false); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 1000; i += 2 {
		first := c.wantMessage("a", fmt.Sprint(i))
		second := c.wantMessage("a", fmt.Sprint(i+1))
		c.ping() // no third comes before
		c.acknowledge(first)
		c.acknowledge(second)
	}
	c.ping()
}

func TestTopicAlias(t *testing.T) {
	var in inbox
	b := start(t, Config{Wants: sensors}, in.receive)
	c, answer := knock(t, b, 5, "c")
	if answer.Properties.TopicAliasMaximum != topicAliases {
		t.Errorf("clients are told %d topic aliases, want %d", answer.Properties.TopicAliasMaximum, topicAliases)
	}
	alias := func(topic string, n uint16) {
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: topic, Payload: []byte("{}"), PacketID: 1,
			Properties: packets.Properties{TopicAlias: n, TopicAliasFlag: true}})
	}
	alias("sensor/data", 1)
	c.want(packets.Puback)
	alias("", 1)
	c.want(packets.Puback)
	if got := in.all(); len(got) != 2 || got[1].Topic != "sensor/data" {
		t.Errorf("received %v, want sensor/data twice", got)
	}
	alias("fettle/alarm/x", 2)
	c.want(packets.Puback)
	alias("", 2)
	if reason := c.wantClosed(); reason != packets.ErrTopicAliasInvalid.Code {
		t.Errorf("an alias of a forbidden topic is answered %#x, want 0x94", reason)
	}
}

// TestStorm has clients that come, publish, subscribe and break off all at
// once, some under each other's name; afterwards the broker serves and stops as
// ever.
func TestStorm(t *testing.T) {
	var in inbox
	b := start(t, Config{Wants: sensors}, in.receive)
	var storm sync.WaitGroup
	for i := range 30 {
		storm.Go(func() {
			for round := range 20 {
				c := &client{t: t, version: versions[i%2]}
				if err := c.tryConnect(b, fmt.Sprint("c", i/3), keptSession, receiveMaximum(3)); err != nil {
					continue // another took the name
				}
				for n := range 10 {
					err := c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1000,
						Filters: packets.Subscriptions{{Filter: "sensor/#", Qos: byte(round % 3)}}})
					if err == nil {
						err = c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: "sensor/data", PacketID: uint16(n + 1)})
					}
					if err != nil {
						break
					}
					_, _ = c.tryRead()
				}
				c.net.Close()
			}
		})
	}
	storm.Wait()
	eventually(t, "all are gone", func() bool { return b.Stats().Clients == 0 })
	calm := dial(t, b, 5, "calm")
	calm.subscribe("sensor/#", 1)
	calm.publish("sensor/data", "x", 1, 1)
	for answered, came := false, false; !answered || !came; { // what was taken of those gone may come too
		pk := calm.read()
		answered = answered || pk.FixedHeader.Type == packets.Puback
		came = came || string(pk.Payload) == "x"
	}
}
