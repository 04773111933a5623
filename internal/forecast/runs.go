package forecast

import (
	"cmp"
	"math"
	"slices"

	"fettle"
)

const (
	// gapSteps is how many of a machine's usual steps may lie between two rows
	// before there is a gap, which no window may cross.
	gapSteps = 2.5
	// blockRows is how many windows of a sensor are handed over at once: enough
	// to make the work on a block's edges small, few enough to keep a machine
	// of 256 sensors within 10 MB.
	blockRows = 4096
)

// A cutter takes one machine's rows in ascending order and cuts them into runs:
// stretches of one sensor without a gap in time or a missing value. A run is handed over in blocks that overlap so that every window
// of `width` rows lies in exactly one of them.
type cutter struct {
	sensors []string // sorted; all others are ignored
	width   int      // rows in a window
	step    int64    // the machine's usual step, microseconds

	// emit gets a block of a sensor's run, valid during the call, and the
	// number of the row that it starts with. Blocks shorter than a window are
	// not handed over.
	emit func(sensor, firstRow int, values []float64)

	row     int // rows seen, those that say nothing not counted
	longest int // rows of the longest run, counted up to a block
	last    int64
	runs    []run // (sensors)
}

type run struct {
	first  int // number of the row of values[0]
	values []float64
}

func (c *cutter) add(r fettle.Reading) {
	if c.runs == nil {
		c.runs = make([]run, len(c.sensors))
	}
	at := r.Time.UnixMicro()
	if len(r.Values) == 0 { // history is cut
		c.end()
		return
	}
	if float64(at-c.last) > gapSteps*float64(c.step) {
		c.end()
	}
	c.last = at
	values := r.Values
	for s, name := range c.sensors {
		for len(values) > 0 && values[0].Sensor < name {
			values = values[1:]
		}
		if len(values) > 0 && values[0].Sensor == name && !math.IsNaN(values[0].Value) {
			c.push(s, values[0].Value)
		} else {
			c.cut(s)
		}
	}
	c.row++
}

func (c *cutter) push(sensor int, v float64) {
	r := &c.runs[sensor]
	if len(r.values) == 0 {
		r.first = c.row
	}
	r.values = append(r.values, v)
	if len(r.values) < blockRows+c.width-1 {
		return
	}
	c.emit(sensor, r.first, r.values)
	kept := copy(r.values, r.values[blockRows:])
	r.values = r.values[:kept]
	r.first += blockRows
}

// cut ends one sensor's run.
func (c *cutter) cut(sensor int) {
	r := &c.runs[sensor]
	c.longest = max(c.longest, len(r.values))
	if len(r.values) >= c.width {
		c.emit(sensor, r.first, r.values)
	}
	r.values = r.values[:0]
}

// end ends all runs; after the last row it hands over what is left.
func (c *cutter) end() {
	for s := range c.runs {
		c.cut(s)
	}
}

// A quarantine is a list of intervals whose rows nothing may be learnt from. It
// is asked with ascending times only.
type quarantine []fettle.Interval

// newQuarantine sorts intervals into a quarantine.
func newQuarantine(intervals []fettle.Interval) quarantine {
	q := slices.Clone(intervals)
	slices.SortFunc(q, func(a, b fettle.Interval) int { return cmp.Compare(a.From.UnixMicro(), b.From.UnixMicro()) })
	return q
}

// holds tells whether a time (microseconds) is in quarantine.
func (q *quarantine) holds(at int64) bool { return q.touches(at, at+1) }

// touches tells whether a part of from <= time < to (microseconds) is in
// quarantine.
func (q *quarantine) touches(from, to int64) bool {
	for len(*q) > 0 && (*q)[0].To.UnixMicro() <= from {
		*q = (*q)[1:]
	}
	return len(*q) > 0 && (*q)[0].From.UnixMicro() < to
}
