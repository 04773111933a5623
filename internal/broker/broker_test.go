package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// versions of MQTT: 3.1.1 and 5.
var versions = []byte{4, 5}

// answers is which packet acknowledges a message of which QoS.
var answers = []struct{ qos, packet byte }{{1, packets.Puback}, {2, packets.Pubrec}}

func eachVersion(t *testing.T, test func(t *testing.T, version byte)) {
	for _, version := range versions {
		t.Run(fmt.Sprintf("mqtt%d", version), func(t *testing.T) { test(t, version) })
	}
}

func TestAcknowledgedOnlyAfterReceive(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		var returned atomic.Bool
		entered, release := make(chan Message), make(chan struct{})
		b := start(t, Config{Wants: sensors}, func(_ context.Context, m Message) error {
			entered <- m
			<-release
			returned.Store(true)
			return nil
		})
		c := dial(t, b, version, "press-3")
		for _, a := range answers {
			returned.Store(false)
			c.publish("sensor/data", "{}", a.qos, 7)
			if m := <-entered; m.Topic != "sensor/data" || string(m.Payload) != "{}" || m.QoS != a.qos || m.Client != "press-3" {
				t.Errorf("received %+v", m)
			}
			go func() { release <- struct{}{} }()
			if pk := c.want(a.packet); pk.PacketID != 7 || pk.ReasonCode >= 0x80 {
				t.Errorf("QoS %d: answer is %+v", a.qos, pk)
			}
			if !returned.Load() {
				t.Errorf("QoS %d: acknowledged before receive returned", a.qos)
			}
			if a.qos == 2 {
				c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: 7})
				c.want(packets.Pubcomp)
			}
		}
		if got := b.Stats(); got.Received != 2 || got.Acknowledged != 2 || got.Refused != 0 {
			t.Errorf("stats are %+v", got)
		}
	})
}

func TestOneBlockedClientHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	b := start(t, Config{Wants: sensors}, func(_ context.Context, m Message) error {
		if m.Client == "slow" {
			<-release
		}
		return nil
	})
	slow, quick := dial(t, b, 4, "slow"), dial(t, b, 4, "quick")
	slow.publish("sensor/data", "{}", 1, 1)
	for id := uint16(1); id <= 100; id++ {
		quick.publish("sensor/data", "{}", 1, id)
		quick.want(packets.Puback)
	}
	close(release)
	slow.want(packets.Puback)
}

func TestInvalidIsAcknowledged(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{Wants: sensors}, func(context.Context, Message) error {
			return fettle.BadField("not JSON", "message", "empty", "JSON")
		})
		c := dial(t, b, version, "c")
		for _, a := range answers {
			c.publish("sensor/data", "", a.qos, uint16(a.qos))
			if pk := c.want(a.packet); pk.ReasonCode >= 0x80 {
				t.Errorf("QoS %d: answer is %+v", a.qos, pk)
			}
		}
	})
}

func TestBusyIsNotAcknowledgedMQTT5(t *testing.T) {
	var busy atomic.Bool
	b := start(t, Config{Wants: sensors}, func(context.Context, Message) error {
		if busy.Load() {
			return fettle.Errorf(fettle.Busy, "queue is full")
		}
		return nil
	})
	watcher := dial(t, b, 5, "watcher")
	watcher.subscribe("sensor/#", 1)
	c := dial(t, b, 5, "c")
	busy.Store(true)
	for _, a := range answers {
		c.publish("sensor/data", "lost", a.qos, 9)
		if pk := c.want(a.packet); pk.PacketID != 9 || pk.ReasonCode != packets.ErrQuotaExceeded.Code {
			t.Errorf("QoS %d: answer is %+v, want reason 0x97", a.qos, pk)
		}
	}
	c.publish("sensor/data", "lost", 0, 0)
	c.ping()
	busy.Store(false)
	for _, a := range answers {
		c.publish("sensor/data", "taken", a.qos, 9)
		if pk := c.want(a.packet); pk.ReasonCode >= 0x80 {
			t.Errorf("QoS %d: the same packet again is answered %+v", a.qos, pk)
		}
		watcher.acknowledge(watcher.wantMessage("sensor/data", "taken"))
	}
	if got := b.Stats(); got.Refused != 3 || got.Received != 5 {
		t.Errorf("stats are %+v", got)
	}
}

func TestBusyDisconnectsMQTT3(t *testing.T) {
	for _, a := range answers {
		b := start(t, Config{Wants: sensors}, func(context.Context, Message) error {
			return fettle.Errorf(fettle.Unavailable, "disk is full")
		})
		watcher := dial(t, b, 4, "watcher")
		watcher.subscribe("#", 0)
		c := dial(t, b, 4, "c", withWill("state/c", "lost"))
		c.publish("sensor/data", "{}", a.qos, 1)
		if pk, err := c.tryRead(); err == nil {
			t.Errorf("QoS %d: got %+v, want a closed connection without any answer", a.qos, pk)
		}
		watcher.wantMessage("state/c", "lost")
	}
}

func TestOnlyWantedTopicsAreReceived(t *testing.T) {
	var in inbox
	b := start(t, Config{Wants: sensors}, in.receive)
	c := dial(t, b, 4, "c")
	c.subscribe("#", 1)
	c.publish("other/topic", "x", 1, 1)
	c.want(packets.Puback)
	c.wantMessage("other/topic", "x")
	c.publish("sensor/data", "y", 1, 2)
	c.want(packets.Puback)
	c.wantMessage("sensor/data", "y")
	if got := in.all(); len(got) != 1 || string(got[0].Payload) != "y" {
		t.Errorf("received %v, want only what came on sensor/data", got)
	}
}

func TestOwnTopicsAreForbidden(t *testing.T) {
	forbidden := []string{"fettle/alarm/press-3", "fettle/alarm", "fettle/event/x", "$SYS/broker/uptime", "$other"}
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{}, nil)
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("fettle/#", 0)
		for _, topic := range forbidden {
			c := dial(t, b, version, "c")
			c.publish(topic, "x", 0, 0)
			c.ping() // still there
			for _, a := range answers {
				c := dial(t, b, version, "c")
				c.publish(topic, "x", a.qos, 3)
				if version == 5 {
					if pk := c.want(a.packet); pk.PacketID != 3 || pk.ReasonCode != packets.ErrNotAuthorized.Code {
						t.Errorf("%s QoS %d: answer is %+v, want reason 0x87", topic, a.qos, pk)
					}
					c.ping()
				} else {
					c.wantClosed()
				}
			}
			c, pk := knock(t, b, version, "unwelcome", withWill(topic, "x"))
			if c.wantClosed(); pk.ReasonCode == 0 {
				t.Errorf("a will on %s is answered %+v", topic, pk)
			}
		}
		watcher.ping() // and none of it came
		if got, want := b.Stats().Forbidden, int64(3*len(forbidden)); got != want {
			t.Errorf("%d messages are counted as forbidden, want %d", got, want)
		}
		for _, topic := range []string{"fettle/alarms", "fettle/press-3/readings"} {
			c := dial(t, b, version, "c")
			c.publish(topic, "x", 1, 1)
			c.want(packets.Puback)
			watcher.wantMessage(topic, "x")
		}
	})
}

func TestUsers(t *testing.T) {
	var logged bytes.Buffer
	b, stop := startWith(t, Config{Listen: "0.0.0.0:0", Users: []User{{"press", "s3cret"}, {"hall", "an0ther"}}}, nil,
		slog.New(slog.NewTextHandler(&logged, nil)))
	for _, c := range []struct {
		note   string
		option connectOption
		in     bool
	}{
		{"right", asUser("press", "s3cret"), true},
		{"another's, right", asUser("hall", "an0ther"), true},
		{"wrong password", asUser("press", "wr0ng"), false},
		{"another's password", asUser("hall", "s3cret"), false},
		{"unknown name", asUser("nobody", "s3cret"), false},
		{"no name", func(*packets.Packet) {}, false},
	} {
		for version, want := range map[byte]byte{4: packets.Err3NotAuthorized.Code, 5: packets.ErrBadUsernameOrPassword.Code} {
			client, answer := knock(t, b, version, c.note, c.option)
			if c.in {
				want = 0
			}
			if answer.ReasonCode != want {
				t.Errorf("%s, MQTT %d: reason is %#x, want %#x", c.note, version, answer.ReasonCode, want)
			}
			if !c.in {
				client.wantClosed()
			}
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); !strings.Contains(text, "wrong name or password") || strings.Contains(text, "wr0ng") || strings.Contains(text, "s3cret") {
		t.Errorf("log must name the failure and no password:\n%s", text)
	}
}

func TestAnybodyMayConnectWithoutUsers(t *testing.T) {
	b := start(t, Config{}, nil)
	eachVersion(t, func(t *testing.T, version byte) {
		dial(t, b, version, "anonymous").ping()
		dial(t, b, version, "named", asUser("test", "test")).ping()
		dial(t, b, version, "").ping()
	})
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]Config{
		"mqtt.listen is 0.0.0.0:1883; expected 127.0.0.1 as host while there are no users": {Listen: "0.0.0.0:1883"},
		"mqtt.listen is :1883; expected":             {Listen: ":1883"},
		"mqtt.websocket is 192.0.2.1:9001; expected": {Listen: "localhost:1883", WebSocket: "192.0.2.1:9001"},
		"mqtt.listen is 1883; expected host:port":    {Listen: "1883"},
		"mqtt.users is without a name; expected":     {Users: []User{{"", "x"}}},
	} {
		_, err := New(cfg, nil, slog.New(slog.DiscardHandler))
		if fettle.KindOf(err) != fettle.Invalid || !strings.HasPrefix(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for setting, cfg := range map[string]Config{
		"mqtt.listen":    {Listen: taken.Addr().String()},
		"mqtt.websocket": {Listen: "127.0.0.1:0", WebSocket: taken.Addr().String()},
	} {
		b, err := New(cfg, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = b.Run(context.Background())
		if fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), setting) {
			t.Errorf("got %v, want a conflict that names %s", err, setting)
		}
	}
}

func TestTooLargePacketClosesOnlyThatClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{MaxPacket: 1000}, nil)
		other := dial(t, b, version, "other")
		c := dial(t, b, version, "c")
		_ = c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: "a", Payload: make([]byte, 1001)})
		c.wantClosed()
		other.ping()
		other.publish("a", strings.Repeat("x", 900), 1, 1)
		other.want(packets.Puback)
	})
	b := start(t, Config{}, nil)
	if _, answer := knock(t, b, 5, "c"); answer.Properties.MaximumPacketSize != defaultPacket {
		t.Errorf("MQTT 5 clients are told a limit of %d, want %d", answer.Properties.MaximumPacketSize, defaultPacket)
	}
}

func TestClientLimit(t *testing.T) {
	b := start(t, Config{MaxClients: 2}, nil)
	dial(t, b, 4, "one")
	two := dial(t, b, 5, "two")
	for version, want := range map[byte]byte{4: packets.Err3ServerUnavailable.Code, 5: packets.ErrServerBusy.Code} {
		c, answer := knock(t, b, version, "three")
		if answer.ReasonCode != want {
			t.Errorf("MQTT %d: reason is %#x, want %#x", version, answer.ReasonCode, want)
		}
		c.wantClosed()
	}
	two.net.Close()
	eventually(t, "the place is free", func() bool { return b.Stats().Clients == 1 })
	dial(t, b, 4, "three").ping()
}

func TestFettlePublishes(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		var in inbox
		b := start(t, Config{Wants: func(string) bool { return true }}, in.receive)
		early := dial(t, b, version, "early")
		early.subscribe("fettle/alarm/+", 2)
		early.ping() // what was retained is sent after the SUBACK, and must be out of the way
		if err := b.Publish("fettle/alarm/press-3", []byte("hot"), true); err != nil {
			t.Fatal(err)
		}
		if pk := early.wantMessage("fettle/alarm/press-3", "hot"); pk.FixedHeader.Qos != 1 || pk.FixedHeader.Retain {
			t.Errorf("came as %+v, want QoS 1, not as retained", pk.FixedHeader)
		}
		late := dial(t, b, version, "late")
		late.subscribe("fettle/alarm/+", 0)
		if pk := late.wantMessage("fettle/alarm/press-3", "hot"); !pk.FixedHeader.Retain {
			t.Error("the retained message does not say so")
		}
		if got := in.all(); len(got) != 0 {
			t.Errorf("fettle's own messages came back: %v", got)
		}
	})
}

func TestRunStopsCleanly(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	b, stop := startWith(t, Config{Wants: sensors, WebSocket: "127.0.0.1:0"}, func(ctx context.Context, m Message) error {
		close(entered)
		<-release
		return ctx.Err()
	}, slog.New(slog.DiscardHandler))
	busy, idle, old := dial(t, b, 5, "busy"), dial(t, b, 5, "idle"), dial(t, b, 4, "old")
	busy.publish("sensor/data", "{}", 1, 1)
	<-entered
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	eventually(t, "no new clients", func() bool {
		c, err := net.Dial("tcp", b.Addr())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if pk := busy.want(packets.Puback); pk.ReasonCode >= 0x80 {
		t.Errorf("what was on its way is answered %+v, want an acknowledgement", pk)
	}
	for _, c := range []*client{busy, idle} {
		if reason := c.wantClosed(); reason != packets.ErrServerShuttingDown.Code {
			t.Errorf("MQTT 5 was told %#x, want 0x8b", reason)
		}
	}
	old.wantClosed()
	if err := <-stopped; err != nil {
		t.Errorf("Run returned %v", err)
	}
}
