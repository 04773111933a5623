package app

import (
	"context"
	"sync"
	"time"

	"fettle"
)

// A wakeSet holds the machines that have something to be done for them, each
// once, first come first served. A machine is with one worker at a time; one
// that wakes again meanwhile is handed out once more afterwards. Adding never
// waits, so that the gate is never slowed by what comes behind it.
type wakeSet struct {
	mu      sync.Mutex
	changed *sync.Cond
	queue   []string
	state   map[string]wakeState // machines that wait, rest or are being worked on
}

type wakeState struct {
	waiting, working, resting bool
}

func newWakeSet() *wakeSet {
	w := &wakeSet{state: map[string]wakeState{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// add wakes the machines of some readings.
func (w *wakeSet) add(rows []fettle.Reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, row := range rows {
		if i == 0 || row.Machine != rows[i-1].Machine {
			w.wakeLocked(row.Machine)
		}
	}
}

// wake wakes one machine.
func (w *wakeSet) wake(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeLocked(machine)
}

func (w *wakeSet) wakeLocked(machine string) {
	s := w.state[machine]
	if s.waiting {
		return
	}
	s.waiting = true
	w.settle(machine, s)
}

// settle puts a machine where its state says.
func (w *wakeSet) settle(machine string, s wakeState) {
	w.state[machine] = s
	switch {
	case s.working || s.resting:
	case s.waiting:
		w.queue = append(w.queue, machine)
		w.changed.Signal()
	default:
		delete(w.state, machine)
	}
}

// rest keeps a machine that is being worked on from being handed out for a
// while. If it woke meanwhile, or wakes while it rests, it is handed out then.
func (w *wakeSet) rest(machine string, pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state[machine]
	s.resting = true
	w.state[machine] = s
	time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		s := w.state[machine]
		s.resting = false
		w.settle(machine, s)
	})
}

// work hands out machines to do, one after the other, until the context ends.
func (w *wakeSet) work(ctx context.Context, do func(machine string)) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer stop()
	for {
		machine, ok := w.take(ctx)
		if !ok {
			return
		}
		do(machine)
		w.done(machine)
	}
}

func (w *wakeSet) take(ctx context.Context) (machine string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 {
		if ctx.Err() != nil {
			return "", false
		}
		w.changed.Wait()
	}
	if ctx.Err() != nil {
		return "", false
	}
	machine, w.queue = w.queue[0], w.queue[1:]
	w.state[machine] = wakeState{working: true}
	return machine, true
}

func (w *wakeSet) done(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state[machine]
	s.working = false
	w.settle(machine, s)
}

// drain takes all that wait at once, for a caller that does them itself.
func (w *wakeSet) drain() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	machines := w.queue
	w.queue = nil
	clear(w.state)
	return machines
}

// len counts the machines that wait for work, or will when they have rested.
func (w *wakeSet) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.state {
		if s.waiting {
			n++
		}
	}
	return n
}
