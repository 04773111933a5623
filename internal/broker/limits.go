package broker

import (
	"fmt"
	"math"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// Limits bound what one client may take of the broker.
type Limits struct {
	Messages      int           // a second, published; beyond, the client is not read for a while; 0: no limit
	Bytes         int           // a second, of their packets; likewise
	Sessions      int           // kept or connected, of all clients together; the longest away goes; 0: twice Config.MaxClients
	Subscriptions int           // further ones are refused; 0: 1,000
	Queue         int           // bytes that wait for one subscriber; 0: 8 MiB
	QueueTotal    int           // for all of them together, those away included; 0: 64 MiB
	Keepalive     time.Duration // between two signs of life; MQTT 5 is told, a client of 3.1.1 that wants more is refused; 0: no limit

	patience time.Duration // of publishers with subscribers; 0: holdTime
}

const (
	defaultSubscriptions = 1000
	// maxTopic and maxLevels bound topics and filters, in bytes and levels: mochi
	// has a node for each level. A machine's name takes 768 bytes at most there.
	maxTopic  = 1024
	maxLevels = 64
)

// fitTopic tells whether a topic or a filter is not too large.
func fitTopic(topic string) bool {
	return len(topic) <= maxTopic && strings.Count(topic, "/") < maxLevels
}

// A bucket lets through so many a second on average, and as many at once.
type bucket struct {
	rate int // 0: any number
	used float64
	last time.Time
}

// take uses n, and returns how long to wait afterwards.
func (b *bucket) take(n int, now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.used = math.Max(0, b.used-now.Sub(b.last).Seconds()*float64(b.rate)) + float64(n)
	b.last = now
	over := b.used - float64(b.rate)
	return max(0, time.Duration(over/float64(b.rate)*float64(time.Second)))
}

// slowDown keeps a client to its rates, by not reading on.
func (h *hook) slowDown(cl *mqtt.Client, bytes int) {
	c := connOf(cl)
	if c.messages.rate == 0 && c.bytes.rate == 0 {
		return
	}
	now := time.Now()
	wait := max(c.messages.take(1, now), c.bytes.take(bytes, now))
	if wait == 0 {
		return
	}
	h.b.log.Warn("mqtt client is held back: it sends too much", "client", cl.ID, "remote", cl.Net.Remote,
		"limit_messages_per_second", h.b.cfg.Limits.Messages, "limit_bytes_per_second", h.b.cfg.Limits.Bytes)
	select {
	case <-time.After(wait):
	case <-c.gone:
	case <-h.b.receiving.Done():
	}
}

// OnSubscribe blanks the subscriptions beyond the limit, which makes mochi
// refuse them, and keeps it from sending what is retained, which is ours to do.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	has, limit := cl.State.Subscriptions.GetAll(), h.b.cfg.Limits.Subscriptions
	n := len(has)
	c.asked = make([]asked, len(pk.Filters))
	for i := range pk.Filters {
		_, existed := has[pk.Filters[i].Filter]
		c.asked[i] = asked{sub: pk.Filters[i], existed: existed}
		pk.Filters[i].RetainHandling = 2
		if !fitTopic(pk.Filters[i].Filter) {
			h.b.log.Warn("mqtt subscription refused: its filter is too long or too deep", "client", cl.ID, "remote", cl.Net.Remote,
				"filter", fettle.Shorten(pk.Filters[i].Filter), "limit_bytes", maxTopic, "limit_levels", maxLevels)
			pk.Filters[i].Filter = ""
			continue
		}
		if existed {
			continue
		}
		if n++; n > limit {
			h.b.log.Warn("mqtt subscription refused: its client has too many", "client", cl.ID, "remote", cl.Net.Remote,
				"filter", fettle.Shorten(pk.Filters[i].Filter), "limit", limit)
			c.asked[i].tooMany, pk.Filters[i].Filter = true, ""
		}
	}
	return pk
}

// sayTooMany puts the true reason into the answer to a subscription.
func (h *hook) sayTooMany(cl *mqtt.Client, answer *packets.Packet) {
	for i, a := range connOf(cl).asked {
		if !a.tooMany || i >= len(answer.ReasonCodes) || cl.Properties.ProtocolVersion < 5 {
			continue
		}
		answer.ReasonCodes[i] = packets.ErrQuotaExceeded.Code
		answer.Properties.ReasonString = fmt.Sprintf("a client may have %d subscriptions", h.b.cfg.Limits.Subscriptions)
	}
}

// checkKeepalive bounds how long a client may be silent.
func (h *hook) checkKeepalive(cl *mqtt.Client) error {
	limit := uint16(min(h.b.cfg.Limits.Keepalive/time.Second, math.MaxUint16))
	wish := cl.State.Keepalive // 0: silent for ever
	switch {
	case limit == 0 || wish > 0 && wish <= limit:
		return nil
	case cl.Properties.ProtocolVersion == 5:
		cl.State.Keepalive, cl.State.ServerKeepalive = limit, true
		return nil
	}
	return h.reject(cl, packets.ErrClientIdentifierNotValid, "mqtt client refused: it wants to be silent for too long (0: for ever)",
		"keepalive_seconds", wish, "limit", limit, "setting", "mqtt.max_keepalive")
}
