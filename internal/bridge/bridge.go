// Package bridge is fettle as a client of MQTT brokers.
//
// A Client publishes to a broker of MQTT 5, fettle's own or another. Messages
// come in from simulate and replay; they go out in order, up to a
// window of them without waiting for the acknowledgement of the first. A
// message leaves the window when the broker has acknowledged it; when a
// connection breaks, it is made anew with growing pauses, and what is in the
// window is sent again. So every message arrives at least once, and a machine's
// readings stay in their order unless the broker was too busy for some of them.
// It never looks into a payload.
//
// A Subscriber listens to an outside broker of MQTT 5 or 3.1.1. What the broker
// sends goes to a receiver, and is acknowledged once the receiver has said, in
// its own time, that the message is dealt with: in the order of arrival, up to a
// window of messages later. A connection that breaks is made anew with growing
// pauses, and finds the same session, so that whatever was not acknowledged
// comes again.
//
// The Client speaks through paho. The Subscriber has its few packets itself, in
// wire.go: paho.golang knows MQTT 5 only, its older sister paho.mqtt.golang
// 3.1.1 only, and each brings its own idea of sessions, of reconnecting, and of
// acknowledging one message at a time. A subscriber of both versions is one
// small machine over a codec in which they differ by a few bytes.
package bridge

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"fettle"
)

// Options say where to connect, and how.
type Options struct {
	// URL is mqtt://host:1883 or tcp:// or host:port, mqtts://host:8883 or
	// ssl://, ws://host:9001/mqtt or wss://. It may hold user and password;
	// those below go before them.
	URL            string
	User, Password string
	ClientID       string       // "" makes one up
	Window         int          // messages sent and not acknowledged; 0: 100, at most 10,000
	TLS            *tls.Config  // nil: the system's certificates decide
	Log            *slog.Logger // told when the connection is lost and found; nil: nobody is
}

// Stats count messages since Dial; each once, however often it was sent.
type Stats struct {
	Sent         int64 // written to a connection
	Acknowledged int64 // of them, those of QoS 1 that the broker took
	Refused      int64 // of them, those that the broker will never take
}

const (
	defaultWindow = 100
	maxWindow     = 10_000
	keepAlive     = 30 // seconds
	connectTime   = 10 * time.Second
	// closeTime is how long the broker may take to let the last bytes through.
	closeTime = 3 * time.Second
	// Pauses between attempts to connect begin with up to firstPause, and grow
	// by half to lastPause.
	shortestPause, firstPause, lastPause = 50 * time.Millisecond, 500 * time.Millisecond, 10 * time.Second
)

// A Client publishes over one connection, which it keeps up. Its methods may
// be called from many goroutines; only calls from one keep their order.
type Client struct {
	window *window
	conn   *autopaho.ConnectionManager
	cancel context.CancelFunc
}

// Dial connects. It tries once, and fails if the broker cannot be reached or
// does not let the client in; later losses of the connection are mended. The
// context is for the dialling only. The caller closes the client.
func Dial(ctx context.Context, o Options) (*Client, error) {
	address, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Window < 0 || o.Window > maxWindow {
		return nil, fettle.BadField("bad option", "window", fmt.Sprint(o.Window), fmt.Sprintf("1 to %d messages", maxWindow))
	}
	log := cmp.Or(o.Log, slog.New(slog.DiscardHandler)).With("broker", address.Redacted())
	c := &Client{window: newWindow(cmp.Or(o.Window, defaultWindow))}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	up, failed := make(chan struct{}), make(chan error, 1)
	cfg := clientConfig(address, o, c.window)
	again := false // paho calls from one goroutine
	cfg.OnConnectionUp = func(*autopaho.ConnectionManager, *paho.Connack) {
		if again {
			log.Info("mqtt connection is back")
			return
		}
		again = true
		close(up)
	}
	cfg.OnConnectionDown = func() bool {
		if life.Err() == nil {
			log.Warn("mqtt connection lost; connecting again")
		}
		return true
	}
	cfg.OnConnectError = func(err error) {
		select {
		case failed <- err:
		default:
			log.Debug("connect to mqtt broker", "err", err)
		}
	}
	c.cancel = cancel
	if c.conn, err = autopaho.NewConnection(life, cfg); err != nil {
		cancel()
		return nil, fmt.Errorf("prepare mqtt connection: %w", err)
	}
	c.window.start()
	select {
	case <-up:
		return c, nil
	case err = <-failed:
		err = explain(address, err)
	case <-ctx.Done():
		err = fettle.Errorf(fettle.Unavailable, "connect to mqtt broker at %s: %w", address.Redacted(), ctx.Err())
	}
	c.Close()
	return nil, err
}

func clientConfig(address *url.URL, o Options, w *window) autopaho.ClientConfig {
	user, password := o.User, o.Password
	if user == "" && address.User != nil {
		user = address.User.Username()
		password, _ = address.User.Password()
	}
	bare := *address
	bare.User = nil // paho repeats the URL in its errors
	return autopaho.ClientConfig{
		ServerUrls:       []*url.URL{&bare},
		TlsCfg:           o.TLS,
		KeepAlive:        keepAlive,
		ConnectTimeout:   connectTime,
		ReconnectBackoff: autopaho.NewExponentialBackoff(shortestPause, lastPause, firstPause, 1.5),
		ConnectUsername:  user,
		ConnectPassword:  []byte(password),
		// Each connection is a new session, in which the window is sent anew. An
		// old session would only add what the broker remembers to what we do.
		ConnectPacketBuilder: func(connect *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			connect.CleanStart = true
			return connect, nil
		},
		ClientConfig: paho.ClientConfig{
			ClientID: cmp.Or(o.ClientID, "fettle-"+strings.ToLower(rand.Text()[:10])),
			Session:  w,
		},
	}
}

// defaultPorts are those that an MQTT URL may leave out.
var defaultPorts = map[string]string{"mqtt": "1883", "tcp": "1883", "mqtts": "8883", "ssl": "8883", "tls": "8883"}

func parseURL(text string) (*url.URL, error) {
	full := text
	if !strings.Contains(text, "://") {
		full = "mqtt://" + text
	}
	const expected = "mqtt://, mqtts://, ws:// or wss:// and a host, such as mqtt://127.0.0.1:1883"
	u, err := url.Parse(full)
	if err != nil { // whose text would repeat a password
		return nil, fettle.BadField("bad option", "broker", "not a URL", expected)
	}
	port, known := defaultPorts[u.Scheme]
	if !known && u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fettle.BadField("bad option", "broker", u.Redacted(), expected)
	}
	if known && u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// Reasons of MQTT 5 for not letting a client in.
const (
	unsupportedVersion = 0x84
	badUserOrPassword  = 0x86
	notAuthorized      = 0x87
)

// explain says what can be done about a failed connection.
func explain(address *url.URL, err error) error {
	var refused *autopaho.ConnackError
	switch at := address.Redacted(); {
	case !errors.As(err, &refused):
		return fettle.Errorf(fettle.Unavailable, "no mqtt broker at %s: %w", at, errors.Unwrap(err))
	case refused.ReasonCode == badUserOrPassword, refused.ReasonCode == notAuthorized:
		return fettle.Errorf(fettle.Forbidden, "mqtt broker at %s wants another user and password", at)
	case refused.ReasonCode == unsupportedVersion:
		return fettle.Errorf(fettle.Unavailable, "mqtt broker at %s does not speak MQTT 5", at)
	default:
		return fettle.Errorf(fettle.Unavailable, "mqtt broker at %s does not let us in: %s (reason %#x)",
			at, cmp.Or(refused.Reason, "it does not say why"), refused.ReasonCode)
	}
}

// Publish takes a message for sending, and returns once there is room for it in
// the window; the payload is the caller's again. At QoS 1 the message is kept
// until it is acknowledged, at QoS 0 until it is written. It fails if the
// context ends first, the client is closed, or no broker could take such a
// message.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, qos byte) error {
	switch {
	case qos > 1:
		return fettle.BadField("bad message", "QoS", fmt.Sprint(qos), "0 or 1")
	case topic == "" || len(topic) > 1<<16-1 || !utf8.ValidString(topic) || strings.ContainsAny(topic, "+#\x00"):
		return fettle.BadField("bad message", "topic", fmt.Sprintf("%q", topic), "a topic in UTF-8 without + and #")
	}
	return c.window.put(ctx, topic, payload, qos)
}

// Flush waits until every message is acknowledged, or written at QoS 0. It
// fails if the context ends first, or if the broker refused any since the last
// Flush.
func (c *Client) Flush(ctx context.Context) error { return c.window.flush(ctx) }

// Stats counts what happened.
func (c *Client) Stats() Stats { return c.window.count() }

// Close ends the connection. What is not acknowledged is lost: Flush before.
func (c *Client) Close() {
	c.window.stop()
	c.cancel()
	select {
	case <-c.conn.Done():
	case <-time.After(closeTime):
		c.window.hangUp() // the broker takes no bytes, not even our farewell
		<-c.conn.Done()
	}
	c.window.wait()
}
