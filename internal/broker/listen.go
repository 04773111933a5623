package broker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// connectTime is how long a new connection may take to say who it is.
	connectTime = 10 * time.Second
	// strangers is how many connections may be open beyond the client limit,
	// to be told that it is reached.
	strangers = 64
)

// errBroken ends a connection on which a packet broke the reading, which has been
// logged.
var errBroken = errors.New("packet broke the reading")

// A serveFunc accepts connections until the listener is closed, and gives each
// to handle, in a goroutine of its own.
type serveFunc func(l net.Listener, handle func(net.Conn), log *slog.Logger)

// A listener brings the clients of one address to mochi. mochi has listeners of
// its own, but they open the port too late to report that it is taken, let
// connections wait for ever, and can deadlock when they close.
type listener struct {
	setting string // which names it
	local   bool   // only this computer can reach it
	net     net.Listener
	serve   serveFunc
	broker  *Broker
	done    chan struct{} // closed when Serve has returned

	mu      sync.Mutex // guards all below
	conns   map[*conn]struct{}
	closing bool      // no further one is admitted
	empty   sync.Cond // signalled when the last one is gone
}

func newListener(setting string, l net.Listener, serve serveFunc, b *Broker) *listener {
	host, _, _ := net.SplitHostPort(l.Addr().String()) // an address of TCP always has one
	door := &listener{setting: setting, local: isLoopback(host), net: l, serve: serve, broker: b, done: make(chan struct{}), conns: map[*conn]struct{}{}}
	door.empty.L = &door.mu
	return door
}

// Init, ID, Address, Protocol, Serve and Close are mochi's idea of a listener.

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return l.setting }
func (l *listener) Address() string         { return l.net.Addr().String() }
func (l *listener) Protocol() string        { return "mqtt" }

func (l *listener) Serve(establish listeners.EstablishFn) {
	defer close(l.done)
	l.serve(l.net, func(c net.Conn) { l.handle(c, establish) }, l.broker.log)
}

// Close waits for the end of all connections, which disconnect brought about.
// mochi's own way to disconnect them is not used: it locks a mutex twice.
func (l *listener) Close(listeners.CloseFn) {
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.conns) > 0 {
		l.empty.Wait()
	}
}

// handle is the life of one connection.
func (l *listener) handle(raw net.Conn, establish listeners.EstablishFn) {
	c := newConn(raw)
	c.local = l.local
	c.window.all = l.broker.windows
	c.messages.rate, c.bytes.rate = l.broker.cfg.Limits.Messages, l.broker.cfg.Limits.Bytes
	if !l.admit(c) {
		raw.Close()
		return
	}
	_ = c.SetDeadline(time.Now().Add(connectTime)) // fails as the read will
	var err error
	if c.certified, err = shakeHands(raw); err == nil {
		err = l.establish(c, establish)
	}
	close(c.ended)
	c.turn.end()
	c.Close()
	c.wait()
	l.gone(c, err)
	l.forget(c)
}

// establish is the life of one client. A packet that breaks mochi's reading ends
// only its connection.
func (l *listener) establish(c *conn, establish listeners.EstablishFn) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errBroken, cause)
			l.broker.log.Error("mqtt packet could not be read", "client", c.client, "remote", c.RemoteAddr(), "err", err, "stack", string(debug.Stack()))
			l.broker.cutOff(c, err)
		}
	}()
	return establish(l.setting, c)
}

// admit keeps count of the open connections, and refuses one too many.
func (l *listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	if limit := l.broker.cfg.MaxClients + strangers; len(l.conns) >= limit {
		l.broker.rejected.Add(1)
		l.broker.log.Warn("mqtt connection refused: too many are open", "remote", c.RemoteAddr(), "limit", limit)
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.conns, c); len(l.conns) == 0 {
		l.empty.Broadcast()
	}
}

// disconnect closes all connections and admits no more.
func (l *listener) disconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	for c := range l.conns {
		c.Close()
	}
}

// abandon ends the waiting for messages that are still being received.
func (l *listener) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.window.abandon(packets.ErrServerShuttingDown)
	}
}

// gone says why a client is gone, if somebody should know.
func (l *listener) gone(c *conn, err error) {
	log := l.broker.log.With("client", c.client, "remote", c.RemoteAddr())
	var network net.Error
	switch {
	case c.doesNotRead():
		log.Warn("mqtt client disconnected: it does not read what it is sent", "limit", writeTime, "limit_bytes", overflowAt)
	case errors.Is(err, errLongConnect):
		log.Warn("mqtt client refused: its first packet is too large", "limit", maxConnect)
	case errors.Is(err, errHandshake):
		log.Warn("mqtt connection refused", "err", err)
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ECONNRESET), errors.As(err, &network),
		errors.Is(err, packets.CodeDisconnect), errors.Is(err, packets.ErrSessionTakenOver), errors.Is(err, packets.ErrServerShuttingDown),
		errors.Is(err, errRefused), errors.Is(err, errBroken), errors.Is(err, packets.ErrBadUsernameOrPassword), errors.Is(err, packets.ErrNotAuthorized):
		log.Debug("mqtt client gone", "err", err)
	case errors.Is(err, packets.ErrServerBusy):
		l.broker.rejected.Add(1)
		log.Warn("mqtt client refused: too many are connected", "limit", l.broker.cfg.MaxClients, "setting", "mqtt.max_clients")
	case errors.Is(err, packets.ErrPacketTooLarge):
		log.Warn("mqtt client disconnected: packet too large", "limit", l.broker.cfg.MaxPacket, "setting", "mqtt.max_packet")
	default:
		log.Warn("mqtt client disconnected", "err", err)
	}
}

// serveTCP is the serveFunc of plain MQTT.
func serveTCP(l net.Listener, handle func(net.Conn), log *slog.Logger) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			go handle(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, most likely: some will be free soon
			log.Error("accept mqtt connection", "err", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}
