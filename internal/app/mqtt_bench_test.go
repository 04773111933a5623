package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/broker"
	"fettle/internal/codec"
	"fettle/internal/db"
	"fettle/internal/ingest"
	"fettle/internal/readings"
)

// BenchmarkMQTT has clients publish readings of six sensors at QoS 1 through the
// broker and the gate into the store, each acknowledged after its synced commit:
// in the way of the server, and as a broker would that reads a client's next
// message only after it acknowledged the one before (one-by-one). Clients run in
// the same process. A commit of 10 ms is that of an SD card.
func BenchmarkMQTT(b *testing.B) {
	for _, c := range []struct {
		clients, window int
		commit          time.Duration
		subscribers     int
	}{
		{1, 20, 0, 0}, {20, 20, 0, 0}, {100, 20, 0, 0}, {500, 20, 0, 0}, {100, 1, 0, 0}, {500, 1, 0, 0},
		{100, 20, 0, 1}, {500, 20, 0, 1},
		{1, 20, 10 * time.Millisecond, 0}, {20, 20, 10 * time.Millisecond, 0}, {20, 20, 10 * time.Millisecond, 1},
	} {
		for _, way := range []string{"window", "one-by-one"} {
			b.Run(fmt.Sprintf("clients=%d/inflight=%d/commit=%v/subscribers=%d/%s", c.clients, c.window, c.commit, c.subscribers, way), func(b *testing.B) {
				p, address := benchPipeline(b, c.commit, way == "one-by-one")
				var got atomic.Int64
				for i := range c.subscribers {
					go dialMQTT(b, address, fmt.Sprint("watcher-", i)).watch(&got)
				}
				senders := make([]*mqttClient, c.clients)
				for i := range senders {
					senders[i] = dialMQTT(b, address, fmt.Sprint("mill-", i))
				}
				if c.subscribers > 0 {
					waitFor(b, "the subscriptions", func() bool { return p.broker.Stats().Subscriptions == int64(c.subscribers) })
				}
				b.ResetTimer()
				var all sync.WaitGroup
				for i, c2 := range senders {
					all.Go(func() { c2.publish(i, b.N/len(senders)+1, c.window) })
				}
				all.Wait()
				b.StopTimer()
				sent := float64(b.N/len(senders)+1) * float64(len(senders))
				b.ReportMetric(sent/b.Elapsed().Seconds(), "msgs/s")
				b.ReportMetric(sent/float64(max(1, p.gate.Stats().Commits)), "msgs/commit")
				if c.subscribers > 0 {
					waitFor(b, "all messages reach the subscriber", func() bool { return got.Load() == int64(sent)*int64(c.subscribers) })
					if lost := p.broker.Stats().Dropped; lost > 0 {
						b.Errorf("%d messages were lost to subscribers", lost)
					}
				}
			})
		}
	}
}

func benchPipeline(b *testing.B, commit time.Duration, oneByOne bool) (*pipeline, string) {
	dir := b.TempDir()
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	rows, err := readings.Open(d, dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	p := &pipeline{log: slog.New(slog.DiscardHandler)}
	if p.topics, err = codec.NewTopics([]string{"sensor/data"}); err != nil {
		b.Fatal(err)
	}
	// What is told of a commit waits in the goroutine that commits, after the sync
	// and before the acknowledgements.
	p.gate = ingest.New(ingest.Config{}, rows, func([]fettle.Reading) { time.Sleep(commit) })
	receive := p.receive
	if oneByOne {
		receive = func(ctx context.Context, m broker.Message, done func(error)) {
			answer := make(chan error, 1)
			p.receive(ctx, m, func(err error) { answer <- err })
			done(<-answer)
		}
	}
	p.broker, err = broker.New(broker.Config{
		Listen: "127.0.0.1:0", Wants: func(topic string) bool { _, ok := p.topics.Match(topic); return ok },
	}, receive, p.log)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = p.broker.Run(ctx) })
	gateCtx, stopGate := context.WithCancel(context.Background())
	gate := make(chan error, 1)
	go func() { gate <- p.gate.Run(gateCtx) }()
	b.Cleanup(func() {
		stop()
		parts.Wait()
		stopGate()
		<-gate
		d.Close()
	})
	<-p.broker.Ready()
	return p, p.broker.Addr()
}

func waitFor(b *testing.B, what string, condition func() bool) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("never came true: %s", what)
		}
	}
}

// An mqttClient speaks as much MQTT 3.1.1 as publishing and subscribing takes,
// as cheaply as can be.
type mqttClient struct {
	b    *testing.B
	conn net.Conn
	r    *bufio.Reader
}

func dialMQTT(b *testing.B, address, id string) *mqttClient {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	c := &mqttClient{b: b, conn: conn, r: bufio.NewReader(conn)}
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...)
	if _, err := conn.Write(connect); err != nil {
		b.Fatal(err)
	}
	if _, err := c.r.Discard(4); err != nil { // CONNACK
		b.Fatal(err)
	}
	return c
}

// publish sends n messages, inflight of them at most without their PUBACK.
func (c *mqttClient) publish(number, n, inflight int) {
	var burst bytes.Buffer
	sent, answered, id := 0, 0, uint16(0)
	for answered < n {
		burst.Reset()
		for sent < n && sent-answered < inflight {
			sent++
			id = max(1, id+1)
			payload := fmt.Appendf(nil, `{"workspace_id": "mill-%d", "timestamp": "%s", "current": 15.31, "accX": 0.195, "accY": 0.128, "accZ": 0.271, "tempA": 50.4, "tempB": 47.6}`,
				number, time.UnixMicro(1_760_000_000_000_000+int64(sent)).UTC().Format(time.RFC3339Nano))
			burst.WriteByte(0x32)
			burst.Write(binary.AppendUvarint(nil, uint64(2+len("sensor/data")+2+len(payload))))
			burst.Write([]byte{0, byte(len("sensor/data"))})
			burst.WriteString("sensor/data")
			burst.Write(binary.BigEndian.AppendUint16(nil, id))
			burst.Write(payload)
		}
		if _, err := c.conn.Write(burst.Bytes()); err != nil {
			c.b.Error(err)
			return
		}
		// One answer at least, then all that have come.
		for first := true; first || c.r.Buffered() >= 4; first = false {
			if _, err := c.r.Discard(4); err != nil {
				c.b.Error(err)
				return
			}
			answered++
		}
	}
}

// watch subscribes to everything at QoS 1, acknowledges and counts.
func (c *mqttClient) watch(got *atomic.Int64) {
	if _, err := c.conn.Write([]byte{0x82, 6, 0, 1, 0, 1, '#', 1}); err != nil {
		return
	}
	var answers []byte
	for {
		kind, err := c.r.ReadByte()
		if err != nil {
			return
		}
		length, err := binary.ReadUvarint(c.r)
		if err != nil {
			return
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(c.r, body); err != nil {
			return
		}
		if kind>>4 != 3 { // SUBACK
			continue
		}
		topic := binary.BigEndian.Uint16(body)
		answers = append(answers, 0x40, 2, body[2+topic], body[3+topic])
		if kind&0x06 == 0 || kind>>4 != 3 {
			c.b.Error("a message came at QoS 0")
			return
		}
		if string(body[2:2+topic]) == "sensor/data" {
			got.Add(1)
		}
		if c.r.Buffered() == 0 {
			if _, err := c.conn.Write(answers); err != nil {
				return
			}
			answers = answers[:0]
		}
	}
}
