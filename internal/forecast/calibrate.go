package forecast

import (
	"context"
	"math"
	"time"

	"fettle"
)

const (
	// calibrationWindows is how many windows of stored history the band of a
	// PatchTST is taken from, evenly spread over the last 30 days; with fewer
	// than calibrationLeast it has no band.
	calibrationWindows = 200
	calibrationLeast   = 40
)

// A patchBand is the band of a model that came without one.
type patchBand struct {
	Model   string `json:"model"`
	Rows    int64  `json:"rows"`    // the machine's rows when it was taken
	Windows int    `json:"windows"` // that it was taken from
	Sensors []band `json:"sensors"`
}

// bandDue tells whether it is time to take the band of the model that serves a
// machine: if it came without one, once there are enough rows, and again at
// each doubling until every window was to be had.
func (e *Engine) bandDue(m *memory, serving *predictor, rows int64) bool {
	if serving == nil || serving.ridge != nil || rows < int64(serving.width()+calibrationLeast-1) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.Band
	return known == nil || known.Model != serving.model.Name || known.Windows < calibrationWindows && rows >= 2*known.Rows
}

// calibrate takes a model's band from what it would have said before, of rows
// that it did not learn from if its card tells them apart: on the others it errs
// less than it will. Some seconds of work at most, so it belongs to learning and
// not to a forecast.
func (e *Engine) calibrate(ctx context.Context, m *memory, f *predictor, ask learnRequest) error {
	taken := &patchBand{Model: f.model.Name, Rows: ask.rows, Sensors: make([]band, len(f.scale))}
	unexplained := make([]residuals, len(f.scale))
	if f.unseen.After(ask.from) && f.unseen.Before(ask.until) {
		ask.from = f.unseen
	}
	var last int64
	for i := range calibrationWindows {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := ask.from.Add(time.Duration(float64(ask.until.Sub(ask.from)) / calibrationWindows * float64(i+1)))
		window, err := e.windowAt(ctx, m, f, at)
		if err != nil {
			return err
		}
		rows := window.Rows()
		if rows == 0 || window.TimesMicros[rows-1] == last {
			continue
		}
		last = window.TimesMicros[rows-1]
		if whole(window, f.width()) && !touches(window, ask.quarantined) {
			taken.Windows++
			addResiduals(unexplained, f, window)
		}
	}
	for i, r := range unexplained {
		taken.Sensors[i] = r.band(calibrationLeast)
	}
	m.mu.Lock()
	m.Band = taken
	m.mu.Unlock()
	f.bands.Store(&taken.Sensors)
	return nil
}

// windowAt is a look-back with what followed it, up to a time; empty if there is
// none there without a gap.
func (e *Engine) windowAt(ctx context.Context, m *memory, f *predictor, at time.Time) (fettle.Window, error) {
	if f.asStored(m.plan) {
		return e.rows.Window(m.machine, at, f.width(), f.model.Sensors)
	}
	info, _ := e.rows.Info(m.machine)
	rows, err := e.resampledRows(ctx, m, f, lookRequest{info: info, until: at, rows: f.width()})
	if err != nil && reasoned(err) {
		return fettle.Window{}, nil
	}
	return rows.window, err
}

// whole tells whether a window has all rows, all values, and no gap in time.
func whole(window fettle.Window, rows int) bool {
	if window.Rows() < rows {
		return false
	}
	longest := gapSteps * float64(window.Step().Microseconds())
	for i := 1; i < window.Rows(); i++ {
		if float64(window.TimesMicros[i]-window.TimesMicros[i-1]) > longest {
			return false
		}
	}
	for _, column := range window.Columns {
		for _, v := range column {
			if math.IsNaN(v) {
				return false
			}
		}
	}
	return true
}

// touches tells whether a row of the window is in quarantine.
func touches(window fettle.Window, quarantined []fettle.Interval) bool {
	held := newQuarantine(quarantined)
	for _, at := range window.TimesMicros {
		if held.holds(at) {
			return true
		}
	}
	return false
}

func addResiduals(to []residuals, f *predictor, window fettle.Window) {
	n := f.model.Context
	for i, predicted := range f.predict(window.Slice(0, n).Columns) {
		to[i].add(predicted, window.Columns[i][n:])
	}
}
