package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
	"fettle/internal/db"
)

// Config is what the broker needs to know.
type Config struct {
	Listen       string    // TCP address; "" is off, port 0 takes a free one
	WebSocket    string    // address of MQTT over WebSocket, on any path; as above
	TLSListen    string    // as Listen, encrypted; needs TLS
	TLSWebSocket string    // as WebSocket, encrypted; needs TLS
	TLS          TLS       // the certificates of both
	Users        []User    // who may connect; none: anybody, on loopback only
	Accounts     *Accounts // the same, with rights, in the data folder; nil: none
	Store        *db.DB    // keeps sessions and retained messages over restarts; nil: nothing does
	MaxClients   int       // connected at once; 0: 1,000
	MaxPacket    int       // bytes of the largest MQTT packet; 0: 1 MiB and 4 KiB for its topic and properties
	Limits       Limits    // of each client

	// Wants tells which topics go to receive; nil: none. It is called for every
	// message of every client, from many goroutines.
	Wants func(topic string) bool
}

// A User may connect to the broker.
type User struct {
	Name, Password string
}

// A Message is what a client published on a topic that fettle wants.
type Message struct {
	Topic   string
	Payload []byte // the receiver's own
	QoS     byte   // 0, 1 or 2
	Client  string // the client's id
}

// Stats are counts since the start, and levels of now.
type Stats struct {
	Clients       int64 // connected now
	Subscriptions int64 // now
	Retained      int64 // messages kept for future subscribers now, $SYS included
	Received      int64 // messages given to receive
	Acknowledged  int64 // of them, taken at QoS 1 or 2
	Refused       int64 // of them, not taken, and not acknowledged either
	Forbidden     int64 // messages on topics that clients may not publish on
	Rejected      int64 // connections turned away: name, password, client limit, unfit will
	Dropped       int64 // messages that subscribers lost because they were too far behind
	Queued        int64 // bytes that wait for subscribers now, those away included
	BytesIn       int64
	BytesOut      int64
}

const (
	defaultClients = 1000
	defaultPacket  = 1<<20 + 4<<10
	// sysPending bounds what waits of $SYS for one subscriber, in messages: two
	// rounds of it.
	sysPending = 64
	// sessionLife is how long a client that wants its session kept may be away.
	sessionLife = 7 * 24 * time.Hour
	// topicAliases a client of MQTT 5 may set.
	topicAliases = 64
	// sysInterval is the time between two rounds of $SYS topics, in seconds.
	sysInterval = 10
	// drainTime bounds how long messages that are being received may take to be
	// acknowledged when the broker stops, closeTime the closing after that.
	drainTime = 3 * time.Second
	closeTime = 5 * time.Second
)

// A Broker runs once.
type Broker struct {
	cfg          Config
	receive      Receive
	users        *users
	certificates *certificates // nil: no TLS
	log          *slog.Logger

	server   *mqtt.Server
	work     work
	windows  *windows
	receipts receipts
	turns    turns
	outboxes *outboxes
	keeper   *keeper
	retained retained
	doors    []*listener // what Run has opened
	ready    chan struct{}

	// receiving is the context of every call of receive; it outlives Run's own
	// while messages on their way are still to be acknowledged.
	receiving context.Context
	giveUp    context.CancelFunc

	received, acknowledged, refused, forbidden, rejected atomic.Int64
}

// A Receive takes a message, and calls done once, from any goroutine, when it is
// safe or cannot be; done does not wait. While Receive itself waits, its client
// is not read. ctx ends when nobody waits for the answer any more.
type Receive func(ctx context.Context, m Message, done func(error))

// New makes a broker and starts nothing. receive is called for every message
// on a wanted topic, from as many goroutines as there are clients, and in the
// order in which each client sent them.
func New(cfg Config, receive Receive, log *slog.Logger) (*Broker, error) {
	if cfg.MaxClients == 0 {
		cfg.MaxClients = defaultClients
	}
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = defaultPacket
	}
	if cfg.Limits.Sessions == 0 {
		cfg.Limits.Sessions = 2 * cfg.MaxClients
	}
	if cfg.Limits.Subscriptions == 0 {
		cfg.Limits.Subscriptions = defaultSubscriptions
	}
	if cfg.Limits.Queue == 0 {
		cfg.Limits.Queue = defaultQueue
	}
	if cfg.Limits.QueueTotal == 0 {
		cfg.Limits.QueueTotal = defaultQueueTotal
	}
	if cfg.Wants == nil {
		cfg.Wants = func(string) bool { return false }
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	log = slog.New(&fewHandler{next: log.Handler(), seen: &seen{}})
	b := &Broker{cfg: cfg, receive: receive, users: newUsers(cfg.Users), log: log, windows: newWindows(), ready: make(chan struct{})}
	if cfg.TLS.Cert != "" {
		var err error
		if b.certificates, err = openCertificates(cfg.TLS, log); err != nil {
			return nil, err
		}
	}
	b.server = mqtt.New(&mqtt.Options{
		Capabilities:             capabilities(cfg),
		ClientNetReadBufferSize:  4 << 10,
		ClientNetWriteBufferSize: 1, // conn gathers what is written
		SysTopicResendInterval:   sysInterval,
		Logger:                   slog.New(mochiHandler{log.Handler()}),
	})
	b.outboxes = newOutboxes(b, cfg.Limits)
	b.keeper = newKeeper(cfg.Store, b.server, b.outboxes, log)
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return nil, fmt.Errorf("add hook to broker: %w", err)
	}
	if cfg.Accounts != nil {
		cfg.Accounts.mu.Lock()
		cfg.Accounts.dropped = b.disconnect
		cfg.Accounts.mu.Unlock()
	}
	return b, nil
}

func capabilities(cfg Config) *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(cfg.MaxClients)
	c.MaximumPacketSize = uint32(cfg.MaxPacket)
	c.MaximumClientWritesPending = sysPending
	c.ReceiveMaximum = windowMessages
	c.MaximumSessionExpiryInterval = uint32(sessionLife / time.Second)
	c.MaximumMessageExpiryInterval = 0 // or retained messages would be gone after a day
	c.TopicAliasMaximum = topicAliases
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return c
}

func (c Config) check() error {
	for _, u := range c.Users {
		switch {
		case u.Name == "":
			return fettle.BadField("bad setting", "mqtt.users", "without a name", "a name and a password for each")
		case u.Password == "":
			return fettle.BadField("bad setting", "mqtt.users", strconv.Quote(u.Name)+" without a password", "a name and a password for each")
		}
	}
	if c.TLS.Cert == "" && c.TLSListen+c.TLSWebSocket != "" {
		return fettle.BadField("bad setting", "mqtt.tls_cert", "", "the path of a certificate, for mqtt.tls_listen and mqtt.tls_websocket")
	}
	if len(c.Users) > 0 || c.Accounts.any() {
		return nil
	}
	for _, w := range c.ways() {
		host, _, err := net.SplitHostPort(w.address)
		switch {
		case err != nil:
			return fettle.BadField("bad setting", w.setting, w.address, "host:port, such as 127.0.0.1:1883")
		case w.encrypted && c.TLS.ClientCA != "": // a certificate says who comes
		case !isLoopback(host):
			return fettle.BadField("bad setting", w.setting, w.address,
				"127.0.0.1 as host while there are no users: `fettle user add NAME` makes one, then others may connect")
		}
	}
	return nil
}

// A way is an address at which clients come in.
type way struct {
	setting, address     string
	webSocket, encrypted bool
}

// ways lists the addresses that are not off.
func (c Config) ways() []way {
	return slices.DeleteFunc([]way{
		{"mqtt.listen", c.Listen, false, false},
		{"mqtt.websocket", c.WebSocket, true, false},
		{"mqtt.tls_listen", c.TLSListen, false, true},
		{"mqtt.tls_websocket", c.TLSWebSocket, true, true},
	}, func(w way) bool { return w.address == "" })
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Run opens the listeners and serves until the context ends. Then messages on
// their way are acknowledged, clients told, and connections closed.
func (b *Broker) Run(ctx context.Context) error {
	b.receiving, b.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	defer b.giveUp()
	if err := b.open(); err != nil {
		return err
	}
	if err := b.restore(); err != nil {
		return err
	}
	for _, door := range b.doors {
		if err := b.server.AddListener(door); err != nil {
			return fmt.Errorf("add listener to broker: %w", err)
		}
	}
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	close(b.ready)
	b.keeper.run(ctx)
	return errors.Join(b.close(), b.keeper.write(db.Synced))
}

// open listens on every address that is not off.
func (b *Broker) open() error {
	for _, w := range b.cfg.ways() {
		l, err := net.Listen("tcp", w.address)
		if err != nil {
			for _, door := range b.doors {
				door.net.Close()
			}
			return fettle.Errorf(fettle.Conflict, "%w: another program (perhaps another broker) may have the port; stop it, or set %s to another address", err, w.setting)
		}
		serve := serveFunc(serveTCP)
		if w.webSocket {
			serve = serveWebSocket(b.originAllowed)
		}
		if w.encrypted {
			l = b.certificates.over(l)
		}
		b.doors = append(b.doors, newListener(w.setting, l, serve, b))
	}
	return nil
}

// close stops in the order that loses nothing: no new clients, then no new
// messages, then the answers to those on their way, then the connections.
func (b *Broker) close() error {
	for _, door := range b.doors {
		door.net.Close()
	}
	b.work.drain(drainTime)
	for _, cl := range b.server.Clients.GetAll() {
		if cl.Properties.ProtocolVersion == 5 && !cl.Closed() {
			_ = b.server.DisconnectClient(cl, packets.ErrServerShuttingDown) // and if it does not hear it, it is gone anyway
		}
	}
	for _, door := range b.doors {
		door.disconnect()
	}
	b.giveUp()
	for _, door := range b.doors {
		door.abandon()
	}
	closed := make(chan error, 1)
	go func() { closed <- b.server.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTime):
		return errors.New("close broker: a client did not let go in time")
	}
}

// Ready is closed when the listeners are open.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addr is where the TCP listener is, once Ready; "" if it is off.
func (b *Broker) Addr() string { return b.address("mqtt.listen") }

// WebSocketAddr is where the WebSocket listener is, once Ready; "" if it is off.
func (b *Broker) WebSocketAddr() string { return b.address("mqtt.websocket") }

// TLSAddr is Addr of the encrypted listener.
func (b *Broker) TLSAddr() string { return b.address("mqtt.tls_listen") }

// TLSWebSocketAddr is WebSocketAddr of the encrypted listener.
func (b *Broker) TLSWebSocketAddr() string { return b.address("mqtt.tls_websocket") }

func (b *Broker) address(setting string) string {
	select {
	case <-b.ready:
	default:
		return ""
	}
	for _, door := range b.doors {
		if door.ID() == setting {
			return door.Address()
		}
	}
	return ""
}

// Publish sends one of fettle's own messages to its subscribers, at the QoS of
// their subscriptions, at most 1. It passes no right and no limit but those of
// what waits for a subscriber, and never comes to receive.
func (b *Broker) Publish(topic string, payload []byte, retain bool) error {
	if len(topic) > math.MaxUint16 || !mqtt.IsValidFilter(topic, true) && !strings.HasPrefix(topic, "$") {
		return fettle.BadField("publish over mqtt", "topic", fettle.Shorten(topic), "a topic without + and #")
	}
	l := &letter{topic: topic, payload: payload, qos: 1, retain: retain, created: time.Now().Unix()}
	if retain {
		b.retain(l)
	}
	b.deliver(l, false)
	return nil
}

// Stats counts what happened.
func (b *Broker) Stats() Stats {
	info := b.server.Info.Clone()
	return Stats{
		Clients:       info.ClientsConnected,
		Subscriptions: info.Subscriptions,
		Retained:      info.Retained,
		Received:      b.received.Load(),
		Acknowledged:  b.acknowledged.Load(),
		Refused:       b.refused.Load(),
		Forbidden:     b.forbidden.Load(),
		Rejected:      b.rejected.Load(),
		Dropped:       info.MessagesDropped + b.outboxes.room.lost.Load(),
		Queued:        b.outboxes.room.used.Load(),
		BytesIn:       info.BytesReceived,
		BytesOut:      info.BytesSent,
	}
}
