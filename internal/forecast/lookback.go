package forecast

import (
	"math"
	"slices"
	"time"

	"fettle"
)

const (
	// maxFill is how many rows a sensor may have missed and still count as
	// having said the same as before.
	maxFill = 5
	// longestReach keeps the arithmetic of slow machines and long contexts
	// within what a Duration holds.
	longestReach = 100 * 365 * 24 * time.Hour
)

// A lookRequest asks for a machine's newest rows.
type lookRequest struct {
	until time.Time     // no row after it
	rows  int           // how many
	reach time.Duration // how old the oldest may be; stretched to twice the rows' usual time
}

// A look is the answer: no NaN in it.
type look struct {
	window fettle.Window
	kept   []int         // (sensors of the window) their places in the model
	rhythm time.Duration // the machine's own step now
	step   time.Duration // the model's, or else the rhythm
}

func (l look) newest() time.Time {
	return time.UnixMicro(l.window.TimesMicros[l.window.Rows()-1]).UTC()
}

// lookBack collects the rows that a model forecasts from. Gaps in time do not
// matter here, only how old the rows are; a sensor that missed at most maxFill
// rows in a row is held. Of a model that needs no sensor for another's sake,
// sensors that missed more are left out.
func (e *Engine) lookBack(machine string, f *predictor, ask lookRequest) (look, error) {
	window, err := e.rows.Window(machine, ask.until, ask.rows+maxFill, f.model.Sensors)
	if err != nil {
		return look{}, err
	}
	rhythm := window.Step()
	step := time.Duration(f.model.StepSeconds * float64(time.Second))
	if step <= 0 {
		step = rhythm
	}
	reach := max(ask.reach, time.Duration(min(2*float64(ask.rows)*float64(step), float64(longestReach))))
	tooOld, _ := slices.BinarySearch(window.TimesMicros, ask.until.Add(-reach).UnixMicro())
	window = window.Slice(tooOld, window.Rows())
	if window.Rows() < ask.rows {
		return look{}, notEnough(NotEnough{Have: window.Rows(), Need: ask.rows, What: "rows in the look-back of " + reach.String(), lookBack: true})
	}
	l := look{rhythm: rhythm, step: step, window: fettle.Window{Machine: machine, TimesMicros: window.TimesMicros[window.Rows()-ask.rows:]}}
	most, mostOf := -1, ""
	for i, column := range window.Columns {
		whole := min(ask.rows, hold(column))
		if whole < ask.rows && f.together {
			return look{}, notEnough(NotEnough{Have: whole, Need: ask.rows, What: "rows in the look-back", Sensor: window.Sensors[i], lookBack: true})
		}
		if whole == ask.rows {
			l.kept = append(l.kept, i)
			l.window.Sensors = append(l.window.Sensors, window.Sensors[i])
			l.window.Columns = append(l.window.Columns, column[len(column)-ask.rows:])
		}
		if whole > most {
			most, mostOf = whole, window.Sensors[i]
		}
	}
	if len(l.kept) == 0 {
		return look{}, notEnough(NotEnough{Have: most, Need: ask.rows, What: "rows in the look-back", Sensor: mostOf, lookBack: true})
	}
	return l, nil
}

// hold fills short stretches of missing values with the value before, and
// counts the newest rows of the column that then miss nothing.
func hold(column []float64) (whole int) {
	missing := 0
	for i, v := range column {
		if math.IsNaN(v) {
			missing++
			continue
		}
		fill(column[:i], missing)
		missing = 0
	}
	fill(column, missing)
	for i := len(column) - 1; i >= 0 && !math.IsNaN(column[i]); i-- {
		whole++
	}
	return whole
}

// fill fills the last `missing` values of a column with the one before them.
func fill(column []float64, missing int) {
	from := len(column) - missing
	if missing > maxFill || from == 0 {
		return
	}
	for i := from; i < len(column); i++ {
		column[i] = column[from-1]
	}
}
