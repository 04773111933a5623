package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// start runs a broker for the length of the test. Ports left out are free ones.
func start(t testing.TB, cfg Config, receive func(context.Context, Message) error) *Broker {
	t.Helper()
	b, stop := startWith(t, cfg, receive, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("broker stopped with %v", err)
		}
	})
	return b
}

func startWith(t testing.TB, cfg Config, receive func(context.Context, Message) error, log *slog.Logger) (b *Broker, stop func() error) {
	t.Helper()
	if receive == nil {
		receive = func(context.Context, Message) error { return nil }
	}
	return startReceiving(t, cfg, waiting(receive), log)
}

func startReceiving(t testing.TB, cfg Config, receive Receive, log *slog.Logger) (b *Broker, stop func() error) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	b, err := New(cfg, receive, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatalf("broker did not start: %v", err)
	}
	return b, sync.OnceValue(func() error { cancel(); return <-done })
}

// waiting is a Receive that is done when it returns.
func waiting(receive func(context.Context, Message) error) Receive {
	return func(ctx context.Context, m Message, done func(error)) { done(receive(ctx, m)) }
}

// sensors wants every topic that begins with sensor/.
func sensors(topic string) bool { return strings.HasPrefix(topic, "sensor/") }

// inbox is a receive that keeps the messages.
type inbox struct {
	mu       sync.Mutex
	messages []Message
}

func (i *inbox) receive(_ context.Context, m Message) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.messages = append(i.messages, m)
	return nil
}

func (i *inbox) all() []Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Message(nil), i.messages...)
}

// A client speaks MQTT packet by packet, so that a test sees what is on the
// wire.
type client struct {
	t       testing.TB
	net     net.Conn
	r       *bufio.Reader
	version byte
}

type connectOption func(*packets.Packet)

func asUser(name, password string) connectOption {
	return func(pk *packets.Packet) {
		pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte(name)
		pk.Connect.PasswordFlag, pk.Connect.Password = true, []byte(password)
	}
}

func withWill(topic, payload string) connectOption {
	return func(pk *packets.Packet) {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, topic, []byte(payload)
	}
}

func keptSession(pk *packets.Packet) { pk.Connect.Clean = false }

func receiveMaximum(n uint16) connectOption {
	return func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = n }
}

// knock opens a connection and asks to be let in; the answer is returned.
func knock(t testing.TB, b *Broker, version byte, id string, options ...connectOption) (*client, packets.Packet) {
	t.Helper()
	c := &client{t: t, version: version}
	if err := c.tryConnect(b, id, options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.net.Close() })
	return c, c.read()
}

func (c *client) tryConnect(b *Broker, id string, options ...connectOption) (err error) {
	if c.net, err = net.Dial("tcp", b.Addr()); err != nil {
		return err
	}
	c.r = bufio.NewReader(c.net)
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	pk.Connect.ProtocolName, pk.Connect.Clean = []byte("MQTT"), true
	pk.Connect.ClientIdentifier, pk.Connect.Keepalive = id, 60
	for _, option := range options {
		option(&pk)
	}
	return c.trySend(pk)
}

// dial is knock for a client that must be let in.
func dial(t testing.TB, b *Broker, version byte, id string, options ...connectOption) *client {
	t.Helper()
	c, answer := knock(t, b, version, id, options...)
	if answer.FixedHeader.Type != packets.Connack || answer.ReasonCode != 0 {
		t.Fatalf("client %s was not let in: %+v", id, answer)
	}
	return c
}

func (c *client) send(pk packets.Packet) {
	c.t.Helper()
	if err := c.trySend(pk); err != nil {
		c.t.Fatalf("send packet: %v", err)
	}
}

func (c *client) trySend(pk packets.Packet) error {
	pk.ProtocolVersion = c.version
	encode := map[byte]func(*bytes.Buffer) error{
		packets.Connect: pk.ConnectEncode, packets.Publish: pk.PublishEncode, packets.Subscribe: pk.SubscribeEncode,
		packets.Puback: pk.PubackEncode, packets.Pubrec: pk.PubrecEncode, packets.Pubrel: pk.PubrelEncode,
		packets.Pubcomp: pk.PubcompEncode, packets.Pingreq: pk.PingreqEncode, packets.Disconnect: pk.DisconnectEncode,
	}
	var buffer bytes.Buffer
	if err := encode[pk.FixedHeader.Type](&buffer); err != nil {
		return err
	}
	_, err := c.net.Write(buffer.Bytes())
	return err
}

func (c *client) publish(topic, payload string, qos byte, id uint16) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: topic, Payload: []byte(payload), PacketID: id})
}

func (c *client) retain(topic, payload string) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true}, TopicName: topic, Payload: []byte(payload), PacketID: 1})
	c.want(packets.Puback)
}

func (c *client) subscribe(filter string, qos byte) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: filter, Qos: qos}}})
	c.want(packets.Suback)
}

func (c *client) acknowledge(pk packets.Packet) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
}

// ping makes sure that the connection lives, and that nothing else came first.
func (c *client) ping() {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	c.want(packets.Pingresp)
}

// want reads the next packet, which must be of this type.
func (c *client) want(kind byte) packets.Packet {
	c.t.Helper()
	pk := c.read()
	if pk.FixedHeader.Type != kind {
		c.t.Fatalf("got a packet of type %d, want %d: %+v", pk.FixedHeader.Type, kind, pk)
	}
	return pk
}

// wantMessage reads the next packet, which must be this message.
func (c *client) wantMessage(topic, payload string) packets.Packet {
	c.t.Helper()
	pk := c.want(packets.Publish)
	if pk.TopicName != topic || string(pk.Payload) != payload {
		c.t.Fatalf("got %q on %s, want %q on %s", pk.Payload, pk.TopicName, payload, topic)
	}
	return pk
}

// wantClosed makes sure that the broker ends the connection. MQTT 5 may be told
// why before, with the reason that is returned.
func (c *client) wantClosed() (reason byte) {
	c.t.Helper()
	for {
		pk, err := c.tryRead()
		switch {
		case errors.Is(err, io.EOF), err != nil && !isTimeout(err):
			return reason
		case err != nil:
			c.t.Fatalf("the connection is still open: %v", err)
		case pk.FixedHeader.Type == packets.Disconnect:
			reason = pk.ReasonCode
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (c *client) read() packets.Packet {
	c.t.Helper()
	pk, err := c.tryRead()
	if err != nil {
		c.t.Fatalf("read packet: %v", err)
	}
	return pk
}

func (c *client) tryRead() (pk packets.Packet, err error) {
	if err := c.net.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return pk, err
	}
	first, err := c.r.ReadByte()
	if err != nil {
		return pk, err
	}
	pk.ProtocolVersion = c.version
	if err := pk.FixedHeader.Decode(first); err != nil {
		return pk, err
	}
	if pk.FixedHeader.Remaining, _, err = packets.DecodeLength(c.r); err != nil {
		return pk, err
	}
	body := make([]byte, pk.FixedHeader.Remaining)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return pk, err
	}
	decode := map[byte]func([]byte) error{
		packets.Connack: pk.ConnackDecode, packets.Publish: pk.PublishDecode, packets.Suback: pk.SubackDecode,
		packets.Puback: pk.PubackDecode, packets.Pubrec: pk.PubrecDecode, packets.Pubrel: pk.PubrelDecode,
		packets.Pubcomp: pk.PubcompDecode, packets.Disconnect: pk.DisconnectDecode,
	}
	if pk.FixedHeader.Type == packets.Pingresp {
		return pk, nil
	}
	err = decode[pk.FixedHeader.Type](body)
	return pk, err
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}
