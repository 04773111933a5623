package broker

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// wired encodes packets as they go over the wire.
func wired(version byte, list ...packets.Packet) []byte {
	var out bytes.Buffer
	for _, pk := range list {
		pk.ProtocolVersion = version
		encode := map[byte]func(*bytes.Buffer) error{
			packets.Connect: pk.ConnectEncode, packets.Publish: pk.PublishEncode, packets.Subscribe: pk.SubscribeEncode, packets.Unsubscribe: pk.UnsubscribeEncode,
			packets.Puback: pk.PubackEncode, packets.Pubrec: pk.PubrecEncode, packets.Pubrel: pk.PubrelEncode, packets.Pubcomp: pk.PubcompEncode,
			packets.Pingreq: pk.PingreqEncode, packets.Disconnect: pk.DisconnectEncode, packets.Auth: pk.AuthEncode, packets.Connack: pk.ConnackEncode,
		}
		if err := encode[pk.FixedHeader.Type](&out); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func connect(change ...func(*packets.Packet)) packets.Packet {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	pk.Connect.ProtocolName, pk.Connect.ClientIdentifier, pk.Connect.Clean = []byte("MQTT"), "fuzz", true
	for _, c := range change {
		c(&pk)
	}
	return pk
}

func kind(t, qos byte) packets.FixedHeader { return packets.FixedHeader{Type: t, Qos: qos} }

func publishOf(topic string, qos byte, id uint16) packets.Packet {
	return packets.Packet{FixedHeader: kind(packets.Publish, qos), TopicName: topic, PacketID: id, Payload: []byte("{}")}
}

// TestBrokenPacketEndsOneConnection sends a SUBSCRIBE that ends in the middle of a
// subscription, at which mochi reads beyond its end.
func TestBrokenPacketEndsOneConnection(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		var in inbox
		b := start(t, Config{Wants: sensors}, in.receive)
		broken := append([]byte{packets.Subscribe<<4 | 2, 5, 0, 1}, "\x00\x01#"...)
		if version == 5 {
			broken = append([]byte{packets.Subscribe<<4 | 2, 6, 0, 1, 0}, "\x00\x01#"...)
		}
		beside := dial(t, b, version, "beside")
		beside.subscribe("sensor/#", 0)
		kept := dial(t, b, version, "kept", longSession)
		kept.subscribe("a", 1)
		for _, c := range []*client{kept, dial(t, b, version, "clean", withWill("sensor/will", "gone"))} {
			if _, err := c.net.Write(broken); err != nil {
				t.Fatal(err)
			}
			c.wantClosed()
		}
		beside.wantMessage("sensor/will", "gone")
		eventually(t, "both are gone", func() bool { return b.Stats().Clients == 1 })
		if _, found := b.server.Clients.Get("clean"); found {
			t.Error("something is left of a session that is not kept")
		}
		if err := b.Publish("a", []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		kept, answer := knock(t, b, version, "kept", longSession)
		if !answer.SessionPresent {
			t.Error("the session is gone")
		}
		kept.wantMessage("a", "x")
	})
}

// FuzzWire has a client send anything at all. The broker, and a client beside
// it, must not mind.
func FuzzWire(f *testing.F) {
	for _, version := range versions {
		alias := publishOf("sensor/data", 1, 1)
		alias.Properties.TopicAlias, alias.Properties.TopicAliasFlag = 1, true
		aliased := alias
		aliased.TopicName = ""
		retained := publishOf("sensor/data", 2, 2)
		retained.FixedHeader.Retain = true
		subscribe := packets.Packet{FixedHeader: kind(packets.Subscribe, 1), PacketID: 3, Filters: packets.Subscriptions{
			{Filter: "#", Qos: 2}, {Filter: "$SYS/#"}, {Filter: "$share/g/a/+", Qos: 1}, {Filter: "a/#/b"}, {Filter: "fettle/alarm/#", Qos: 1}}}
		for _, list := range [][]packets.Packet{
			{connect()},
			{connect(keptSession, withWill("sensor/will", "gone"), asUser("u", "p"))},
			{connect(withWill("fettle/alarm/x", ""))},
			{connect(longSession, receiveMaximum(1)), subscribe, retained, retained, {FixedHeader: kind(packets.Pubrel, 1), PacketID: 2}},
			{connect(), subscribe, publishOf("a/b", 0, 0), publishOf("a/b", 1, 1), publishOf("a/b", 2, 1), {FixedHeader: kind(packets.Puback, 0), PacketID: 1},
				{FixedHeader: kind(packets.Pubrec, 0), PacketID: 1}, {FixedHeader: kind(packets.Pubcomp, 0), PacketID: 1}},
			{connect(), alias, aliased},
			{connect(), aliased},
			{connect(), publishOf("$SYS/broker/uptime", 1, 1), publishOf("a/+", 1, 1), publishOf("fettle/event/x", 0, 0)},
			{connect(), connect()},
			{connect(), subscribe, {FixedHeader: kind(packets.Unsubscribe, 1), PacketID: 4, Filters: packets.Subscriptions{{Filter: "#"}, {Filter: ""}}}},
			{connect(), {FixedHeader: kind(packets.Pingreq, 0)}, {FixedHeader: kind(packets.Disconnect, 0), ReasonCode: 4}},
			{connect(), {FixedHeader: kind(packets.Auth, 0)}, {FixedHeader: kind(packets.Connack, 0)}},
			{publishOf("a", 0, 0), connect()},
		} {
			f.Add(wired(version, list...))
		}
	}
	f.Add([]byte("\x10\xff\xff\xff\x7fMQTT"))
	f.Add([]byte("\x10\xff\xff\xff\xff\xff"))
	f.Add([]byte{0, 0, 0})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))

	cfg := Config{Listen: "127.0.0.1:0", Wants: sensors, MaxPacket: 4 << 10, Limits: Limits{Queue: 16 << 10, QueueTotal: 64 << 10}}
	b, err := New(cfg, waiting(func(context.Context, Message) error { return nil }), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Ready()
	f.Cleanup(func() {
		if stop(); <-ended != nil {
			f.Error("the broker stopped with an error")
		}
	})
	f.Fuzz(func(t *testing.T, sent []byte) {
		here, there := net.Pipe()
		handled := make(chan struct{})
		go func() { b.doors[0].handle(there, b.server.EstablishConnection); close(handled) }()
		read := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, here); close(read) }()
		_ = here.SetWriteDeadline(time.Now().Add(patience))
		_, err := here.Write(sent)
		if isTimeout(err) {
			t.Error("it is not read any more")
		}
		here.Close()
		<-handled
		<-read
		beside := dial(t, b, 5, "beside")
		beside.publish("sensor/beside", "x", 1, 1)
		beside.want(packets.Puback)
		beside.net.Close()
		if used := b.outboxes.room.used.Load(); used > 80<<10 || // each of those connected may have one retained message more
			used < 0 {
			t.Errorf("%d bytes wait", used)
		}
	})
}

// A stranger's first packet is bounded before there is any memory for it.
func TestFirstPacketIsBounded(t *testing.T) {
	b := start(t, Config{}, nil)
	for _, first := range []string{"\x10\xff\xff\x0f", "\x10\x81\x80\x0cMQ"} {
		for _, pieces := range []bool{false, true} {
			c := &client{t: t, version: 4}
			var err error
			if c.net, err = net.Dial("tcp", b.Addr()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.net.Close() })
			c.r = bufio.NewReader(c.net)
			for i := 0; i < len(first); i++ {
				if !pieces {
					i = len(first) - 1
					_, _ = io.WriteString(c.net, first)
				} else if _, err := io.WriteString(c.net, first[i:i+1]); err != nil {
					break // it is refused already
				}
			}
			c.wantClosed()
		}
	}
	dial(t, b, 4, "c", withWill("a", strings.Repeat("x", 60_000)), asUser("u", strings.Repeat("x", 60_000))).ping()
}
