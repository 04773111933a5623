package train

import (
	"fmt"
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/patchtst"
)

const (
	// gapSteps is how many usual steps may lie between two rows before there is
	// a gap, which no window crosses: the same as for a ridge.
	gapSteps = 2.5
	// longestFill is how many rows a sensor may miss and still count as having
	// said the same as before. What was filled in is never to be forecast.
	longestFill = 5
)

// A Division says how rows are parted and scaled.
type Division struct {
	Validation, Test float64 // shares of the rows, the newest; 0: no such part
	Scaler           Scaling
}

// A Set is one machine's rows made ready to learn from: scaled, cut at gaps,
// and parted.
type Set struct {
	Window fettle.Window // as it came; its sensors are the channels
	Step   time.Duration
	Scaler model.Scaler

	Gaps   int // places that no window crosses
	Filled int // missing values that the value before stands in for
	Lost   int // missing values that no window may hold

	values   []float32 // (lines, channels): the rows, and a line of NaN at each gap
	observed []bool    // (lines, channels); nil: all
	lineOf   []int     // (rows) the line of each
	borders  [2]int    // first row of validation, and of test
}

// Prepare makes a set. Rows must ascend in time.
func Prepare(w fettle.Window, d Division) (*Set, error) {
	if !(d.Validation >= 0 && d.Test >= 0 && d.Validation+d.Test < 1) {
		return nil, fettle.BadField("bad shares", "validation and test", fmt.Sprintf("%v and %v", d.Validation, d.Test), "shares that leave rows to learn from")
	}
	if w.Rows() < 2 || len(w.Sensors) == 0 || w.Step() <= 0 {
		return nil, fettle.Errorf(fettle.Invalid, "%d rows of %d sensors; expected at least 2 rows, at ascending times", w.Rows(), len(w.Sensors))
	}
	s := &Set{Window: w, Step: w.Step()}
	rows := float64(w.Rows())
	s.borders = [2]int{int(math.Round(rows * (1 - d.Validation - d.Test))), int(math.Round(rows * (1 - d.Test)))}
	var err error
	if s.Scaler, err = d.Scaler.fit(w.Slice(0, s.borders[0])); err != nil {
		return nil, err
	}
	s.layOut()
	s.fill()
	return s, nil
}

// layOut writes the rows, scaled, with a line of NaN at each gap.
func (s *Set) layOut() {
	w, nan := s.Window, float32(math.NaN())
	lines := w.Rows()
	gap := func(row int) bool {
		return row > 0 && float64(w.TimesMicros[row]-w.TimesMicros[row-1]) > gapSteps*float64(s.Step.Microseconds())
	}
	for row := range w.Rows() {
		if gap(row) {
			s.Gaps++
		}
	}
	lines += s.Gaps
	s.values = make([]float32, 0, lines*len(w.Sensors))
	s.lineOf = make([]int, w.Rows())
	for row := range w.Rows() {
		if gap(row) {
			s.values = append(s.values, slices.Repeat([]float32{nan}, len(w.Sensors))...)
		}
		s.lineOf[row] = len(s.values) / len(w.Sensors)
		for c, column := range w.Columns {
			s.values = append(s.values, float32(s.Scaler.Transform(c, column[row])))
		}
	}
}

// fill holds short silences of a sensor, and marks them as not measured.
func (s *Set) fill() {
	channels, missing := len(s.Window.Sensors), 0
	for c := range channels {
		last, silent := -1, 0 // the line of the newest value, and the silence since
		for row, line := range s.lineOf {
			if row > 0 && line > s.lineOf[row-1]+1 {
				last = -1 // a gap: what was before is no longer so
			}
			if v := s.values[line*channels+c]; v == v {
				last, silent = line, 0
				continue
			}
			missing++
			if silent++; last < 0 || silent > longestFill {
				last = -1
				continue
			}
			s.values[line*channels+c] = s.values[last*channels+c]
			s.mark(line*channels + c)
		}
	}
	s.Lost = missing - s.Filled
}

// mark says that a value was not measured.
func (s *Set) mark(at int) {
	if s.observed == nil {
		s.observed = slices.Repeat([]bool{true}, len(s.values))
	}
	s.observed[at] = false
	s.Filled++
}

// Channels counts the sensors.
func (s *Set) Channels() int { return len(s.Window.Sensors) }

// The parts. Those that are forecast look back over their border.
func (s *Set) training() patchtst.Series           { return s.between(0, s.borders[0]) }
func (s *Set) validation(back int) patchtst.Series { return s.between(s.borders[0]-back, s.borders[1]) }

// judging is the newest part that there is, and whether it was kept from all
// choices: without a test part, the validation judges what it chose.
func (s *Set) judging(back int) (part patchtst.Series, unseen bool) {
	if s.borders[1] == s.Window.Rows() {
		return s.validation(back), false
	}
	return s.between(s.borders[1]-back, s.Window.Rows()), true
}

// between is the series of a stretch of rows.
func (s *Set) between(from, to int) patchtst.Series {
	from = max(from, 0)
	if from >= to {
		return patchtst.Series{}
	}
	first, end := s.lineOf[from]*s.Channels(), (s.lineOf[to-1]+1)*s.Channels()
	part := patchtst.Series{Values: s.values[first:end]}
	if s.observed != nil {
		part.Observed = s.observed[first:end]
	}
	return part
}

// seen is all rows before the part that judges.
func (s *Set) seen() fettle.Window {
	if s.borders[1] == s.Window.Rows() {
		return s.Window.Slice(0, s.borders[0])
	}
	return s.Window.Slice(0, s.borders[1])
}
