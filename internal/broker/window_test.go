package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// held is a Receive that keeps messages until the test says what became of
// them.
type held struct {
	mu       sync.Mutex
	messages []Message
	done     []func(error)
}

func (h *held) receive(_ context.Context, m Message, done func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, m)
	h.done = append(h.done, done)
}

// wait returns when n messages have been received in all.
func (h *held) wait(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " messages are received"), func() bool { return h.count() >= n })
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.done)
}

func (h *held) settle(i int, err error) {
	h.mu.Lock()
	done := h.done[i]
	h.mu.Unlock()
	done(err)
}

// hold runs a broker with a held.
func hold(t testing.TB, cfg Config) (*Broker, *held) {
	t.Helper()
	h := &held{}
	cfg.Wants = sensors
	b, stop := startReceiving(t, cfg, h.receive, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("broker stopped with %v", err)
		}
	})
	return b, h
}

var errBusy = fettle.Errorf(fettle.Busy, "queue is full")

func TestAnswersComeInTheOrderOfMessages(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		b, h := hold(t, Config{})
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("#", 0)
		c := dial(t, b, version, "c")
		c.publish("sensor/data", "a", 1, 11)
		c.publish("sensor/data", "b", 2, 12)
		c.publish("other", "c", 1, 13)
		c.publish("sensor/data", "d", 1, 14)
		h.wait(t, 3) // the next are taken while the first waits
		h.settle(2, nil)
		h.settle(1, nil)
		c.ping() // no answer before that of the first
		watcher.ping()
		h.settle(0, nil)
		for _, want := range []struct {
			packet byte
			id     uint16
		}{{packets.Puback, 11}, {packets.Pubrec, 12}, {packets.Puback, 13}, {packets.Puback, 14}} {
			if pk := c.want(want.packet); pk.PacketID != want.id || pk.ReasonCode != 0 {
				t.Errorf("answered %+v, want id %d", pk, want.id)
			}
		}
		for _, want := range []string{"sensor/data a", "sensor/data b", "other c", "sensor/data d"} {
			topic, payload, _ := strings.Cut(want, " ")
			watcher.wantMessage(topic, payload)
		}
	})
}

func TestOneRefusedAmongOthers(t *testing.T) {
	for _, version := range versions {
		b, h := hold(t, Config{})
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("#", 0)
		c := dial(t, b, version, "c")
		for i, payload := range []string{"a", "b", "c"} {
			c.publish("sensor/data", payload, 1, uint16(i+1))
		}
		h.wait(t, 3)
		h.settle(2, nil)
		h.settle(1, errBusy)
		h.settle(0, nil)
		c.want(packets.Puback)
		if version == 5 {
			if pk := c.want(packets.Puback); pk.PacketID != 2 || pk.ReasonCode != packets.ErrQuotaExceeded.Code {
				t.Errorf("the refused one is answered %+v", pk)
			}
			c.want(packets.Puback)
		} else if pk, err := c.tryRead(); err == nil {
			t.Errorf("after a refusal came %+v, want a closed connection", pk)
		}
		watcher.wantMessage("sensor/data", "a")
		watcher.wantMessage("sensor/data", "c") // taken, whoever hears of it
		watcher.ping()
	}
}

// A window that is full is not read on, and costs nobody else anything.
func TestWindowIsBounded(t *testing.T) {
	for _, c := range []struct {
		payload string
		fit     int
	}{{"x", windowMessages}, {strings.Repeat("x", windowBytes/4), 4}, {strings.Repeat("x", windowBytes), 1}} {
		b, h := hold(t, Config{})
		full, other := dial(t, b, 4, "full"), dial(t, b, 4, "other")
		go func() {
			for i := range c.fit + 10 {
				if full.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: "sensor/data", Payload: []byte(c.payload), PacketID: uint16(i + 1)}) != nil {
					return
				}
			}
		}()
		h.wait(t, c.fit)
		other.publish("other", "y", 1, 1)
		other.want(packets.Puback)
		if got := h.count(); got != c.fit {
			t.Errorf("%d messages of %d bytes are on their way, want %d", got, len(c.payload), c.fit)
		}
		for i := range c.fit + 10 {
			h.wait(t, i+1)
			h.settle(i, nil)
			full.want(packets.Puback)
		}
	}
	b := start(t, Config{}, nil)
	if _, answer := knock(t, b, 5, "c"); answer.Properties.ReceiveMaximum != windowMessages {
		t.Errorf("MQTT 5 clients are told a window of %d, want %d", answer.Properties.ReceiveMaximum, windowMessages)
	}
}

// A client that goes while its messages wait leaves nothing behind, and those
// that are taken after all reach the subscribers.
func TestClientGoesWithMessagesOnTheirWay(t *testing.T) {
	b, h := hold(t, Config{})
	watcher := dial(t, b, 4, "watcher")
	watcher.subscribe("#", 0)
	c := dial(t, b, 4, "c")
	c.publish("sensor/data", "a", 1, 1)
	c.publish("sensor/data", "b", 1, 2)
	h.wait(t, 2)
	c.net.Close()
	eventually(t, "the client is gone", func() bool { return b.Stats().Clients == 1 })
	again := dial(t, b, 4, "c")
	again.publish("sensor/data", "a", 1, 1)
	h.wait(t, 3)
	h.settle(0, nil)
	h.settle(1, errBusy)
	watcher.wantMessage("sensor/data", "a")
	again.ping() // the answer of the old connection is not for the new one
	h.settle(2, nil)
	again.want(packets.Puback)
	watcher.wantMessage("sensor/data", "a")
}

// What nobody settles does not keep the broker from stopping, and a late word
// about it does no harm.
func TestStopWithMessagesOnTheirWay(t *testing.T) {
	h := &held{}
	b, stop := startReceiving(t, Config{Wants: sensors}, h.receive, slog.New(slog.DiscardHandler))
	c := dial(t, b, 5, "c")
	c.publish("sensor/data", "a", 1, 1)
	h.wait(t, 1)
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	c.wantClosed()
	h.settle(0, nil)
}

func TestReceivedOnceAtQoS2(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		again := func(c *client) {
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: true}, TopicName: "sensor/data", Payload: []byte("a"), PacketID: 7})
		}
		release := func(c *client) packets.Packet {
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: 7})
			return c.want(packets.Pubcomp)
		}
		b, h := hold(t, Config{})
		watcher := dial(t, b, version, "watcher")
		watcher.subscribe("#", 0)
		c := dial(t, b, version, "c", longSession)
		c.publish("sensor/data", "a", 2, 7)
		h.wait(t, 1)
		c.net.Close()
		c = dial(t, b, version, "c", longSession) // and the first still waits
		again(c)
		c.ping()
		h.settle(0, nil)
		c.want(packets.Pubrec)
		again(c)
		c.want(packets.Pubrec)
		if pk := release(c); pk.ReasonCode != 0 {
			t.Errorf("released: %+v", pk)
		}
		if pk := release(c); version == 5 && pk.ReasonCode != packets.ErrPacketIdentifierNotFound.Code {
			t.Errorf("released twice: %+v", pk)
		}
		watcher.wantMessage("sensor/data", "a")
		watcher.ping()
		if got := h.count(); got != 1 {
			t.Errorf("received %d times, want once", got)
		}
		// The id is free again, and after a refusal too.
		c.publish("sensor/data", "b", 2, 7)
		h.wait(t, 2)
		h.settle(1, nil)
		c.want(packets.Pubrec)
		// A new session knows nothing of it.
		c = dial(t, b, version, "c")
		c.publish("sensor/data", "c", 2, 7)
		h.wait(t, 3)
		h.settle(2, nil)
		c.want(packets.Pubrec)
	})
}

// A client that never releases what it sent at QoS 2 is not remembered for ever.
func TestUnreleasedAreBounded(t *testing.T) {
	b := start(t, Config{}, nil)
	c := dial(t, b, 5, "c")
	for i := range maxUnreleased + 1 {
		c.publish("a", "x", 2, uint16(i+1))
		if got, over := c.want(packets.Pubrec).ReasonCode, i == maxUnreleased; (got == packets.ErrQuotaExceeded.Code) != over {
			t.Fatalf("message %d is answered %#x", i+1, got)
		}
	}
	c.publish("a", "x", 2, 1) // again
	c.want(packets.Pubrec)
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: 1})
	c.want(packets.Pubcomp)
	c.publish("a", "x", 2, maxUnreleased+1)
	if got := c.want(packets.Pubrec).ReasonCode; got != 0 {
		t.Errorf("answered %#x", got)
	}
}

func longSession(pk *packets.Packet) {
	pk.Connect.Clean = false
	pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 3600, true
}

// Ids of what a client sends and of what it is sent have nothing to do with
// each other, though they are the same numbers.
func TestIdsOfBothDirections(t *testing.T) {
	b := start(t, Config{Wants: sensors}, nil)
	c := dial(t, b, 4, "c", keptSession)
	c.subscribe("news", 1)
	if err := b.Publish("news", []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	id := c.wantMessage("news", "x").PacketID
	c.publish("sensor/data", "a", 1, id)
	c.want(packets.Puback)
	c.publish("sensor/data", "a", 2, id)
	c.want(packets.Pubrec)
	c.net.Close()
	c = dial(t, b, 4, "c", keptSession)
	c.wantMessage("news", "x") // was never acknowledged
}

func TestNoLocal(t *testing.T) {
	b := start(t, Config{Wants: sensors}, nil)
	c := dial(t, b, 5, "c")
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: "#", NoLocal: true}}})
	c.want(packets.Suback)
	other := dial(t, b, 5, "other")
	for _, topic := range []string{"sensor/data", "news"} {
		c.publish(topic, "mine", 1, 1)
		c.want(packets.Puback)
		other.publish(topic, "theirs", 1, 1)
		other.want(packets.Puback)
		c.wantMessage(topic, "theirs")
	}
}

// TestSubscriberHoldsPublishersUp has more published than a subscriber's outbox
// takes; as it goes on reading, it gets everything.
func TestSubscriberHoldsPublishersUp(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		b := start(t, Config{Wants: sensors, Limits: Limits{Queue: 200 << 10, patience: patience}}, nil)
		watcher := dial(t, b, 4, "watcher")
		watcher.subscribe("#", qos)
		const clients, n = 10, 1000
		for i := range clients {
			c := dial(t, b, 4, fmt.Sprint("c", i))
			go func() {
				for id := range n {
					if c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: "sensor/data", PacketID: uint16(id + 1)}) != nil {
						return
					}
				}
			}()
			go func() {
				for {
					if pk, err := c.tryRead(); err != nil {
						return
					} else if pk.FixedHeader.Type == packets.Pubrec {
						_ = c.trySend(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: pk.PacketID})
					}
				}
			}()
		}
		for got := 0; got < clients*n; {
			switch pk := watcher.read(); pk.FixedHeader.Type {
			case packets.Publish:
				got++
				if qos == 1 {
					watcher.acknowledge(pk)
				} else {
					watcher.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: pk.PacketID})
				}
			case packets.Pubrel:
				watcher.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: pk.PacketID})
			}
		}
		if got := b.Stats().Dropped; got != 0 {
			t.Errorf("QoS %d: %d were dropped", qos, got)
		}
	}
}

func TestWindowSettlesInAnyOrder(t *testing.T) {
	w := window{all: newWindows()}
	w.changed.L = &w.mu
	var answered []uint16
	w.answer = func(batch []*message) {
		for _, m := range batch {
			answered = append(answered, m.id)
		}
	}
	messages := make([]*message, 100)
	for i := range messages {
		messages[i] = &message{letter: &letter{}, id: uint16(i)}
		w.add(messages[i])
	}
	var settlers sync.WaitGroup
	for i := range messages {
		settlers.Go(func() {
			time.Sleep(time.Duration((i*37)%11) * time.Millisecond)
			w.settle(messages[(i*37)%100], taken, false)
			w.settle(messages[i], packets.ErrQuotaExceeded, false) // perhaps too late
		})
	}
	settlers.Wait()
	w.wait()
	for i, id := range answered {
		if int(id) != i {
			t.Fatalf("answered %v", answered)
		}
	}
	if len(answered) != len(messages) {
		t.Errorf("%d are answered", len(answered))
	}
}

// A receive that says what it thinks twice, or of a message that is long gone,
// changes nothing.
func TestFirstWordCounts(t *testing.T) {
	b, h := hold(t, Config{})
	c := dial(t, b, 5, "c")
	c.publish("sensor/data", "a", 2, 1)
	h.wait(t, 1)
	h.settle(0, nil)
	h.settle(0, errors.New("no"))
	if pk := c.want(packets.Pubrec); pk.ReasonCode != 0 {
		t.Errorf("answered %+v", pk)
	}
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: true}, TopicName: "sensor/data", PacketID: 1})
	c.want(packets.Pubrec)
	if got := h.count(); got != 1 {
		t.Errorf("received %d times, want once", got)
	}
}
