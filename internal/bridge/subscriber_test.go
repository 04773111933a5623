package bridge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/broker"
)

// An ear is a receiver that remembers, and answers as it is told.
type ear struct {
	answer func(m Message, done func(error)) // nil: takes everything at once

	mu   sync.Mutex
	seen []Message
}

func (e *ear) receive(_ context.Context, m Message, done func(error)) {
	e.mu.Lock()
	e.seen = append(e.seen, m)
	e.mu.Unlock()
	if e.answer != nil {
		e.answer(m, done)
		return
	}
	done(nil)
}

func (e *ear) messages() []Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

// distinct counts the different payloads.
func (e *ear) distinct() int {
	payloads := map[string]bool{}
	for _, m := range e.messages() {
		payloads[string(m.Payload)] = true
	}
	return len(payloads)
}

// listening runs a subscriber until the test ends or stop is called, with
// pauses that suit a test.
func listening(t testing.TB, s Subscription, receive func(context.Context, Message, func(error)), change ...func(*Subscriber)) (sub *Subscriber, stop func()) {
	t.Helper()
	if s.ClientID == "" {
		s.ClientID = "listener"
	}
	if s.Filters == nil {
		s.Filters = []string{"plant/#"}
	}
	sub, err := NewSubscriber(s, receive)
	if err != nil {
		t.Fatal(err)
	}
	sub.pauses = pauses{least: 10 * time.Millisecond, most: 200 * time.Millisecond, busy: 200 * time.Millisecond}
	for _, c := range change {
		c(sub)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the subscriber ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return sub, stop
}

func speaking311(s *Subscriber) { s.old = true }

// versions lists both of MQTT, as changes to a subscriber.
var versions = map[string]func(*Subscriber){"5": func(*Subscriber) {}, "3.1.1": speaking311}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(6 * patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func connected(s *Subscriber) func() bool { return func() bool { return s.State().Connected } }

func TestSubscriberHearsAndAcknowledges(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			p := startBroker(t, broker.Config{}, nil)
			var e ear
			s, _ := listening(t, Subscription{URL: p.Addr(), Filters: []string{"a/#", "b/+/c"}}, e.receive, change)
			eventually(t, "connected", connected(s))
			for i, topic := range []string{"a/1", "b/x/c", "c", "a"} {
				if err := p.Publish(topic, fmt.Append(nil, i), false); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "three messages", func() bool { return len(e.messages()) == 3 })
			if got := e.messages()[1]; got.Topic != "b/x/c" || string(got.Payload) != "1" {
				t.Errorf("got %+v", got)
			}
			if got := s.State(); got.Protocol != version || got.Received != 3 || got.LastError != "" || got.Connections != 1 {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// What the receiver cannot take now is not acknowledged: the connection breaks,
// and it comes again, and what came behind it too unless it was settled.
func TestSubscriberTakesAgainWhatWasNotStored(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			p := startBroker(t, broker.Config{}, nil)
			var refused sync.Once
			e := ear{answer: func(m Message, done func(error)) {
				answer := error(nil)
				if string(m.Payload) == "3" {
					refused.Do(func() { answer = fettle.Errorf(fettle.Busy, "disk is full") })
				}
				go done(answer)
			}}
			s, _ := listening(t, Subscription{URL: p.Addr(), Filters: []string{"sensor/#"}}, e.receive, change)
			eventually(t, "connected", connected(s))
			publish(t, dial(t, Options{URL: p.Addr()}), 0, 10, 1)
			eventually(t, "all are acknowledged", func() bool { return s.State().Acknowledged >= 10 && e.distinct() == 10 })
			if got := s.State(); got.Connections < 2 || got.Resumed < 1 || !strings.Contains(got.LastError, "disk is full") {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// Answers may come in any order; acknowledgements are given in that of arrival.
func TestAcknowledgementsKeepTheOrderOfArrival(t *testing.T) {
	q := newArrivals(10, newBooks("", time.Now), func(err error) { t.Errorf("failed with %v", err) })
	var all []*arrival
	for id := range uint16(4) {
		a, _, err := q.add(t.Context(), delivery{id: id + 1})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	for _, c := range []struct {
		answer int
		want   []byte
	}{{2, nil}, {0, []byte{0x40, 2, 0, 1}}, {1, []byte{0x40, 2, 0, 2, 0x40, 2, 0, 3}}, {3, []byte{0x40, 2, 0, 4}}} {
		q.answer(all[c.answer], nil)
		if got := q.take(nil); !bytes.Equal(got, c.want) {
			t.Errorf("after the answer to %d: % x, want % x", c.answer, got, c.want)
		}
	}
	if n, _ := q.waiting(); n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// A full window holds the reader back, until there is room or the link ends.
func TestArrivalsAreBounded(t *testing.T) {
	q := newArrivals(1, newBooks("", time.Now), func(error) {})
	first, _, err := q.add(t.Context(), delivery{id: 1})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the end"))
	if _, _, err := q.add(ended, delivery{id: 2}); err == nil || err.Error() != "the end" {
		t.Errorf("a second message: %v", err)
	}
	q.answer(first, nil)
	if _, _, err := q.add(t.Context(), delivery{id: 2}); err != nil {
		t.Errorf("with room: %v", err)
	}
}

// A message that comes again after its acknowledgement was lost is not received
// twice; another one under the same identifier is.
func TestSettledMessagesAreKnown(t *testing.T) {
	b := newBooks("", time.Now)
	q := newArrivals(10, b, func(error) {})
	a, _, _ := q.add(t.Context(), delivery{id: 7, identity: []byte("x")})
	q.answer(a, nil)
	for _, c := range []struct {
		note string
		d    delivery
		want bool
	}{
		{"the same again", delivery{id: 7, again: true, identity: []byte("x")}, true},
		{"another one", delivery{id: 7, again: true, identity: []byte("y")}, false},
		{"under another identifier", delivery{id: 8, again: true, identity: []byte("x")}, false},
		{"a new one with the same bytes", delivery{id: 7, identity: []byte("x")}, false},
	} {
		if _, settled, _ := q.add(t.Context(), c.d); settled != c.want {
			t.Errorf("%s: settled %v, want %v", c.note, settled, c.want)
		}
	}
	b.connected(&link{arrivals: q})
	if _, settled, _ := q.add(t.Context(), delivery{id: 7, again: true, identity: []byte("x")}); settled {
		t.Error("a new session remembers the old one's messages")
	}
}

func TestSubscriberStopsWithItsAnswers(t *testing.T) {
	p := startBroker(t, broker.Config{}, nil)
	answers := make(chan func(error), 1)
	e := ear{answer: func(_ Message, done func(error)) { answers <- done }}
	s, stop := listening(t, Subscription{URL: p.Addr(), Filters: []string{"sensor/#"}}, e.receive)
	eventually(t, "connected", connected(s))
	publish(t, dial(t, Options{URL: p.Addr()}), 0, 1, 1)
	done := <-answers
	if got := s.State(); got.Waiting != 1 || got.Acknowledged != 0 {
		t.Errorf("before the answer: %+v", got)
	}
	go done(nil)
	stop()
	if got := s.State(); got.Waiting != 0 || got.Acknowledged != 1 || got.Connected {
		t.Errorf("after the answer: %+v", got)
	}
}

func TestSubscriberRefusesOurOwnBroker(t *testing.T) {
	p := startBroker(t, broker.Config{}, nil)
	var e ear
	for _, url := range []string{"mqtt://" + p.Addr(), "ws://" + p.WebSocketAddr()} {
		s, _ := listening(t, Subscription{URL: url, Own: func() []string { return []string{p.Addr(), p.WebSocketAddr()} }}, e.receive)
		eventually(t, "refused", func() bool { return strings.Contains(s.State().LastError, "fettle's own") })
		if s.State().Connections != 0 {
			t.Error("it connected")
		}
	}
}

func TestSubscriberOverWebSocket(t *testing.T) {
	p := startBroker(t, broker.Config{}, nil)
	var e ear
	s, _ := listening(t, Subscription{URL: "ws://" + p.WebSocketAddr(), Filters: []string{"sensor/#"}}, e.receive)
	eventually(t, "connected", connected(s))
	publish(t, dial(t, Options{URL: p.Addr()}), 0, 100, 1)
	eventually(t, "all are acknowledged", func() bool { return s.State().Acknowledged == 100 })
}

func TestBadSubscriptions(t *testing.T) {
	good := func() Subscription {
		return Subscription{URL: "mqtt://127.0.0.1", ClientID: "a", Filters: []string{"#"}}
	}
	for _, c := range []struct {
		change func(*Subscription)
		want   string
	}{
		{func(s *Subscription) { s.URL = "http://x" }, "mqtt://"},
		{func(s *Subscription) { s.URL = "mqtt://me:hunter2@h" }, "no user and password in the URL"},
		{func(s *Subscription) { s.ClientID = "" }, "a name that stays the same"},
		{func(s *Subscription) { s.Window = MaxWindow + 1 }, "1 to 65535 messages"},
		{func(s *Subscription) { s.Filters = nil }, "0 topics"},
		{func(s *Subscription) { s.Password = strings.Repeat("x", maxText+1) }, "at most 65535 bytes"},
		{func(s *Subscription) { s.TLS.CA = "no/such" }, "read certificates"},
		{func(s *Subscription) { s.TLS.Cert = "no/such" }, "read our certificate"},
	} {
		s := good()
		c.change(&s)
		_, err := NewSubscriber(s, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := NewSubscriber(good(), nil); err != nil {
		t.Error(err)
	}
}

// Pauses go from a second to five minutes, each a random one of its range.
func TestPauses(t *testing.T) {
	p := pauses{least: time.Second, most: 5 * time.Minute, busy: 30 * time.Second}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 150, 150} {
		if got := p.next(errors.New("gone")); got < want*time.Second || got >= 2*want*time.Second {
			t.Errorf("pause %d is %v, want %vs to twice that", i, got, want)
		}
	}
	if got := p.next(&notTaken{errors.New("disk is full")}); got >= 30*time.Second {
		t.Errorf("for a full disk it pauses %v", got)
	}
	p.reset()
	if got := p.next(errors.New("gone")); got >= 2*time.Second {
		t.Errorf("after a good connection it pauses %v", got)
	}
}

// No packet of any bytes makes the subscriber fail but with an error.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0}, true)
	f.Add([]byte{0x20, 9, 0, 0, 6, 0x13, 0, 9, 0x1F, 0, 0}, true)
	f.Add([]byte{0x32, 9, 0, 1, 'a', 0, 7, 0, '{', '}', ' '}, true)
	f.Add([]byte{0x3B, 7, 0, 1, 'a', 0, 7, 'x', 'y'}, false)
	f.Add([]byte{0x90, 4, 0, 1, 0, 0x80}, true)
	f.Add([]byte{0xE0, 6, 0x8E, 4, 0x1F, 0, 1, 'x'}, true)
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1}, false)
	f.Fuzz(func(t *testing.T, stream []byte, newer bool) {
		v := mqtt311
		if newer {
			v = mqtt5
		}
		r := bufio.NewReader(bytes.NewReader(stream))
		for {
			f, err := readFrame(r)
			if err != nil {
				return
			}
			if d, err := v.parsePublish(f); err == nil && f.kind == publishKind && (d.qos > 1 || (d.id == 0) != (d.qos == 0)) {
				t.Errorf("%+v", d)
			}
			_, _ = v.parseConnack(f.body) // whatever they say, they must not panic
			_, _ = v.parseSuback(f.body)
			parseDisconnect(f.body)
		}
	})
}

// A packet that is too long is cut, and the next one is read whole.
func TestLongPacket(t *testing.T) {
	long := packetOf(publishKind<<4, append(appendText(nil, "a"), make([]byte, 3*maxPayload)...))
	r := bufio.NewReader(bytes.NewReader(append(long, appendPuback(nil, 9)...)))
	f, err := readFrame(r)
	if err != nil || len(f.body) != maxBody {
		t.Fatalf("%d bytes, %v", len(f.body), err)
	}
	if d, err := mqtt311.parsePublish(f); err != nil || len(d.payload) <= maxPayload {
		t.Errorf("a payload of %d bytes does not show that it is too long (%v)", len(d.payload), err)
	}
	if f, err = readFrame(r); err != nil || f.kind != pubackKind {
		t.Errorf("next: %+v, %v", f, err)
	}
}

// A topic that the broker does not grant is named, and the others come.
func TestSubscriberRefusedATopic(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			p := startBroker(t, broker.Config{Limits: broker.Limits{Subscriptions: 1}}, nil)
			var e ear
			s, _ := listening(t, Subscription{URL: p.Addr(), Filters: []string{"sensor/#", "plant/#"}}, e.receive, change)
			eventually(t, "the refusal", func() bool { return strings.Contains(s.State().LastError, "refuses the subscription to plant/#") })
			publish(t, dial(t, Options{URL: p.Addr()}), 0, 1, 1)
			eventually(t, "the message", func() bool { return len(e.messages()) == 1 })
			if got := s.State(); !got.Connected || got.Connections != 1 {
				t.Errorf("state %+v", got)
			}
		})
	}
}
