package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Pool shares out the pieces of a job among a few goroutines that stay ready:
// a training step has some ten jobs of a few dozen microseconds, for which
// starting goroutines or waiting on channels would take longer than it saves.
//
// Workers therefore wait for the next job turning on an atomic number; who has
// turned in vain for about 100 us sleeps until it is woken. Which worker does a
// piece is left to chance, so a job's result is the same on any number of
// threads if each piece has its own place for what it computes.
type Pool struct {
	threads int
	asleep  atomic.Int64
	wake    chan struct{}
	workers sync.WaitGroup

	_ [64]byte // what waiting workers read apart from what working ones write

	gate atomic.Uint64 // odd: a job is open; it grows with each change
	stop atomic.Bool

	_ [64]byte

	// Written by Run while the gate is closed and nobody is inside.
	work   func(piece int)
	pieces int64

	inside atomic.Int64 // workers that may read the above
	next   atomic.Int64 // the next piece that nobody has
	done   atomic.Int64
	broken atomic.Pointer[any] // what a piece panicked with
}

// turns is how often a waiting worker looks for a job before it sleeps. A turn
// is one PAUSE, 40 to 140 cycles.
const turns = 2000

// NewPool starts a pool of so many threads, the caller of Run being one of
// them. More than GOMAXPROCS threads would wait for each other's time; they
// are not started. Close ends them.
func NewPool(threads int) *Pool { return newPool(max(1, min(threads, runtime.GOMAXPROCS(0)))) }

func newPool(threads int) *Pool {
	p := &Pool{threads: threads}
	p.wake = make(chan struct{}, p.threads)
	for range p.threads - 1 {
		p.workers.Go(p.serve)
	}
	return p
}

// Threads is how many threads work on a job.
func (p *Pool) Threads() int { return p.threads }

// Close ends the workers and waits for them. No job may be running.
func (p *Pool) Close() {
	p.stop.Store(true)
	p.rouse()
	p.workers.Wait()
}

// Run calls work(0) to work(pieces-1), each once, on several threads at the
// same time, and returns when all have returned. One job runs at a time: Run
// is called from one goroutine, and not by work. If a piece panics, the others
// still run, and then Run panics.
func (p *Pool) Run(pieces int, work func(piece int)) {
	if p.threads == 1 || pieces <= 1 {
		for piece := range pieces {
			work(piece)
		}
		return
	}
	p.work, p.pieces = work, int64(pieces)
	p.next.Store(0)
	p.done.Store(0)
	p.gate.Add(1)
	if p.asleep.Load() > 0 {
		p.rouse()
	}
	p.takePieces()
	waitFor(func() bool { return p.done.Load() == int64(pieces) })
	p.gate.Add(1)
	waitFor(func() bool { return p.inside.Load() == 0 })
	p.work = nil
	if cause := p.broken.Swap(nil); cause != nil {
		panic(fmt.Sprintf("BUG: kernel: a piece of a job panicked: %v", *cause))
	}
}

// takePieces runs pieces until none is left.
func (p *Pool) takePieces() {
	for {
		piece := p.next.Add(1) - 1
		if piece >= p.pieces {
			return
		}
		p.run(int(piece))
	}
}

func (p *Pool) run(piece int) {
	defer p.done.Add(1)
	defer func() {
		if cause := recover(); cause != nil {
			p.broken.CompareAndSwap(nil, &cause)
		}
	}()
	p.work(piece)
}

// waitFor turns until it is so, and lets others run after a while.
func waitFor(so func() bool) {
	for i := 0; !so(); i++ {
		if i < turns {
			pause()
		} else {
			runtime.Gosched()
		}
	}
}

// serve is the life of a worker.
func (p *Pool) serve() {
	seen := uint64(0)
	for p.awaitJob(seen) {
		p.inside.Add(1)
		// If the gate is open now, Run waits at its end until nobody is inside.
		if seen = p.gate.Load(); isOpen(seen) {
			p.takePieces()
		}
		p.inside.Add(-1)
	}
}

func isOpen(gate uint64) bool { return gate%2 == 1 }

// opened says whether there is a job other than the one seen last.
func (p *Pool) opened(seen uint64) bool {
	gate := p.gate.Load()
	return isOpen(gate) && gate != seen
}

// awaitJob waits for a job other than the one seen last, and says whether the
// pool goes on.
func (p *Pool) awaitJob(seen uint64) bool {
	for i := 0; ; i++ {
		switch {
		case p.stop.Load():
			return false
		case p.opened(seen):
			return true
		case i < turns:
			pause()
		default:
			p.sleep(seen)
			i = 0
		}
	}
}

// sleep waits to be woken. Whoever opens the gate or stops the pool looks at
// asleep afterwards, so either it sees this worker or this worker sees the
// change.
func (p *Pool) sleep(seen uint64) {
	p.asleep.Add(1)
	if !p.opened(seen) && !p.stop.Load() {
		<-p.wake
	}
	p.asleep.Add(-1)
}

// rouse wakes all. A token that nobody needed makes a later sleep short.
func (p *Pool) rouse() {
	for range p.threads - 1 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}
