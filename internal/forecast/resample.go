package forecast

import (
	"math"
	"time"
)

const (
	// maxFill is how many rows in a row a machine, or one of its sensors, may
	// have missed and still count as having said the same as before. More is a
	// gap, which no window crosses.
	maxFill = 5
	// joinWithin is the part of a step within which messages that bring other
	// sensors belong to one row. Less than a whole one, because the next row may
	// come a little early.
	joinWithin = 0.9
)

// A resampler turns one machine's rows, as they come, into rows a step apart.
// Rows that lie on the step pass through bit for bit, and the step is not a
// fixed grid: it is counted on from each row, so that jitter moves no value.
//
//	in    a . . b . . . . . . . . . . . a .    a, b: messages of two sensors; a step is 3
//	        b . . a . . . . . . . . . . . b
//	out   row   row   (filled)  (filled)  row
//
// A row takes in what comes within half a step of it, and what other sensors say
// within nine tenths. What a sensor says twice is averaged; once one has, the
// machine speaks more often than a step is long, and the whole step is taken in. Up to five rows that are missing are filled with what was
// said before; where more are missing history is cut. A sensor that a row lacks
// is held at its last word for as long as its limit says.
type resampler struct {
	step   int64                                  // microseconds
	limits []int64                                // (sensors) how long a sensor's last word holds, microseconds
	emit   func(at int64, values []float64) error // a row, valid during the call; all NaN where history is cut

	begun  bool
	at     int64     // of the row that may still grow
	heard  int64     // when something was last said in it
	often  bool      // a sensor spoke in it twice
	values []float64 // (sensors) what was said in it; NaN: nothing
	times  []float64 // (sensors) how often it was said again

	said   []float64 // (sensors) the last word of each before that row
	saidAt []int64   // and the time of its row
	before []bool    // (sensors) whether it spoke in the row before
	row    []float64 // what is handed over

	filled, gaps int // rows, cuts
}

func newResampler(step int64, limits []int64, emit func(int64, []float64) error) *resampler {
	n := len(limits)
	r := &resampler{
		step: step, limits: limits, emit: emit,
		values: make([]float64, n), times: make([]float64, n), said: make([]float64, n), saidAt: make([]int64, n), before: make([]bool, n), row: make([]float64, n),
	}
	r.forget()
	return r
}

// add takes in a row later than all before: (sensors) values, NaN where a sensor
// was silent.
func (r *resampler) add(at int64, values []float64) error {
	if r.begun && r.takes(at, values) {
		r.join(values)
		r.heard = at
		return nil
	}
	if r.begun {
		if err := r.close(); err != nil {
			return err
		}
		if err := r.bridge(at); err != nil {
			return err
		}
	}
	r.begun, r.at, r.heard, r.often = true, at, at, false
	copy(r.values, values)
	clear(r.times)
	return nil
}

// takes tells whether what was said at a time is part of the row that may still
// grow.
func (r *resampler) takes(at int64, values []float64) bool {
	since := at - r.at
	switch {
	case 2*since < r.step:
		return true
	case r.often: // up to half way to where the next would be
		return since+(at-r.heard)/2 < r.step
	default:
		return float64(since) < joinWithin*float64(r.step) && r.lacksAll(values)
	}
}

// lacksAll tells whether none of the sensors that speak now spoke in the row.
func (r *resampler) lacksAll(values []float64) bool {
	for i, v := range values {
		if !math.IsNaN(v) && !math.IsNaN(r.values[i]) {
			return false
		}
	}
	return true
}

func (r *resampler) join(values []float64) {
	for i, v := range values {
		switch {
		case math.IsNaN(v):
		case math.IsNaN(r.values[i]):
			r.values[i] = v
		default:
			share := 1 / (r.times[i] + 2) // it was counted once less
			r.values[i] += v*share - r.values[i]*share
			r.times[i]++
			r.often = true
		}
	}
}

// close hands over the row that may still grow.
func (r *resampler) close() error {
	for i, v := range r.values {
		r.before[i] = !math.IsNaN(v)
		if r.before[i] {
			r.said[i], r.saidAt[i] = v, r.at
		}
	}
	return r.handOver(r.at)
}

// handOver hands over a row with what was said last.
func (r *resampler) handOver(at int64) error {
	for i, v := range r.said {
		if r.row[i] = v; at-r.saidAt[i] > r.limits[i] {
			r.row[i] = math.NaN()
		}
	}
	return r.emit(at, r.row)
}

// bridge fills the rows between the last one and a time, or cuts.
func (r *resampler) bridge(at int64) error {
	since := at - r.at
	steps := (2*since + r.step) / (2 * r.step) // rounded
	switch {
	case steps-1 > maxFill:
		return r.cut()
	default:
		for i := int64(1); i < steps; i++ {
			r.filled++
			if err := r.handOver(r.at + since*i/steps); err != nil {
				return err
			}
		}
		return nil
	}
}

// cut hands over a row that says nothing, so that no window crosses it.
func (r *resampler) cut() error {
	r.gaps++
	for i := range r.row {
		r.row[i] = math.NaN()
	}
	return r.emit(r.at+r.step, r.row)
}

// part cuts history and forgets what was said, because what comes next must not
// be known from what was before.
func (r *resampler) part() error {
	if !r.begun {
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	r.begun = false
	r.forget()
	return r.cut()
}

func (r *resampler) forget() {
	for i := range r.said {
		r.said[i] = math.NaN()
	}
}

// end hands over the last row. If others may still join it, which is so if it
// came less than a step before the end and lacks what the row before it had, it
// is left out.
func (r *resampler) end(until int64, partial bool) error {
	if !r.begun || partial && until-r.at < r.step && r.lacksSome() {
		return nil
	}
	return r.close()
}

// lacksSome tells whether a sensor spoke in the row before but not in this one.
func (r *resampler) lacksSome() bool {
	for i, spoke := range r.before {
		if spoke && math.IsNaN(r.values[i]) {
			return true
		}
	}
	return false
}

// fillTo fills the rows after the last one up to a time, if they are not too
// many; nothing came in them.
func (r *resampler) fillTo(at int64) error {
	if steps := (at - r.at) / r.step; r.begun && steps > 0 && steps <= maxFill {
		r.filled++ // the row at that time itself
		if err := r.bridge(r.at + steps*r.step); err != nil {
			return err
		}
		return r.handOver(r.at + steps*r.step)
	}
	return nil
}

// limitOf is how long a sensor's last word holds: until so many rows lack it.
// Half a step more allows for jitter.
func limitOf(rows int, step time.Duration) int64 {
	return (2*int64(rows) + 1) * step.Microseconds() / 2
}
