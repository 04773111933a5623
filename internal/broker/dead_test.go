package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A subscriber that never reads holds a bounded amount of what is published,
// whatever its QoS, and the publisher is answered.
func TestDeadSubscriberIsBoundedInBytes(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		b := start(t, Config{Limits: Limits{Queue: 4 << 20, QueueTotal: 8 << 20}}, nil)
		dial(t, b, 4, "dead").subscribe("#", qos)
		p := dial(t, b, 4, "p")
		payload := strings.Repeat("x", 1<<20-100)
		for i := range 50 {
			p.publish("a", payload, 1, uint16(i+1))
			p.want(packets.Puback)
			if used := b.outboxes.room.used.Load(); used > 4<<20 {
				t.Fatalf("QoS %d: %d bytes wait", qos, used)
			}
		}
		if got := b.Stats().Dropped; got < 40 {
			t.Errorf("QoS %d: %d are counted as dropped", qos, got)
		}
	}
}

// TestDeadSubscribersStopNobody has 200 subscribers that are connected and read
// nothing; a client that publishes in a window is answered, and one that reads
// gets everything.
func TestDeadSubscribersStopNobody(t *testing.T) {
	var in inbox
	b := start(t, Config{Wants: sensors, Limits: Limits{Queue: 1 << 20, QueueTotal: 4 << 20}}, in.receive)
	for i := range 200 {
		dial(t, b, 4, fmt.Sprint("dead", i)).subscribe("#", 1)
	}
	alive := dial(t, b, 4, "alive")
	alive.subscribe("#", 1)
	p := dial(t, b, 4, "p")
	const n, window = 3000, 20
	payload := strings.Repeat("x", 250)
	for i := 0; i < n; i += window {
		for k := range window {
			p.publish("sensor/data", payload, 1, uint16(i+k+1))
		}
		for range window {
			p.want(packets.Puback)
			alive.acknowledge(alive.wantMessage("sensor/data", payload))
		}
	}
	if got := len(in.all()); got != n {
		t.Errorf("%d were received", got)
	}
	if b.Stats().Dropped == 0 {
		t.Error("nothing was dropped, so nobody was dead")
	}
	if used := b.outboxes.room.used.Load(); used > 4<<20 {
		t.Errorf("%d bytes wait", used)
	}
}

// A session with more than a connection's buffer takes is delivered when its
// client is back, as fast as that reads.
func TestLargeSessionIsDelivered(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		r := newRestartable(t, Config{Limits: Limits{Queue: 64 << 20}})
		away := dial(t, r.Broker, version, "away", longSession)
		away.subscribe("big", 1)
		away.net.Close()
		eventually(t, "it is gone", func() bool { return r.Stats().Clients == 0 })
		const n = 20
		for i := range n {
			if err := r.Publish("big", append(bytes.Repeat([]byte("x"), 1<<20-1), byte(i)), false); err != nil {
				t.Fatal(err)
			}
		}
		r.restart()
		back := dial(t, r.Broker, version, "away", longSession, receiveMaximum(3))
		for i := range n {
			pk := back.want(packets.Publish)
			if len(pk.Payload) != 1<<20 || int(pk.Payload[1<<20-1]) != i {
				t.Fatalf("%d bytes come in place of message %d", len(pk.Payload), i)
			}
			back.acknowledge(pk)
		}
		back.ping()
		if got := r.Stats().Dropped; got != 0 {
			t.Errorf("%d were dropped", got)
		}
	})
}
