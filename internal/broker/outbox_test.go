package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A told is an outboxListener that remembers.
type told struct {
	changes map[uint64]int
	lines   []string
	kept    map[string]*letter
}

func (t *told) noted(_ string, number uint64) { t.changes[number]++ }
func (t *told) fellBehind(_ *outbox, setting string, limit int) {
	t.lines = append(t.lines, fmt.Sprintf("behind %s, %d", setting, limit))
}
func (t *told) caughtUp(_ *outbox, lost int) {
	t.lines = append(t.lines, fmt.Sprint("caught up, lost ", lost))
}
func (t *told) retainedUnder(string) (topics []string) {
	for topic := range t.kept {
		topics = append(topics, topic)
	}
	return topics
}
func (t *told) retainedOn(topic string) (*letter, bool) { l, found := t.kept[topic]; return l, found }

// boxed is an outbox whose connection is written to a pipe that nobody reads.
func boxed(t *testing.T, each, total, open int) (*outbox, *conn, *told) {
	tell := &told{changes: map[uint64]int{}, kept: map[string]*letter{}}
	o := newOutboxes(tell, Limits{Queue: each, QueueTotal: total}).open("c", true)
	here, there := net.Pipe()
	c := newConn(here)
	c.closed = true // the test takes what it would send
	t.Cleanup(func() { here.Close(); there.Close() })
	o.attach(c, terms{version: 4, kept: true, open: open, grant: func() *grant { return nil }})
	return o, c, tell
}

func post(n int, qos byte) *letter {
	return &letter{topic: "t", payload: bytes.Repeat([]byte("x"), n), qos: qos}
}

// costOf is what post(n) takes.
func costOf(n int) int { return (&delivery{letter: post(n, 0)}).cost() }

func TestOutboxIsBoundedInBytes(t *testing.T) {
	sub := packets.Subscription{Qos: 1}
	for _, c := range []struct {
		name        string
		each, total int
		sizes       []int
		want        int // of them fit
	}{
		{"each", 3 * costOf(100), 100 * costOf(100), []int{100, 100, 100, 100}, 3},
		{"a small one after one too large", 2 * costOf(100), 100 * costOf(100), []int{100, 1000, 100}, 2},
		{"one of any size alone", costOf(100), 100 * costOf(100), []int{10_000}, 1},
		{"all together", 100 * costOf(100), 3 * costOf(100), []int{100, 100, 100, 100}, 3},
		{"one larger than all together", costOf(100), 2 * costOf(100), []int{1000, 100}, 1},
	} {
		o, _, _ := boxed(t, c.each, c.total, 10)
		for _, n := range c.sizes {
			o.add(post(n, 1), sub)
		}
		if got, lost := len(o.waiting), int(o.room.lost.Load()); got != c.want || lost != len(c.sizes)-c.want {
			t.Errorf("%s: %d wait and %d are lost, want %d", c.name, got, lost, c.want)
		}
		if o.close(); o.room.used.Load() != 0 {
			t.Errorf("%s: %d bytes of nothing", c.name, o.room.used.Load())
		}
	}
}

// A dead subscriber, or many, leaves room for one that is alive.
func TestRoomIsShared(t *testing.T) {
	const total = 1 << 20
	s := newOutboxes(&told{changes: map[uint64]int{}}, Limits{Queue: total, QueueTotal: total})
	sub := packets.Subscription{Qos: 1}
	away := func(id string) *outbox {
		o := s.open(id, true)
		o.terms.kept = true
		return o
	}
	const dead = 20
	for i := range dead {
		o := away(fmt.Sprint(i))
		for range total / 1000 {
			s.add(o, post(1000, 1), sub)
		}
		if used := s.room.used.Load(); used > total {
			t.Fatalf("%d bytes are used", used)
		}
	}
	last := away("last")
	want := total / (dead + 1) / costOf(1000)
	for range want {
		s.add(last, post(1000, 1), sub)
	}
	if got := len(last.waiting); got != want || last.lost > 0 {
		t.Errorf("%d of %d have room in the share of one that is alive", got, want)
	}
	most := 0
	for _, o := range s.all() {
		most = max(most, o.size())
	}
	if most > 2*total/dead {
		t.Errorf("one uses %d bytes", most)
	}
	for id := range s.byClient {
		s.forget(id)
	}
	if used, holders := s.room.used.Load(), s.room.holders.Load(); used != 0 || holders != 0 {
		t.Errorf("%d bytes of %d are used by nobody", used, holders)
	}
}

// One that gets messages and acknowledges none has no right to keep the room.
func TestRoomIsTakenFromTheUnacknowledged(t *testing.T) {
	o, c, tell := boxed(t, 1<<20, 1<<20, 1000)
	for range 10 {
		o.add(post(100, 1), packets.Subscription{Qos: 1})
	}
	o.fill(nil, c)
	o.shrink(3 * costOf(100))
	if o.bytes != 3*costOf(100) || o.unacked != o.bytes || len(o.sent) != 3 || o.sent[3] == nil || len(tell.lines) != 1 {
		t.Errorf("%d bytes, %d unacknowledged in %d, told %v", o.bytes, o.unacked, len(o.sent), tell.lines)
	}
	o.acknowledged(9) // which it took from us
	o.acknowledged(1)
	if o.bytes != 2*costOf(100) {
		t.Errorf("%d bytes", o.bytes)
	}
}

func TestOutboxSendsInOrder(t *testing.T) {
	o, c, _ := boxed(t, 1<<20, 1<<20, 2)
	for i := range 4 {
		o.add(&letter{topic: fmt.Sprint(i), qos: 2}, packets.Subscription{Qos: byte(min(i, 2))})
	}
	o.add(post(copyBytes+1, 1), packets.Subscription{Qos: 1})
	batch := func() string {
		out, tail := o.fill(nil, c)
		return fmt.Sprintf("%q+%d", out, len(tail))
	}
	want := func(what, want string) {
		t.Helper()
		if got := batch(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
		}
	}
	want("two without an answer", `"0\x03\x00\x010`+`2\x05\x00\x011\x00\x01`+`4\x05\x00\x012\x00\x02"+0`)
	want("nothing before one comes", `""+0`)
	o.acknowledged(1)
	want("one more", `"4\x05\x00\x013\x00\x03"+0`)
	if !o.received(2) || o.received(9) || o.received(1) {
		t.Error("PUBREC is for what was sent")
	}
	o.detach(c, true, o.terms.grant)
	o.attach(c, o.terms)
	want("again on the next connection, from where it was", `"b\x02\x00\x02`+`<\x05\x00\x013\x00\x03"+0`)
	o.acknowledged(2)
	o.acknowledged(2) // nonsense
	want("a large payload is not copied", `"2\x86 \x00\x01t\x00\x04"+4097`)
	o.acknowledged(3)
	o.acknowledged(4)
	if o.bytes != 0 || o.unacked != 0 || o.open != 0 || o.room.used.Load() != 0 {
		t.Errorf("left over: %d bytes, %d unacknowledged in %d", o.bytes, o.unacked, o.open)
	}
}

func TestOutboxKeepsWhatTheSessionKeeps(t *testing.T) {
	o, c, tell := boxed(t, 1<<20, 1<<20, 1)
	for _, qos := range []byte{1, 1, 0} {
		o.add(post(1, qos), packets.Subscription{Qos: 1})
	}
	o.fill(nil, c)
	o.detach(c, true, o.terms.grant)
	o.add(post(1, 0), packets.Subscription{Qos: 1})
	o.add(post(1, 1), packets.Subscription{Qos: 1})
	if len(o.sent) != 1 || len(o.waiting) != 2 || len(tell.changes) != 3 || o.bytes != 3*costOf(1) {
		t.Errorf("%d sent, %d wait, %d noted, %d bytes", len(o.sent), len(o.waiting), len(tell.changes), o.bytes)
	}
	o.attach(c, o.terms)
	o.fill(nil, c)
	o.detach(c, true, o.terms.grant)
	if tell.changes[1] != 1 || tell.changes[2] != 1 {
		t.Errorf("what did not change is noted again: %v", tell.changes)
	}
	if other := newConn(nil); o.detach(other, true, o.terms.grant) {
		t.Error("the end of another connection detaches it")
	}
}

func TestOutboxHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c, tell := boxed(t, 8*costOf(100), 1<<20, 100)
		sub := packets.Subscription{Qos: 1}
		fill := func(n int) (held <-chan struct{}) {
			for range n {
				held, _ = o.add(post(100, 1), sub)
			}
			return held
		}
		waits := func(held <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-held:
				return false
			default:
				return true
			}
		}
		if fill(4) != nil {
			t.Error("publishers wait for one that is half behind")
		}
		time.Sleep(holdTime / 2)
		held := fill(1)
		if atQoS0, _ := o.add(post(100, 0), sub); held == nil || atQoS0 != nil {
			t.Error("publishers wait when it is more than half behind, at QoS 1")
		}
		o.fill(nil, c)
		o.fill(nil, c)
		for id := range uint16(3) {
			o.acknowledged(id + 1)
		}
		if waits(held) {
			t.Error("they wait for one that has caught up to a quarter")
		}
		held = fill(5)
		time.Sleep(holdTime - 1)
		if !waits(held) {
			t.Error("they do not wait as long after a sign of life")
		}
		time.Sleep(time.Nanosecond)
		if waits(held) {
			t.Error("they wait for a dead one")
		}
		if fill(5) != nil {
			t.Error("they wait for it again")
		}
		if got := strings.Join(tell.lines, "; "); got != fmt.Sprintf("behind mqtt.max_queued, %d", 8*costOf(100)) {
			t.Error(got)
		}
		for o.bytes > 0 {
			o.fill(nil, c)
			for id := range o.sent {
				o.acknowledged(id)
				break
			}
		}
		if got := strings.Join(tell.lines[1:], "; "); got != "caught up, lost 4" {
			t.Error(got)
		}
		time.Sleep(2 * holdTime) // silent, but it had nothing to say
		if fill(8) != nil {
			t.Error("they wait for one that shows no sign of life")
		}
	})
}

// What is retained for a new subscriber takes no room before it is sent, and it
// comes before what was published later.
func TestOutboxSendsRetainedFirst(t *testing.T) {
	o, c, tell := boxed(t, 4*costOf(100), 1<<20, 100)
	for i := range 100 {
		tell.kept[fmt.Sprint(i)] = &letter{topic: fmt.Sprint(i), qos: 1, retain: true, payload: make([]byte, 100)}
	}
	o.addRetained(packets.Subscription{Filter: "#", Qos: 1})
	for range 4 {
		o.add(post(100, 1), packets.Subscription{Qos: 1})
	}
	if len(o.waiting) != 4 {
		t.Fatalf("%d wait", len(o.waiting))
	}
	got := 0
	for len(o.waiting) == 4 {
		o.fill(nil, c)
		if o.unacked > 4*costOf(100) {
			t.Fatalf("%d bytes are unacknowledged", o.unacked)
		}
		for id := range o.sent {
			got++
			o.acknowledged(id)
		}
	}
	for id := range o.sent {
		o.acknowledged(id)
	}
	if got < 100 || got > 104 {
		t.Errorf("%d came before all retained ones had", got)
	}
}

func TestOutboxLeavesOut(t *testing.T) {
	o, c, _ := boxed(t, 1<<20, 1<<20, 100)
	o.terms.version, o.terms.maxPacket = 5, 100
	sub := packets.Subscription{Qos: 1}
	o.add(post(200, 1), sub) // larger than the client takes
	o.add(&letter{topic: "old", qos: 1, expiry: time.Now().Unix() - 1}, sub)
	o.add(post(200, 0), sub)
	o.add(&letter{topic: "ok", qos: 1, expiry: time.Now().Unix() + 1000}, sub)
	out, _ := o.fill(nil, c)
	if out, _ = o.fill(out, c); !strings.HasPrefix(string(out), "2\x0c\x00\x02ok\x00\x02\x05\x02\x00\x00\x03") || len(o.sent) != 1 || o.bytes != o.unacked {
		t.Errorf("sent %q, %d are open, %d bytes of %d", out, len(o.sent), o.bytes, o.unacked)
	}
	o.add(&letter{topic: "old", qos: 1, expiry: time.Now().Unix() - 1}, sub)
	o.forgetExpired()
	if len(o.waiting) != 0 {
		t.Error("what is expired still waits")
	}
}

// TestHeaderIsMochis compares what is sent with mochi's own encoding of it.
func TestHeaderIsMochis(t *testing.T) {
	for _, version := range versions {
		for _, qos := range []byte{0, 1, 2} {
			for _, n := range []int{0, 1, 127, 128, 20_000, 3 << 20} {
				pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: n == 1, Dup: qos > 0 && n == 127},
					ProtocolVersion: version, TopicName: "a/ü", Payload: make([]byte, n), PacketID: 258,
					Properties: packets.Properties{ContentType: "x", ResponseTopic: "r", CorrelationData: []byte("c"), SubscriptionIdentifier: []int{3, 300},
						PayloadFormat: 1, PayloadFormatFlag: true, User: []packets.UserProperty{{Key: "k", Val: "v"}, {Key: "k", Val: "w"}}}}
				if n == 128 {
					pk.Properties = packets.Properties{}
				}
				pk.Mods.AllowResponseInfo = true
				var want bytes.Buffer
				if err := pk.PublishEncode(&want); err != nil {
					t.Fatal(err)
				}
				d := delivery{letter: newLetter(&pk), qos: qos, retain: n == 1, id: 258, subscriptionIDs: pk.Properties.SubscriptionIdentifier}
				got := append(d.appendHeader(nil, version, n == 127, time.Now()), d.payload...)
				if !bytes.Equal(got, want.Bytes()) {
					t.Errorf("MQTT %d, QoS %d, %d bytes: %x, want %x", version, qos, n, got[:min(len(got), 60)], want.Bytes()[:min(want.Len(), 60)])
				}
			}
		}
	}
}

// TestLossIsLogged has a subscriber lose messages: the log says who, what the
// limit is and where it is set, once.
func TestLossIsLogged(t *testing.T) {
	var logged bytes.Buffer
	b, stop := startWith(t, Config{Limits: Limits{Queue: 10 << 10, QueueTotal: 1 << 20}}, nil, slog.New(slog.NewTextHandler(&logged, nil)))
	c := dial(t, b, 4, "slow", keptSession)
	c.subscribe("a", 1)
	c.net.Close()
	eventually(t, "it is gone", func() bool { return b.Stats().Clients == 0 })
	for range 50 {
		if err := b.Publish("a", make([]byte, 1000), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if text := logged.String(); strings.Count(text, "are lost to it") != 1 || !strings.Contains(text, "client=slow") ||
		!strings.Contains(text, "limit=10240 setting=mqtt.max_queued\n") {
		t.Errorf("logged\n%s", text)
	}
}
