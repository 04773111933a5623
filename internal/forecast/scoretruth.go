package forecast

import (
	"context"
	"math"
	"slices"
	"sort"
	"time"
)

// A truth is what sensors read in a stretch of time, as their forecaster sees it.
type truth struct {
	means bool           // rows are means of steps, each at the begin of its step
	joins bool           // sensors send one by one
	held  map[string]int // sensors that report by exception
	spoke []int64        // when any sensor spoke, microseconds, ascending
	by    map[string]*trace
}

// A trace is what one sensor read.
type trace struct {
	times  []int64 // microseconds, ascending
	values []float64
}

// truthOf is a truth that nothing was read of yet.
func (m *memory) truthOf() *truth {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &truth{means: !m.plan.own(), by: map[string]*trace{}}
	if m.Rhythm != nil {
		t.joins, t.held = m.Rhythm.Joins, m.Rhythm.Held
	}
	return t
}

// readTruth reads what the sensors of a book read from its oldest waiting
// forecast on. The book's mutex is held.
func (e *Engine) readTruth(ctx context.Context, m *memory, t *truth, until int64) error {
	names := make([]string, len(m.book.sensors))
	traces := make([]trace, len(names))
	for i, s := range m.book.sensors {
		names[i], t.by[s.name] = s.name, &traces[i]
	}
	from := time.UnixMicro(m.book.oldest)
	return e.source(m, names).each(ctx, from, time.UnixMicro(until), func(at int64, values []float64) error {
		t.spoke = append(t.spoke, at)
		for i, v := range values {
			if !math.IsNaN(v) {
				traces[i].times, traces[i].values = append(traces[i].times, at), append(traces[i].values, v)
			}
		}
		return nil
	})
}

// around is how long before and after the time of a step the reading may be that
// it is scored against. When the latter has passed the step is settled.
func (t *truth) around(step int64) (before, after int64) {
	switch {
	case t.means:
		return 0, step // it is there when its step is over
	case t.joins:
		return step / 10, step * 9 / 10
	default:
		return step / 2, step / 2
	}
}

// at is what a sensor read at the time of a step of its forecast.
func (t *truth) at(k kept, s keptSensor, at int64) (v float64, found bool) {
	read := t.by[s.name]
	if read == nil {
		return 0, false
	}
	before, after := t.around(k.step)
	if t.means {
		after = 0
	}
	if i, found := nearest(read.times, at, before, after, t.joins); found {
		return read.values[i], true
	}
	if _, spoke := nearest(t.spoke, at, before, after, t.joins); !spoke || t.held[s.name] == 0 {
		return 0, false
	}
	if i := sort.Search(len(read.times), func(i int) bool { return read.times[i] > at }); i > 0 && read.times[i-1] > k.origin {
		return read.values[i-1], true
	}
	return s.last, true
}

// nearest finds the time nearest to another, or the first, from so long before
// it until so long after.
func nearest(times []int64, at, before, after int64, first bool) (place int, found bool) {
	from, _ := slices.BinarySearch(times, at-before)
	to := sort.Search(len(times), func(i int) bool { return times[i] > at+after })
	if from >= to {
		return 0, false
	}
	if first {
		return from, true
	}
	best := from
	for i := from + 1; i < to; i++ {
		if distance(times[i], at) < distance(times[best], at) {
			best = i
		}
	}
	return best, true
}

func distance(a, b int64) int64 { return max(a-b, b-a) }
