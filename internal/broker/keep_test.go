package broker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fettle/internal/db"
)

// restartable is a broker over a store of its own.
type restartable struct {
	t    testing.TB
	db   *db.DB
	cfg  Config
	stop func() error
	*Broker
}

func newRestartable(t testing.TB, cfg Config) *restartable {
	r := &restartable{t: t, db: openStore(t, t.TempDir()), cfg: cfg}
	r.cfg.Store = r.db
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *restartable) start() {
	r.Broker, r.stop = startWith(r.t, r.cfg, nil, slog.New(slog.DiscardHandler))
}

func (r *restartable) restart() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Errorf("stopped with %v", err)
	}
	r.start()
}

// kill starts again from what the store holds now, as after a kill.
func (r *restartable) kill() {
	r.t.Helper()
	if err := r.keeper.write(db.Lazy); err != nil { // what a second would have done
		r.t.Fatal(err)
	}
	r.cfg.Listen = ""
	r.start()
}

func TestSessionsOutliveTheProgram(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		for _, killed := range []bool{false, true} {
			r := newRestartable(t, Config{})
			stop := r.stop
			defer func() { stop() }()
			away := dial(t, r.Broker, version, "away", longSession)
			away.subscribe("news/#", 1)
			clean := dial(t, r.Broker, version, "clean")
			clean.subscribe("news/#", 1)
			away.net.Close()
			eventually(t, "it is gone", func() bool { return r.Stats().Clients == 1 })
			publisher := dial(t, r.Broker, version, "publisher")
			want := map[string]bool{}
			for i := range 50 {
				publisher.publish("news/a", fmt.Sprint(i), 1, 1)
				publisher.want(packets.Puback)
				clean.acknowledge(clean.wantMessage("news/a", fmt.Sprint(i)))
				want[fmt.Sprint(i)] = true
			}
			publisher.publish("news/a", "not kept", 0, 0)
			publisher.ping()
			if killed {
				r.kill()
			} else {
				r.restart()
			}
			if got := r.Stats().Subscriptions; got != 1 {
				t.Errorf("killed %v: %d subscriptions are there, want 1", killed, got)
			}
			away, answer := knock(t, r.Broker, version, "away", longSession)
			if !answer.SessionPresent {
				t.Fatalf("killed %v: the session is gone", killed)
			}
			got := map[string]bool{}
			for len(got) < len(want) {
				pk := away.want(packets.Publish)
				got[string(pk.Payload)] = true
				away.acknowledge(pk)
			}
			if !maps.Equal(got, want) {
				t.Errorf("killed %v: got %v", killed, slices.Sorted(maps.Keys(got)))
			}
			away.ping()
			// What is acknowledged does not come again, and the session goes on.
			if err := r.Publish("news/b", []byte("later"), false); err != nil {
				t.Fatal(err)
			}
			away.wantMessage("news/b", "later") // not acknowledged
			r.restart()
			away = dial(t, r.Broker, version, "away", longSession)
			away.acknowledge(away.wantMessage("news/b", "later"))
			away.ping()
			dial(t, r.Broker, version, "away").ping() // a clean start ends it
			r.restart()
			if _, answer = knock(t, r.Broker, version, "away", longSession); answer.SessionPresent {
				t.Errorf("killed %v: a session that was ended is back", killed)
			}
		}
	})
}

func TestRetainedMessagesOutliveTheProgram(t *testing.T) {
	r := newRestartable(t, Config{})
	c := dial(t, r.Broker, 5, "c")
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true}, TopicName: "lab/state", Payload: []byte("on"), PacketID: 1,
		Properties: packets.Properties{ContentType: "text/plain", User: []packets.UserProperty{{Key: "k", Val: "v"}}}})
	c.want(packets.Puback)
	c.retain("lab/gone", "x")
	r.restart()
	c = dial(t, r.Broker, 5, "c")
	c.retain("lab/gone", "")
	if err := r.Publish("fettle/alarm/x", []byte("told anew after a start"), true); err != nil {
		t.Fatal(err)
	}
	r.restart()
	c = dial(t, r.Broker, 5, "c")
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1, Filters: packets.Subscriptions{{Filter: "#", Qos: 1}}})
	c.want(packets.Suback)
	pk := c.wantMessage("lab/state", "on")
	if !pk.FixedHeader.Retain || pk.FixedHeader.Qos != 1 || pk.Properties.ContentType != "text/plain" || len(pk.Properties.User) != 1 {
		t.Errorf("came as %+v %+v", pk.FixedHeader, pk.Properties)
	}
	c.ping()
	if got := r.Broker.retained.total; got != retainedSize(&packets.Packet{TopicName: "lab/state", Payload: []byte("on"), Properties: pk.Properties}) {
		t.Errorf("%d bytes are counted as retained", got)
	}
}

func TestQueuesOfThoseAwayAreBounded(t *testing.T) {
	const size = 1 << 20
	r := newRestartable(t, Config{Limits: Limits{Queue: 5*size + size/2, QueueTotal: 100 * size}})
	c := dial(t, r.Broker, 4, "away", keptSession)
	c.subscribe("big", 1)
	c.net.Close()
	eventually(t, "it is gone", func() bool { return r.Stats().Clients == 0 })
	for range 10 {
		if err := r.Publish("big", make([]byte, size), false); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Stats().Dropped; got != 5 {
		t.Errorf("%d were dropped, want 5", got)
	}
	r.restart()
	dial(t, r.Broker, 4, "away").ping() // a clean start
	if got := r.outboxes.room.used.Load(); got != 0 {
		t.Errorf("%d bytes of what is gone still count", got)
	}
}

func FuzzKeptRecords(f *testing.F) {
	f.Add([]byte(`{"topic":"a","payload":"eA==","qos":1,"version":4}`), []byte("q/r/a"))
	f.Add([]byte(`{"user":"u","version":5,"expiry":3600,"seen":9999999999,"subscriptions":{"a":{"Filter":"a"}}}`), []byte("q/s/c"))
	f.Add([]byte(`null`), []byte("q/m/c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, value, key []byte) {
		d := openStore(t, t.TempDir())
		b := d.NewBatch()
		b.Set(append([]byte("q/s/"), 'c'), []byte(`{"version":4,"seen":9999999999}`))
		b.Set(key, value)
		if err := d.Commit(b, db.Lazy); err != nil {
			t.Fatal(err)
		}
		broker, err := New(Config{Store: d}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := broker.restore(); err != nil {
			t.Error(err)
		}
		d.Close()
	})
}

// What cannot be read any more is left out, once, and the log says how much it
// was; everything else is there.
func TestUnreadableRecordsAreToldOf(t *testing.T) {
	r := newRestartable(t, Config{})
	if err := r.Publish("lab/state", []byte("on"), true); err != nil {
		t.Fatal(err)
	}
	r.restart() // which writes it
	b := r.db.NewBatch()
	b.Set(retainedKey("lab/other"), []byte("on"))
	b.Set(sessionKey("a"), []byte("{"))
	b.Set(append(db.AppendString([]byte(messagePrefix), "a"), 0, 7), []byte("{}")) // the number was of two bytes
	if err := r.db.Commit(b, db.Synced); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sessions=1 waiting_messages=1 retained_messages=1\n", ""} {
		var log bytes.Buffer
		err := r.stop()
		r.Broker, r.stop = startWith(t, r.cfg, nil, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err := errors.Join(err, r.stop()); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("the log says %q, expected %q at its end", got, want)
		}
		if _, found := r.Broker.server.Topics.Retained.Get("lab/state"); !found {
			t.Error("a message that can be read is not retained any more")
		}
	}
}
