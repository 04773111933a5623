package broker

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

func heapMB() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

func TestAttackBytes(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		b := start(t, Config{}, nil)
		dial(t, b, 4, "dead").subscribe("#", qos)
		p := dial(t, b, 4, "p")
		before := heapMB()
		payload := string(bytes.Repeat([]byte("x"), 1<<20-100))
		began := time.Now()
		for i := range 1000 {
			p.publish("a", payload, 1, uint16(i+1))
			p.want(packets.Puback)
		}
		t.Logf("QoS %d: 1000 x 1 MB took %v, heap %d MB -> %d MB, %+v", qos, time.Since(began), before, heapMB(), b.Stats())
	}
}

func TestAttackDead(t *testing.T) {
	b := start(t, Config{Wants: sensors}, nil)
	for i := range 200 {
		dial(t, b, 4, fmt.Sprint("dead", i)).subscribe("#", 1)
	}
	p := dial(t, b, 4, "p")
	var worst []time.Duration
	sent := make(chan time.Time, 20)
	const n = 6000
	payload := fmt.Sprintf("%0250d", 1)
	go func() {
		for i := range n {
			sent <- time.Now()
			p.publish("sensor/data", payload, 1, uint16(i+1))
		}
	}()
	began := time.Now()
	for range n {
		p.want(packets.Puback)
		worst = append(worst, time.Since(<-sent))
		if time.Since(began) > 100*time.Second {
			break
		}
	}
	slices.Sort(worst)
	t.Logf("%d of %d in %v, ack p50 %v p99 %v max %v, %+v", len(worst), n, time.Since(began), worst[len(worst)/2], worst[len(worst)*99/100], worst[len(worst)-1], b.Stats())
}

func TestAttackPoisonSession(t *testing.T) {
	b := start(t, Config{}, nil)
	c := dial(t, b, 4, "away", keptSession)
	c.subscribe("big", 1)
	c.net.Close()
	eventually(t, "gone", func() bool { return b.Stats().Clients == 0 })
	for range 7 {
		_ = b.Publish("big", make([]byte, 1<<20), false)
	}
	c, _ = knock(t, b, 4, "away", keptSession)
	time.Sleep(time.Second)
	for i := range 7 {
		pk, err := c.tryRead()
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		c.acknowledge(pk)
	}
}
