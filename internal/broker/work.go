package broker

import (
	"sync"
	"time"
)

// work counts the messages between being read and being answered, so that the
// broker can stop without leaving one in between.
type work struct {
	mu      sync.Mutex // guards all below
	n       int
	stopped bool
	idle    chan struct{} // made by drain, closed when n is zero
}

// begin starts one; false if the broker stops.
func (w *work) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.n++
	}
	return !w.stopped
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.stopped {
		close(w.idle)
	}
}

// drain lets no more begin, and waits for those that did, but not too long.
func (w *work) drain(patience time.Duration) {
	w.mu.Lock()
	w.stopped, w.idle = true, make(chan struct{})
	if w.n == 0 {
		close(w.idle)
	}
	w.mu.Unlock()
	select {
	case <-w.idle:
	case <-time.After(patience):
	}
}
