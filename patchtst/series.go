package patchtst

import (
	"fmt"
	"math"
	"sort"
)

// A Series is what a model learns from: rows of all channels, evenly spaced in
// time, oldest first. Training reads it in place and never copies it.
//
// Windows that hold a number which is not finite are left out, so a row of NaN
// marks a gap that no window may cross. Numbers that were not measured, but
// stand in for one, are marked in Observed: the scalings "std" and "mean" do
// not look at them, and no window has one among what it should forecast.
type Series struct {
	Values   []float32 // (rows, C) row major, in the units that forecasts are wanted in
	Observed []bool    // (rows, C) which numbers were measured; nil means all
}

// check wants whole rows, and a mark for each number or none.
func (s Series) check(c Config) error {
	if len(s.Values)%c.Channels != 0 {
		return fmt.Errorf("series has %d numbers; expected rows of %d channels", len(s.Values), c.Channels)
	}
	if s.Observed != nil && len(s.Observed) != len(s.Values) {
		return fmt.Errorf("series has %d marks for %d numbers; expected one for each, or none", len(s.Observed), len(s.Values))
	}
	return nil
}

// between is a part of a series, from row to row.
func (s Series) between(c Config, from, to int) Series {
	part := Series{Values: s.Values[from*c.Channels : to*c.Channels]}
	if s.Observed != nil {
		part.Observed = s.Observed[from*c.Channels : to*c.Channels]
	}
	return part
}

// A batch is the windows of one training step, as rows of a series.
type batch struct {
	series Series
	starts []int // the first row of each window's context
}

// window is the context (L, C) of the i-th window.
func (b batch) window(c Config, i int) window {
	return windowAt(b.series.Values, b.series.Observed, b.starts[i]*c.Channels, c.ContextLength*c.Channels)
}

// target is what followed that context, (T, C).
func (b batch) target(c Config, i int) []float32 {
	return b.series.Values[(b.starts[i]+c.ContextLength)*c.Channels:][:c.PredictionLength*c.Channels]
}

// windows are all places of a series where a context and what followed it can
// be learned from. They are kept as stretches, not one by one.
type windows struct {
	count     int
	unusable  int // places that were left out, were they stride apart or not
	stride    int // rows between two windows of a stretch
	stretches []stretch
}

type stretch struct {
	first  int // row of the stretch's first window
	before int // windows in the stretches before
}

// findWindows looks through a series for them.
func findWindows(s Series, c Config, stride int) windows {
	w := windows{stride: stride}
	rows, length := len(s.Values)/c.Channels, c.ContextLength+c.PredictionLength
	broken, unmeasured := -1, -1 // the last such rows so far
	from := -1                   // start of the stretch that goes on, or -1
	finish := func(to int) {
		if from >= 0 {
			w.stretches = append(w.stretches, stretch{from, w.count})
			w.count += (to-from-1)/stride + 1
		}
		from = -1
	}
	for row := range rows {
		if !finite(s.Values[row*c.Channels:][:c.Channels]) {
			broken = row
		}
		if s.Observed != nil && !all(s.Observed[row*c.Channels:][:c.Channels]) {
			unmeasured = row
		}
		start := row + 1 - length // of the window that ends with this row
		switch {
		case start < 0:
		case broken >= start || unmeasured >= start+c.ContextLength:
			w.unusable++
			finish(start)
		case from < 0:
			from = start
		}
	}
	finish(rows + 1 - length)
	return w
}

// start is the first row of the i-th window.
func (w windows) start(i int) int {
	at := sort.Search(len(w.stretches), func(k int) bool { return w.stretches[k].before > i }) - 1
	s := w.stretches[at]
	return s.first + (i-s.before)*w.stride
}

func finite(values []float32) bool {
	for _, v := range values {
		if v != v || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

func all(marks []bool) bool {
	for _, m := range marks {
		if !m {
			return false
		}
	}
	return true
}
