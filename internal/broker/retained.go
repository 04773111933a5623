package broker

import (
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxRetained bounds what clients' retained messages take in memory, topics
// included, in bytes.
const maxRetained = 64 << 20

// aroundRetained is what mochi needs for one beside its topic and payload, in
// bytes, as measured.
const aroundRetained = 2700

// retained keeps account of the memory that retained messages take.
type retained struct {
	mu    sync.Mutex // guards all below
	sizes map[string]int
	total int
}

// retainedSize is what a message takes when it is retained, in bytes; zero for one
// that takes back the one before.
func retainedSize(pk *packets.Packet) int {
	if len(pk.Payload) == 0 {
		return 0
	}
	return aroundRetained + len(pk.TopicName) + len(pk.Payload) + propertiesSize(&pk.Properties)
}

// fits tells whether a message of such a size may be retained. Several at once can
// exceed the limit by as many messages.
func (r *retained) fits(topic string, size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return size == 0 || r.total-r.sizes[topic]+size <= maxRetained
}

// set notes the size of what is retained on a topic now; zero for nothing.
func (r *retained) set(topic string, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes == nil {
		r.sizes = map[string]int{}
	}
	r.total -= r.sizes[topic]
	delete(r.sizes, topic)
	if size > 0 {
		r.sizes[topic] = size
		r.total += size
	}
}
