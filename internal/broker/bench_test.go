package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// BenchmarkPublish measures messages of QoS 1 to their acknowledgement with a
// receive that does nothing: what MQTT itself costs, clients included, as they
// run in the same process. A window of 1 waits for each acknowledgement.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ clients, window int }{{1, 1}, {1, 20}, {20, 1}, {20, 20}, {100, 1}, {100, 20}} {
		b.Run(fmt.Sprintf("clients=%d/window=%d", c.clients, c.window), func(b *testing.B) {
			broker := start(b, Config{Wants: sensors}, nil)
			load := newLoad(b, broker, c.clients, c.window)
			b.ResetTimer()
			load.run(b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkPublishSubscribed is the same with a subscriber of QoS 0 to it all.
func BenchmarkPublishSubscribed(b *testing.B) {
	broker := start(b, Config{Wants: sensors}, nil)
	subscriber := dial(b, broker, 4, "subscriber")
	subscriber.subscribe("#", 0)
	go io.Copy(io.Discard, subscriber.net)
	load := newLoad(b, broker, 20, 20)
	b.ResetTimer()
	load.run(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// load is clients that publish as fast as they are acknowledged.
type load struct {
	b       *testing.B
	clients []*client
	window  int
	packet  []byte
}

func newLoad(b *testing.B, broker *Broker, clients, window int) *load {
	l := &load{b: b, window: window}
	var packet bytes.Buffer
	message := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 4, TopicName: "sensor/data", PacketID: 1,
		Payload: []byte(`{"workspace_id": "lathe-1-spindle", "timestamp": "2025-11-25T04:20:00.123456Z", "current": 15.31, "accX": 0.195, "accY": 0.128, "accZ": 0.271, "tempA": 50.4, "tempB": 47.6}`)}
	if err := message.PublishEncode(&packet); err != nil {
		b.Fatal(err)
	}
	l.packet = packet.Bytes()
	for i := range clients {
		l.clients = append(l.clients, dial(b, broker, 4, fmt.Sprint("load", i)))
	}
	return l
}

// run publishes about n messages; all are acknowledged when it returns.
func (l *load) run(n int) {
	var clients sync.WaitGroup
	for _, c := range l.clients {
		clients.Go(func() { l.publish(c, n/len(l.clients)) })
	}
	clients.Wait()
}

func (l *load) publish(c *client, n int) {
	const puback = 4 // bytes in MQTT 3.1.1
	answers := bufio.NewReader(c.net)
	answer := make([]byte, puback)
	burst := bytes.Repeat(l.packet, l.window)
	for sent := 0; sent < n; {
		part := min(l.window, n-sent)
		if _, err := c.net.Write(burst[:part*len(l.packet)]); err != nil {
			l.b.Error(err)
			return
		}
		for range part {
			if _, err := io.ReadFull(answers, answer); err != nil {
				l.b.Error(err)
				return
			}
		}
		sent += part
	}
}
