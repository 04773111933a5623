package app

import (
	"sync"
	"time"

	"fettle/internal/readings"
)

const (
	// rhythmRows is how many of a machine's newest rows its step is taken from.
	rhythmRows = 32
	// rhythmFor is how long a step once found is believed.
	rhythmFor = time.Minute
	// usualStep is a machine's step while it has sent too little to tell: the
	// old system's.
	usualStep = 2 * time.Second
)

// rhythm knows how often each machine usually sends: the median time between
// its newest rows.
type rhythm struct {
	rows *readings.Store

	mu    sync.Mutex
	steps map[string]foundStep
}

type foundStep struct {
	step time.Duration
	at   time.Time
}

func newRhythm(rows *readings.Store) *rhythm {
	return &rhythm{rows: rows, steps: map[string]foundStep{}}
}

// step returns a machine's usual time between readings.
func (r *rhythm) step(machine string) time.Duration {
	r.mu.Lock()
	known, found := r.steps[machine]
	r.mu.Unlock()
	if found && time.Since(known.at) < rhythmFor {
		return known.step
	}
	window, err := r.rows.Window(machine, time.Time{}, rhythmRows, []string{})
	if err != nil || window.Rows() < 3 {
		return usualStep
	}
	step := window.Step()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps[machine] = foundStep{step, time.Now()}
	return step
}
