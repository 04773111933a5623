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
	Quarantined      []fettle.Interval // rows in these are in no window, and no scaler sees them
}

// A Table is one machine's rows, a column at a time: a month of them is not
// held twice.
type Table struct {
	Machine string
	Sensors []string
	Times   []int64                             // (rows) microseconds since 1970 UTC, ascending
	Column  func(sensor int) ([]float64, error) // (rows), NaN where it was silent; valid until the next call
}

// TableOf is a window as a table.
func TableOf(w fettle.Window) Table {
	return Table{Machine: w.Machine, Sensors: w.Sensors, Times: w.TimesMicros, Column: func(i int) ([]float64, error) { return w.Columns[i], nil }}
}

// A Set is one machine's rows made ready to learn from: scaled, cut at gaps,
// and parted.
type Set struct {
	Machine  string
	Sensors  []string // the channels
	Rows     int
	From, To time.Time // event times of the first row and the last
	Unseen   time.Time // event time of the first row to judge by; zero if there is none
	Step     time.Duration
	Scaler   model.Scaler

	Gaps    int // places that no window crosses
	Filled  int // missing values that the value before stands in for
	Lost    int // missing values that no window may hold
	LeftOut int // rows in quarantine

	missing  []int     // (channels) values that were not there
	values   []float32 // (lines, channels): the rows, and a line of NaN at each gap
	observed []bool    // (lines, channels); nil: all
	rows     [2]int    // first row of validation, and of test
	lines    [2]int    // and their lines
}

// Prepare makes a set. Rows must ascend in time.
func Prepare(t Table, d Division) (*Set, error) {
	if !(d.Validation >= 0 && d.Test >= 0 && d.Validation+d.Test < 1) {
		return nil, fettle.BadField("bad shares", "validation and test", fmt.Sprintf("%v and %v", d.Validation, d.Test), "shares that leave rows to learn from")
	}
	rows := len(t.Times)
	step := fettle.Window{TimesMicros: t.Times}.Step()
	if rows < 2 || len(t.Sensors) == 0 || step <= 0 {
		return nil, fettle.Errorf(fettle.Invalid, "%d rows of %d sensors; expected at least 2 rows, at ascending times", rows, len(t.Sensors))
	}
	s := &Set{
		Machine: t.Machine, Sensors: t.Sensors, Rows: rows, Step: step,
		From: time.UnixMicro(t.Times[0]).UTC(), To: time.UnixMicro(t.Times[rows-1]).UTC(), missing: make([]int, len(t.Sensors)),
	}
	share := func(part float64) int { return int(math.Round(float64(rows) * part)) }
	s.rows = [2]int{share(1 - d.Validation - d.Test), share(1 - d.Test)}
	if s.tested() {
		s.Unseen = time.UnixMicro(t.Times[s.rows[1]]).UTC()
	}
	plan := s.layOut(t.Times, d.Quarantined)
	for c := range t.Sensors {
		column, err := t.Column(c)
		if err == nil {
			err = s.scale(c, column, plan, d.Scaler)
		}
		if err != nil {
			return nil, err
		}
		s.fill(c, plan)
	}
	return s, nil
}

// layout says where each row of a table goes.
type layout struct {
	line []int32 // (rows)
	out  []bool  // (rows) in quarantine; nil: none is
}

func (l layout) leftOut(row int) bool { return l.out != nil && l.out[row] }

// layOut finds the gaps and makes room: a line for each row, and one at each
// gap.
func (s *Set) layOut(times []int64, quarantined []fettle.Interval) layout {
	l := layout{line: make([]int32, len(times)), out: quarantine(times, quarantined)}
	for row := range times {
		if row > 0 && float64(times[row]-times[row-1]) > gapSteps*float64(s.Step.Microseconds()) {
			s.Gaps++
		}
		if l.leftOut(row) {
			s.LeftOut++
		}
		l.line[row] = int32(row + s.Gaps)
	}
	lines := len(times) + s.Gaps
	s.values = slices.Repeat([]float32{float32(math.NaN())}, lines*len(s.Sensors))
	for i, row := range s.rows {
		s.lines[i] = lines
		if row < len(times) {
			s.lines[i] = int(l.line[row])
		}
	}
	return l
}

// quarantine marks the rows whose times lie in intervals.
func quarantine(times []int64, intervals []fettle.Interval) []bool {
	var out []bool
	for _, i := range intervals {
		from, _ := slices.BinarySearch(times, i.From.UnixMicro())
		to, _ := slices.BinarySearch(times, i.To.UnixMicro())
		for row := from; row < to; row++ {
			if out == nil {
				out = make([]bool, len(times))
			}
			out[row] = true
		}
	}
	return out
}

// scale writes a sensor's values, in the units of a scaler that it fits to the
// rows that are learned from.
func (s *Set) scale(c int, column []float64, l layout, kind Scaling) error {
	known := make([]float64, 0, s.rows[0])
	for row, v := range column[:s.rows[0]] {
		if v == v && !l.leftOut(row) {
			known = append(known, v)
		}
	}
	if err := kind.fit(&s.Scaler, s.Sensors[c], known); err != nil {
		return err
	}
	for row, v := range column {
		if l.leftOut(row) {
			continue
		}
		if v != v {
			s.missing[c]++
			continue
		}
		s.values[int(l.line[row])*len(s.Sensors)+c] = float32(s.Scaler.Transform(c, v))
	}
	return nil
}

// fill holds short silences of a sensor, and marks them as not measured.
func (s *Set) fill(c int, l layout) {
	channels := len(s.Sensors)
	last, silent, filled := -1, 0, s.Filled // the line of the newest value, and the silence since
	for row, line32 := range l.line {
		line := int(line32)
		if row > 0 && line > int(l.line[row-1])+1 || l.leftOut(row) {
			last = -1 // what was before is no longer so
		}
		if v := s.values[line*channels+c]; v == v {
			last, silent = line, 0
			continue
		}
		if l.leftOut(row) {
			continue
		}
		if silent++; last < 0 || silent > longestFill {
			last = -1
			continue
		}
		s.values[line*channels+c] = s.values[last*channels+c]
		s.mark(line*channels + c)
	}
	s.Lost += s.missing[c] - (s.Filled - filled)
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
func (s *Set) Channels() int { return len(s.Sensors) }

// The parts. Those that are forecast look back over their border.
func (s *Set) training() patchtst.Series           { return s.between(0, s.lines[0]) }
func (s *Set) validation(back int) patchtst.Series { return s.between(s.lines[0]-back, s.lines[1]) }

// validated tells whether a part was set aside to choose the best epoch by.
func (s *Set) validated() bool { return s.rows[0] < s.rows[1] }

// tested tells whether a part was set aside to judge by.
func (s *Set) tested() bool { return s.rows[1] < s.Rows }

// judging is the newest part that there is, and whether it was kept from all
// choices: without a test part, the validation judges what it chose.
func (s *Set) judging(back int) (part patchtst.Series, unseen bool) {
	if !s.tested() {
		return s.validation(back), false
	}
	return s.between(s.lines[1]-back, len(s.values)/s.Channels()), true
}

// seen is everything before the part that judges.
func (s *Set) seen() patchtst.Series {
	if !s.tested() {
		return s.between(0, s.lines[0])
	}
	return s.between(0, s.lines[1])
}

// between is the series of a stretch of lines.
func (s *Set) between(from, to int) patchtst.Series {
	from = max(from, 0)
	if from >= to {
		return patchtst.Series{}
	}
	first, end := from*s.Channels(), to*s.Channels()
	part := patchtst.Series{Values: s.values[first:end]}
	if s.observed != nil {
		part.Observed = s.observed[first:end]
	}
	return part
}
