package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/broker"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// A peer is fettle's broker, and what it received.
type peer struct {
	*broker.Broker
	stop func()

	mu       sync.Mutex
	payloads []string
}

func (p *peer) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.payloads...)
}

// startBroker runs a broker for the length of the test, or until stopped.
// judge, if it is not nil, answers each message.
func startBroker(t testing.TB, cfg broker.Config, judge func(broker.Message) error) *peer {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen, cfg.WebSocket = "127.0.0.1:0", "127.0.0.1:0"
	}
	cfg.Wants = func(string) bool { return true }
	p := &peer{}
	b, err := broker.New(cfg, func(_ context.Context, m broker.Message, done func(error)) {
		if judge != nil {
			if err := judge(m); err != nil {
				done(err)
				return
			}
		}
		p.mu.Lock()
		p.payloads = append(p.payloads, string(m.Payload))
		p.mu.Unlock()
		done(nil)
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.Broker = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("broker stopped with %v", err)
		}
	})
	t.Cleanup(p.stop)
	select {
	case <-b.Ready():
	case <-time.After(patience):
		t.Fatal("broker is not ready")
	}
	return p
}

func dial(t testing.TB, o Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := Dial(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// publish sends the numbers from..to-1, and waits for their acknowledgement.
func publish(t testing.TB, c *Client, from, to int, qos byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := from; i < to; i++ {
		if err := c.Publish(ctx, "sensor/data", fmt.Append(nil, i), qos); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func wantNumbers(t *testing.T, got []string, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d messages came, want %d", len(got), n)
	}
	for i, text := range got {
		if text != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, text)
		}
	}
}

func TestPublishInOrder(t *testing.T) {
	b := startBroker(t, broker.Config{}, nil)
	for _, address := range []string{"mqtt://" + b.Addr(), "tcp://" + b.Addr(), b.Addr(), "ws://" + b.WebSocketAddr() + "/mqtt"} {
		before := len(b.received())
		c := dial(t, Options{URL: address})
		publish(t, c, 0, 1000, 1)
		wantNumbers(t, b.received()[before:], 1000)
		if got := c.Stats(); got != (Stats{Sent: 1000, Acknowledged: 1000}) {
			t.Errorf("%s: stats are %+v", address, got)
		}
	}
	c := dial(t, Options{URL: b.Addr()})
	before := len(b.received())
	publish(t, c, 0, 1000, 0)
	for end := time.Now().Add(patience); len(b.received()) < before+1000 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	wantNumbers(t, b.received()[before:], 1000)
}

func TestPublishOverTLS(t *testing.T) {
	b := startBroker(t, broker.Config{}, nil)
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	front, err := tls.Listen("tcp", "127.0.0.1:0", certified.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go func() {
		for {
			here, err := front.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", b.Addr())
			if err != nil {
				return
			}
			go func() { io.Copy(there, here); there.Close() }()
			go func() { io.Copy(here, there); here.Close() }()
		}
	}()
	trust := x509.NewCertPool()
	trust.AddCert(certified.Certificate())
	c := dial(t, Options{URL: "mqtts://" + front.Addr().String(), TLS: &tls.Config{RootCAs: trust}})
	publish(t, c, 0, 100, 1)
	wantNumbers(t, b.received(), 100)
	c.Close() // before the front
	if _, err := Dial(t.Context(), Options{URL: "mqtts://" + front.Addr().String()}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

// TestBrokerRestarts takes the broker away in the middle, twice.
func TestBrokerRestarts(t *testing.T) {
	var half atomic.Int32
	var firstAway, secondAway = make(chan struct{}), make(chan struct{})
	away := map[int32]chan struct{}{300: firstAway, 600: secondAway}
	judge := func(broker.Message) error {
		if c := away[half.Add(1)]; c != nil {
			close(c)
		}
		return nil
	}
	b := startBroker(t, broker.Config{}, judge)
	c := dial(t, Options{URL: b.Addr(), Window: 50})
	at := b.Addr()
	var got []string
	done := make(chan struct{})
	go func() { defer close(done); publish(t, c, 0, 1000, 1) }()
	for _, moment := range []chan struct{}{firstAway, secondAway} {
		<-moment
		b.stop()
		got = append(got, b.received()...)
		b = startBroker(t, broker.Config{Listen: at}, judge)
	}
	<-done
	got = append(got, b.received()...)
	var distinct []string
	seen := map[string]bool{}
	for _, text := range got {
		if !seen[text] {
			seen[text] = true
			distinct = append(distinct, text)
		}
	}
	wantNumbers(t, distinct, 1000)
	if got := c.Stats(); got.Sent != 1000 || got.Acknowledged != 1000 || got.Refused != 0 {
		t.Errorf("stats are %+v", got)
	}
}

func TestBusyBrokerGetsItAgain(t *testing.T) {
	var calls atomic.Int32
	b := startBroker(t, broker.Config{}, func(broker.Message) error {
		if calls.Add(1) == 5 {
			return fettle.Errorf(fettle.Busy, "queue is full")
		}
		return nil
	})
	publish(t, dial(t, Options{URL: b.Addr()}), 0, 20, 1)
	if got := b.received(); len(got) != 20 {
		t.Errorf("%d messages came, want 20", len(got))
	}
}

func TestForbiddenTopic(t *testing.T) {
	b := startBroker(t, broker.Config{}, nil)
	c := dial(t, Options{URL: b.Addr()})
	if err := c.Publish(t.Context(), "fettle/alarm/press-3", nil, 1); err != nil {
		t.Fatal(err)
	}
	err := c.Flush(t.Context())
	if fettle.KindOf(err) != fettle.Forbidden || !strings.Contains(err.Error(), "not authorized (reason 0x87) on fettle/alarm/press-3") {
		t.Errorf("flush: %v", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	b := startBroker(t, broker.Config{MaxPacket: 1000, Listen: "127.0.0.1:0"}, nil)
	c := dial(t, Options{URL: b.Addr()})
	for _, m := range []struct {
		topic string
		size  int
		qos   byte
	}{{"a", 1, 2}, {"", 1, 1}, {"a/+", 1, 1}, {"a/#", 1, 1}, {"a\x00", 1, 1}, {"\xff", 1, 1}, {"a", 1000, 1}} {
		if err := c.Publish(t.Context(), m.topic, make([]byte, m.size), m.qos); fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("%q, %d bytes, QoS %d: %v, want an invalid message", m.topic, m.size, m.qos, err)
		}
	}
	publish(t, c, 0, 1, 1)
}

func TestUserAndPassword(t *testing.T) {
	b := startBroker(t, broker.Config{Users: []broker.User{{Name: "press", Password: "s3cret"}}, Listen: "127.0.0.1:0"}, nil)
	dial(t, Options{URL: b.Addr(), User: "press", Password: "s3cret"})
	dial(t, Options{URL: "mqtt://press:s3cret@" + b.Addr()})
	for _, o := range []Options{
		{URL: b.Addr()},
		{URL: "mqtt://press:wr0ng@" + b.Addr()},
		{URL: "mqtt://press:s3cret@" + b.Addr(), User: "press", Password: "wr0ng"},
	} {
		_, err := Dial(t.Context(), o)
		if fettle.KindOf(err) != fettle.Forbidden || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v, want forbidden without the password", o, err)
		}
	}
}

func TestDialFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := taken.Addr().String()
	taken.Close()
	for _, c := range []struct {
		o    Options
		kind fettle.Kind
		want string
	}{
		{Options{URL: "mqtt://" + nobody}, fettle.Unavailable, "no mqtt broker at mqtt://" + nobody + ": dial tcp " + nobody + ": connect"},
		{Options{URL: "ws://user:s3cret@" + nobody}, fettle.Unavailable, "no mqtt broker at ws://user:xxxxx@" + nobody},
		{Options{URL: "http://" + nobody}, fettle.Invalid, "broker is http://" + nobody + "; expected mqtt://"},
		{Options{URL: "mqtt://user:s3cret@"}, fettle.Invalid, "broker is mqtt://user:xxxxx@; expected"},
		{Options{URL: "mqtt://a b:s3cret@x"}, fettle.Invalid, "broker is not a URL; expected"},
		{Options{URL: ""}, fettle.Invalid, "broker is mqtt:"},
		{Options{URL: nobody, Window: 10_001}, fettle.Invalid, "window is 10001; expected 1 to 10000 messages"},
	} {
		_, err := Dial(t.Context(), c.o)
		if fettle.KindOf(err) != c.kind || !strings.HasPrefix(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), "s3cret") {
			t.Errorf("%s: %v, want %q", c.o.URL, err, c.want)
		}
	}
}

func TestDefaultPorts(t *testing.T) {
	for text, want := range map[string]string{"plant": "plant:1883", "tcp://plant": "plant:1883", "mqtts://[::1]": "[::1]:8883", "ws://plant/mqtt": "plant", "ssl://plant:1": "plant:1"} {
		if u, err := parseURL(text); err != nil || u.Host != want {
			t.Errorf("%s: %v, %v, want %s", text, u, err, want)
		}
	}
}

// TestCloseNeedsNoBroker has a broker that takes no bytes any more.
func TestCloseNeedsNoBroker(t *testing.T) {
	release := make(chan struct{})
	b := startBroker(t, broker.Config{}, func(broker.Message) error { <-release; return nil })
	c := dial(t, Options{URL: b.Addr(), Window: 1000})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for c.Publish(ctx, "a", make([]byte, 512<<10), 0) == nil { // until every buffer is full
	}
	c.Close()
	close(release)
}

func BenchmarkPublish(b *testing.B) {
	peer := startBroker(b, broker.Config{}, nil)
	c := dial(b, Options{URL: peer.Addr()})
	payload := []byte(`{"workspace_id": "lathe-1-spindle", "timestamp": "2025-11-25T04:20:00.123456Z", "current": 15.31, "accX": 0.195, "accY": 0.128, "accZ": 0.271, "tempA": 50.4, "tempB": 47.6}`)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := c.Publish(b.Context(), "sensor/data", payload, 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
