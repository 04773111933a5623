package forecast

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// longestReach keeps the arithmetic of slow machines and long contexts within
// what a Duration holds.
const longestReach = 100 * 365 * 24 * time.Hour

// A lookRequest asks for a machine's newest rows.
type lookRequest struct {
	info  readings.Info
	until time.Time     // no row after it
	rows  int           // how many
	reach time.Duration // how old the oldest of the machine's own may be; stretched to twice the rows' usual time
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

// asStored tells whether a model looks at a machine's rows as they are: those
// that come from elsewhere do, because they were trained on such.
func (f *predictor) asStored(plan Forecaster) bool { return plan.own() && f.model.StepSeconds <= 0 }

// lookBack collects the rows that a model forecasts from, in the way in which
// they were prepared for its training. Of a model that needs no sensor for
// another's sake, sensors that miss a value are left out.
func (e *Engine) lookBack(ctx context.Context, m *memory, f *predictor, ask lookRequest) (look, error) {
	l, err := e.newestRows(ctx, m, f, ask)
	if err != nil {
		return look{}, err
	}
	found := l.window
	l.window = fettle.Window{Machine: m.machine, TimesMicros: found.TimesMicros[found.Rows()-ask.rows:]}
	most, mostOf := -1, ""
	for i, column := range found.Columns {
		whole := min(ask.rows, wholeRows(column))
		if whole < ask.rows && f.together {
			return look{}, notEnough(NotEnough{Have: whole, Need: ask.rows, What: "rows in the look-back", Sensor: found.Sensors[i], lookBack: true})
		}
		if whole == ask.rows {
			l.kept = append(l.kept, i)
			l.window.Sensors = append(l.window.Sensors, found.Sensors[i])
			l.window.Columns = append(l.window.Columns, column[len(column)-ask.rows:])
		}
		if whole > most {
			most, mostOf = whole, found.Sensors[i]
		}
	}
	if len(l.kept) == 0 {
		return look{}, notEnough(NotEnough{Have: most, Need: ask.rows, What: "rows in the look-back", Sensor: mostOf, lookBack: true})
	}
	return l, nil
}

func (e *Engine) newestRows(ctx context.Context, m *memory, f *predictor, ask lookRequest) (look, error) {
	if f.asStored(m.plan) {
		return e.storedRows(m.machine, f, ask)
	}
	return e.resampledRows(ctx, m, f, ask)
}

// storedRows are the newest rows as they are: the old system's look-back. Gaps
// in time do not matter there, only how old the rows are; a sensor that missed
// at most maxFill rows in a row is held.
func (e *Engine) storedRows(machine string, f *predictor, ask lookRequest) (look, error) {
	window, err := e.rows.Window(machine, ask.until, ask.rows+maxFill, f.model.Sensors)
	if err != nil {
		return look{}, err
	}
	rhythm := window.Step()
	reach := reachOf(ask, rhythm)
	tooOld, _ := slices.BinarySearch(window.TimesMicros, ask.until.Add(-reach).UnixMicro())
	window = window.Slice(tooOld, window.Rows())
	if window.Rows() < ask.rows {
		return look{}, tooFew(window.Rows(), ask.rows, reach)
	}
	for _, column := range window.Columns {
		hold(column)
	}
	return look{rhythm: rhythm, step: rhythm, window: window}, nil
}

// resampledRows are the newest rows a step apart, without a gap between them.
func (e *Engine) resampledRows(ctx context.Context, m *memory, f *predictor, ask lookRequest) (look, error) {
	known, err := e.knownRhythm(ctx, m, ask.info, ask.until)
	if err != nil || known == nil || known.Step == 0 {
		return look{}, cmp.Or(err, tooFew(0, ask.rows, ask.reach))
	}
	step := cmp.Or(f.step(), m.plan.Step)
	newest, err := e.newestRow(m, ask.until)
	if err != nil {
		return look{}, err
	}
	// Half as much again, because steps that are longer than usual are still
	// one step each.
	reach := time.Duration(1.5*float64(ask.rows+1)*float64(step)) + known.longest(f.model.Sensors, step)
	from, oldest := newest.Add(-reach), ask.until.Add(-reachOf(ask, step))
	if from.Before(oldest) && m.plan.own() {
		from = oldest
	}
	rows := newTail(f.model.Sensors, ask.rows)
	_, err = resampled{source: e.source(m, f.model.Sensors), rhythm: known, step: step, ends: true}.each(ctx, from, ask.until, rows.add)
	if err != nil {
		return look{}, err
	}
	window := rows.unbroken()
	if window.Rows() < ask.rows {
		return look{}, tooFew(window.Rows(), ask.rows, reachOf(ask, step))
	}
	return look{rhythm: known.Step, step: step, window: window}, nil
}

// newestRow is the time of a machine's newest row up to another.
func (e *Engine) newestRow(m *memory, until time.Time) (time.Time, error) {
	if !m.plan.own() {
		return until, nil
	}
	window, err := e.rows.Window(m.machine, until, 1, []string{})
	if err != nil || window.Rows() == 0 {
		return until, err
	}
	return time.UnixMicro(window.TimesMicros[0]).UTC(), nil
}

// reachOf is how old the oldest row may be, if the rows are so far apart.
func reachOf(ask lookRequest, step time.Duration) time.Duration {
	return max(ask.reach, time.Duration(min(2*float64(ask.rows)*float64(step), float64(longestReach))))
}

func tooFew(have, need int, reach time.Duration) error {
	return notEnough(NotEnough{Have: have, Need: need, What: "rows in the look-back of " + reach.String(), lookBack: true})
}

// wholeRows counts the newest rows of a column that miss nothing.
func wholeRows(column []float64) (whole int) {
	for i := len(column) - 1; i >= 0 && !math.IsNaN(column[i]); i-- {
		whole++
	}
	return whole
}

// hold fills short stretches of missing values with the value before.
func hold(column []float64) {
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
