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
	idle    chan struct{} // closed when n is zero; nil: nobody waits for that
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

// mustBegin starts one even so: its answer is that the broker stops.
func (w *work) mustBegin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// drain lets no more begin, and waits for those that did, but not too long.
func (w *work) drain(patience time.Duration) {
	idle := make(chan struct{})
	w.mu.Lock()
	w.stopped = true
	if w.n == 0 {
		close(idle)
	} else {
		w.idle = idle
	}
	w.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(patience):
	}
}
