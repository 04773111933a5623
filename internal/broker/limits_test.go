package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestBucket(t *testing.T) {
	clock := time.Now()
	for _, c := range []struct {
		rate  int
		take  []int // one after the other, at once
		pause time.Duration
		then  int
		want  time.Duration
	}{
		{0, []int{1000, 1000}, 0, 1000, 0},
		{10, []int{5}, 0, 5, 0},
		{10, []int{10}, 0, 5, 500 * time.Millisecond},
		{10, []int{10}, time.Second, 10, 0},
		{10, []int{10}, time.Hour, 11, 100 * time.Millisecond},
		{10, []int{10, 10}, time.Second, 0, 0},
		{10, nil, 0, 100, 9 * time.Second}, // larger than a second's worth
	} {
		b := bucket{rate: c.rate}
		for _, n := range c.take {
			b.take(n, clock)
		}
		if got := b.take(c.then, clock.Add(c.pause)); (got - c.want).Abs() > time.Microsecond {
			t.Errorf("%+v: wait %v", c, got)
		}
	}
}

// A client that sends more than it may is read more slowly, and loses nothing.
func TestRateIsLimited(t *testing.T) {
	var in inbox
	var logged bytes.Buffer
	b, stop := startWith(t, Config{Limits: Limits{Messages: 200}, Wants: sensors}, in.receive, slog.New(slog.NewTextHandler(&logged, nil)))
	c := dial(t, b, 4, "c")
	other := dial(t, b, 4, "other")
	began := time.Now()
	go func() {
		for i := range 300 {
			if c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: "sensor/data", PacketID: uint16(i + 1)}) != nil {
				return
			}
		}
	}()
	other.publish("sensor/data", "x", 1, 1)
	other.want(packets.Puback)
	for range 300 {
		c.want(packets.Puback)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("300 messages took %v at 200 a second", took)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if text := logged.String(); !strings.Contains(text, "limit_messages_per_second=200") {
		t.Errorf("logged\n%s", text)
	}
}

func TestSubscriptionsAreLimited(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b := start(t, Config{Limits: Limits{Subscriptions: 2}}, nil)
		c := dial(t, b, version, "c")
		ask := func(filters ...string) string {
			pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1}
			for _, filter := range filters {
				pk.Filters = append(pk.Filters, packets.Subscription{Filter: filter})
			}
			c.send(pk)
			return fmt.Sprintf("%x", c.want(packets.Suback).ReasonCodes)
		}
		refused := map[byte]string{4: "80", 5: "97"}[version]
		if got, want := ask("a", "b", "c"), "0000"+refused; got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
		if got, want := ask("d", "a"), refused+"00"; got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
		other := dial(t, b, version, "other")
		other.publish("c", "x", 1, 1)
		other.publish("a", "x", 1, 2)
		c.wantMessage("a", "x")
	})
}

func TestKeepaliveIsLimited(t *testing.T) {
	b := start(t, Config{Limits: Limits{Keepalive: time.Minute}}, nil)
	for _, c := range []struct {
		version byte
		wish    uint16
		in      bool
		told    uint16
	}{{4, 60, true, 0}, {4, 61, false, 0}, {4, 0, false, 0}, {5, 60, true, 0}, {5, 61, true, 60}, {5, 0, true, 60}} {
		_, answer := knock(t, b, c.version, "c", func(pk *packets.Packet) { pk.Connect.Keepalive = c.wish })
		if (answer.ReasonCode == 0) != c.in || answer.Properties.ServerKeepAlive != c.told {
			t.Errorf("MQTT %d, %d s: answered %#x, told %d s", c.version, c.wish, answer.ReasonCode, answer.Properties.ServerKeepAlive)
		}
	}
}
