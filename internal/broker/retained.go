package broker

import "sync"

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

// fits tells whether a message may be retained. Several at once can exceed the
// limit by as many messages.
func (r *retained) fits(topic string, payload []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(payload) == 0 || r.total-r.sizes[topic]+aroundRetained+len(topic)+len(payload) <= maxRetained
}

// set notes the size of the payload that is retained on a topic now; zero for
// none.
func (r *retained) set(topic string, payload int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes == nil {
		r.sizes = map[string]int{}
	}
	r.total -= r.sizes[topic]
	delete(r.sizes, topic)
	if payload > 0 {
		r.sizes[topic] = aroundRetained + len(topic) + payload
		r.total += r.sizes[topic]
	}
}
