package verdict

import (
	"sync"
	"time"

	"fettle"
)

// maxIntervals bounds the intervals kept for a machine.
const maxIntervals = 512

// A quarantine holds the times whose rows nothing may be learned from, because
// they were judged anomalous.
type quarantine struct {
	mu        sync.RWMutex
	intervals []fettle.Interval // ascending, apart
	changed   bool              // since it was last saved
}

// add puts a row into quarantine. It belongs to the newest interval if the row
// before, at previous, does too.
func (q *quarantine) add(row, previous time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed = true
	end := row.Add(time.Microsecond)
	if n := len(q.intervals); n > 0 && q.intervals[n-1].To.After(previous) {
		q.intervals[n-1].To = end
		return
	}
	q.intervals = append(q.intervals, fettle.Interval{From: row, To: end})
	if len(q.intervals) > maxIntervals {
		q.join()
	}
}

// join makes one interval of the two that are closest: rather some good rows
// are not learned from than some bad ones are.
func (q *quarantine) join() {
	closest := 1
	for i := 2; i < len(q.intervals); i++ {
		if q.between(i) < q.between(closest) {
			closest = i
		}
	}
	q.intervals[closest-1].To = q.intervals[closest].To
	q.intervals = append(q.intervals[:closest], q.intervals[closest+1:]...)
}

func (q *quarantine) between(i int) time.Duration {
	return q.intervals[i].From.Sub(q.intervals[i-1].To)
}

// forget drops what ended before a time.
func (q *quarantine) forget(before time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := 0
	for old < len(q.intervals) && q.intervals[old].To.Before(before) {
		old++
	}
	if old > 0 {
		q.intervals = append(q.intervals[:0], q.intervals[old:]...)
		q.changed = true
	}
}

// release lets everything from a time on be learned from after all.
func (q *quarantine) release(from time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := len(q.intervals); n > 0 && q.intervals[n-1].To.After(from); n-- {
		if q.intervals[n-1].From.Before(from) {
			q.intervals[n-1].To = from
		} else {
			q.intervals = q.intervals[:n-1]
		}
		q.changed = true
	}
}

// startOf is where the interval that holds a time begins; the time itself if
// none does.
func (q *quarantine) startOf(t time.Time) time.Time {
	if held := q.within(t, t.Add(time.Microsecond)); len(held) > 0 {
		return held[0].From
	}
	return t
}

// within returns the intervals that have a part in [from, to), ascending.
func (q *quarantine) within(from, to time.Time) []fettle.Interval {
	q.mu.RLock()
	defer q.mu.RUnlock()
	var found []fettle.Interval
	for _, i := range q.intervals {
		if i.To.After(from) && i.From.Before(to) {
			found = append(found, i)
		}
	}
	return found
}

// skipping tells of ascending times whether they are in quarantine.
type skipping []fettle.Interval

func (s *skipping) skips(t time.Time) bool {
	for len(*s) > 0 && !(*s)[0].To.After(t) {
		*s = (*s)[1:]
	}
	return len(*s) > 0 && !(*s)[0].From.After(t)
}
