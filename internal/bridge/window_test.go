package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"fettle"
)

// A wire is a connection that keeps what is written to it.
type wire struct {
	mu     sync.Mutex
	bytes  bytes.Buffer
	closed bool
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	return w.bytes.Write(p)
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

// take returns the messages that were written since the last time.
func (w *wire) take(t interface{ Fatal(...any) }) (messages []*packets.Publish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes.Len() > 0 {
		p, err := packets.ReadPacket(&w.bytes)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, p.Content.(*packets.Publish))
	}
	return messages
}

func texts(messages []*packets.Publish) string {
	var list []string
	for _, m := range messages {
		list = append(list, string(m.Payload))
	}
	return strings.Join(list, " ")
}

// connect gives the window a connection to a broker with such limits.
func connect(w *window, receiveMaximum uint16, largest uint32) *wire {
	conn := &wire{}
	answer := &packets.Connack{Properties: &packets.Properties{}}
	if receiveMaximum > 0 {
		answer.Properties.ReceiveMaximum = &receiveMaximum
	}
	if largest > 0 {
		answer.Properties.MaximumPacketSize = &largest
	}
	w.ConAckReceived(conn, nil, answer)
	return conn
}

func answer(w *window, m *packets.Publish, reason byte) {
	p := packets.NewControlPacket(packets.PUBACK)
	p.Content.(*packets.Puback).PacketID, p.Content.(*packets.Puback).ReasonCode = m.PacketID, reason
	w.PacketReceived(p, nil)
}

// inBubble runs a test on a window of a size, in time that passes by itself.
func inBubble(t *testing.T, size int, test func(t *testing.T, w *window)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(size)
		w.start()
		test(t, w)
		w.stop()
		w.wait()
	})
}

func put(t *testing.T, w *window, qos byte, payloads ...string) {
	t.Helper()
	for _, payload := range payloads {
		if err := w.put(t.Context(), "a", []byte(payload), qos); err != nil {
			t.Fatal(err)
		}
	}
}

// wantSent waits until nothing moves, and compares what was sent.
func wantSent(t *testing.T, conn *wire, want string) []*packets.Publish {
	t.Helper()
	synctest.Wait()
	got := conn.take(t)
	if texts(got) != want {
		t.Fatalf("sent %q, want %q", texts(got), want)
	}
	return got
}

func TestWindowSendsInOrderWithoutWaiting(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		put(t, w, 1, "a", "b")
		conn := connect(w, 0, 0)
		put(t, w, 0, "c")
		put(t, w, 1, "d")
		sent := wantSent(t, conn, "a b c d")
		answer(w, sent[1], 0) // in any order
		answer(w, sent[0], 0)
		answer(w, sent[0], 0) // once more than asked
		if got := w.count(); got != (Stats{Sent: 4, Acknowledged: 2}) {
			t.Errorf("stats are %+v", got)
		}
		answer(w, sent[3], 0x10) // nobody listens, which is no fault
		if err := w.flush(t.Context()); err != nil {
			t.Errorf("flush: %v", err)
		}
	})
}

func TestWindowIsBounded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, w *window) {
		conn := connect(w, 0, 0)
		put(t, w, 1, "a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.put(ctx, "a", []byte("c"), 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third message into a full window: %v", err)
		}
		if err := w.flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "2 messages are not acknowledged") {
			t.Errorf("flush: %v", err)
		}
		done := make(chan error)
		go func() { done <- w.put(t.Context(), "a", []byte("d"), 1) }()
		answer(w, wantSent(t, conn, "a b")[0], 0)
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantSent(t, conn, "d")
	})
}

func TestWindowKeepsToTheBrokersLimits(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		conn := connect(w, 2, 100)
		put(t, w, 1, "a", "b", "c")
		sent := wantSent(t, conn, "a b")
		answer(w, sent[0], 0)
		wantSent(t, conn, "c")
		if err := w.put(t.Context(), "a", make([]byte, 90), 1); fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("a packet larger than the broker takes: %v", err)
		}
	})
}

func TestWindowSendsAgainOnANewConnection(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		conn := connect(w, 0, 0)
		put(t, w, 1, "a", "b", "c")
		answer(w, wantSent(t, conn, "a b c")[1], 0)
		w.ConnectionLost(nil)
		put(t, w, 1, "d")
		wantSent(t, conn, "")
		conn = connect(w, 1, 0)
		answer(w, wantSent(t, conn, "a")[0], 0)
		answer(w, wantSent(t, conn, "c")[0], 0)
		wantSent(t, conn, "d")
		if got := w.count(); got != (Stats{Sent: 4, Acknowledged: 3}) {
			t.Errorf("stats are %+v", got)
		}
	})
}

func TestWindowSurvivesAFailedWrite(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		broken := connect(w, 0, 0)
		broken.Close()
		put(t, w, 0, "a")
		put(t, w, 1, "b")
		wantSent(t, broken, "")
		wantSent(t, connect(w, 0, 0), "a b")
	})
}

func TestWindowRepeatsWhatABusyBrokerRefused(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		began := time.Now()
		conn := connect(w, 0, 0)
		put(t, w, 1, "a", "b", "c")
		sent := wantSent(t, conn, "a b c")
		answer(w, sent[0], 0x97)
		put(t, w, 1, "d")
		answer(w, sent[1], 0x97)
		wantSent(t, conn, "") // held back, so that nothing overtakes
		time.Sleep(firstHold)
		sent = wantSent(t, conn, "a b d")
		answer(w, sent[0], 0x97)
		time.Sleep(2 * firstHold) // longer each time
		wantSent(t, conn, "a")
		if took := time.Since(began); took != 3*firstHold {
			t.Errorf("took %v, want %v", took, 3*firstHold)
		}
	})
}

// TestWindowRepeatsWhatNobodyShouldRefuse: PUBACK has no reason 0x8b.
func TestWindowRepeatsWhatNobodyShouldRefuse(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		conn := connect(w, 0, 0)
		put(t, w, 1, "a")
		answer(w, wantSent(t, conn, "a")[0], 0x8b)
		time.Sleep(firstHold)
		wantSent(t, conn, "a")
	})
}

func TestWindowGivesUpWhatIsForbidden(t *testing.T) {
	inBubble(t, 10, func(t *testing.T, w *window) {
		conn := connect(w, 0, 0)
		put(t, w, 1, "a", "b")
		for _, m := range wantSent(t, conn, "a b") {
			answer(w, m, 0x87)
		}
		err := w.flush(t.Context())
		if fettle.KindOf(err) != fettle.Forbidden || err.Error() != "mqtt broker refused 2 messages: reason 0x87 on a" {
			t.Errorf("flush: %v", err)
		}
		if err := w.flush(t.Context()); err != nil {
			t.Errorf("the next flush: %v", err)
		}
		if got := w.count(); got != (Stats{Sent: 2, Refused: 2}) {
			t.Errorf("stats are %+v", got)
		}
	})
}

func TestWindowClosed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *window) {
		put(t, w, 1, "a")
		waiting := make(chan error)
		go func() { waiting <- w.flush(t.Context()) }()
		synctest.Wait()
		w.stop()
		if err := <-waiting; fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("flush: %v", err)
		}
		if err := w.put(t.Context(), "a", nil, 1); fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("put: %v", err)
		}
	})
}

// TestWindowDeliversAll plays a broker that acknowledges, is busy and breaks
// the connection at random: in the end it has every message, and those that it
// takes for the first time come in order unless it was busy.
func TestWindowDeliversAll(t *testing.T) {
	const n = 50
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		inBubble(t, 1+random.IntN(20), func(t *testing.T, w *window) {
			go func() {
				for i := range n {
					put(t, w, 1, fmt.Sprintf("%02d", i))
				}
			}()
			var taken []string
			var pending []*packets.Publish
			var conn *wire
			busy := false
			for len(taken) < n {
				if conn == nil {
					conn, pending = connect(w, uint16(random.IntN(6)), 0), nil
				}
				synctest.Wait()
				if pending = append(pending, conn.take(t)...); len(pending) == 0 {
					time.Sleep(firstHold)
					continue
				}
				m := pending[0]
				pending = pending[1:]
				switch what := random.IntN(10); {
				case what == 0: // the answer is lost
					taken = appendNew(taken, m)
					fallthrough
				case what == 1: // the message is
					w.ConnectionLost(nil)
					conn = nil
				case what == 2 && seed%2 == 0:
					busy = true
					answer(w, m, 0x97)
				default:
					taken = appendNew(taken, m)
					answer(w, m, 0)
				}
			}
			if !busy && !slices.IsSorted(taken) {
				t.Errorf("seed %d: taken in the order %v", seed, taken)
			}
			if got := w.count(); got.Sent != n || got.Refused != 0 {
				t.Errorf("seed %d: stats are %+v", seed, got)
			}
		})
	}
}

func appendNew(taken []string, m *packets.Publish) []string {
	if slices.Contains(taken, string(m.Payload)) {
		return taken
	}
	return append(taken, string(m.Payload))
}
