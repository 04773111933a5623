package forecast

import (
	"context"
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// MaxHistory bounds a training window, in rows times sensors: 32 MB.
const MaxHistory = 1 << 22

// A HistoryRequest says what a training window is made of.
type HistoryRequest struct {
	From, Until time.Time         // both included; zero: the machine's first and newest reading
	Quarantined []fettle.Interval // whose rows are left out
	MaxRows     int               // the newest so many; 0, and at most: as many as MaxHistory allows
	Sensors     []string          // nil: all of the machine's, at most 256, by name
	Step        time.Duration     // the machine's own step, for forecasters that look at its rows; 0: found
}

// A HistoryReport says how a training window was made.
type HistoryReport struct {
	Step        time.Duration `json:"step"`
	Rows        int           `json:"rows"`        // without those that mark a cut
	Filled      int           `json:"filled"`      // of them, rows that were missing
	Gaps        int           `json:"gaps"`        // times history was cut because more were missing
	Held        []string      `json:"held"`        // sensors that report by exception
	Quarantined int           `json:"quarantined"` // rows left out
	From        time.Time     `json:"from"`        // event time of the oldest and of the newest row
	Until       time.Time     `json:"until"`
}

// History turns a machine's stored readings into a training window for a
// forecaster: rows a step apart, ascending, the newest if there are more than
// asked for, as a live forecast would be made from. What a sensor missed for
// longer than its last word holds is NaN. Where history is cut (by a long gap,
// or rows in quarantine) there stands one row of NaN in all columns, so that a
// stretch of rows without NaN has no gap in time.
//
// It reads what it needs once or twice, and holds little more than the window.
// A machine without readings is NotFound; one with too few to tell its step has
// an empty window.
func History(ctx context.Context, rows *readings.Store, machine string, f Forecaster, ask HistoryRequest) (fettle.Window, HistoryReport, error) {
	info, found := rows.Info(machine)
	if !found {
		return fettle.Window{}, HistoryReport{}, unknownMachine(machine)
	}
	ask = ask.completed(info)
	s := source{store: rows, machine: machine, step: f.Step, sensors: ask.Sensors}
	known, err := findRhythm(ctx, s, ask.Until, info.First, ask.Step)
	if err != nil || known == nil || known.Step == 0 {
		return fettle.Window{Machine: machine, Sensors: ask.Sensors, Columns: make([][]float64, len(ask.Sensors))}, HistoryReport{}, err
	}
	in := resampled{source: s, rhythm: known, step: known.Step, quarantined: ask.Quarantined, ends: true}
	// Gaps make it reach further back than the rows themselves would.
	for span := time.Duration(1.25 * float64(ask.MaxRows) * float64(known.Step)); ; span *= 2 {
		from := ask.Until.Add(-span)
		if from.Before(ask.From) || span <= 0 {
			from = ask.From
		}
		kept := newTail(ask.Sensors, ask.MaxRows)
		t, err := in.each(ctx, from, ask.Until, kept.add)
		if err != nil {
			return fettle.Window{}, HistoryReport{}, err
		}
		if kept.seen >= ask.MaxRows || !from.After(ask.From) {
			w := kept.window()
			w.Machine = machine
			return w, reportOf(w, known, t), nil
		}
	}
}

// History makes a training window for one of the Engine's forecasters.
func (e *Engine) History(ctx context.Context, machine, forecaster string, ask HistoryRequest) (fettle.Window, HistoryReport, error) {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return fettle.Window{}, HistoryReport{}, err
	}
	if ask.Step == 0 {
		ask.Step = e.cfg.Steps[machine]
	}
	return History(ctx, e.rows, machine, m.plan, ask)
}

func (ask HistoryRequest) completed(info readings.Info) HistoryRequest {
	if ask.Sensors == nil {
		ask.Sensors = firstSensors(info)
	}
	most := MaxHistory / max(1, len(ask.Sensors))
	if ask.MaxRows <= 0 || ask.MaxRows > most {
		ask.MaxRows = most
	}
	if ask.From.Before(info.First) {
		ask.From = info.First
	}
	if ask.Until.IsZero() {
		ask.Until = info.Last
	}
	return ask
}

// firstSensors are those of a machine that are forecast.
func firstSensors(info readings.Info) []string {
	return info.Sensors[:min(len(info.Sensors), maxSensors)]
}

func reportOf(w fettle.Window, known *rhythm, t tally) HistoryReport {
	r := HistoryReport{Step: known.Step, Filled: t.filled, Gaps: t.gaps, Held: []string{}, Quarantined: t.quarantined}
	for name := range known.Held {
		r.Held = append(r.Held, name)
	}
	slices.Sort(r.Held)
	for row, at := range w.TimesMicros {
		if !silent(w, row) {
			r.Rows++
			r.Until = time.UnixMicro(at).UTC()
			if r.From.IsZero() {
				r.From = r.Until
			}
		}
	}
	return r
}

// silent tells whether no sensor says anything in a row.
func silent(w fettle.Window, row int) bool {
	return !slices.ContainsFunc(w.Columns, func(column []float64) bool { return !math.IsNaN(column[row]) })
}

// A tail keeps the newest rows of those that it gets.
type tail struct {
	sensors []string
	most    int
	seen    int
	times   []int64
	columns [][]float64 // (sensors, rows)
	cut     int         // rows before the one from which on nothing was cut
}

func newTail(sensors []string, most int) *tail {
	return &tail{sensors: sensors, most: most, columns: make([][]float64, len(sensors))}
}

// add takes in a row; all NaN marks a cut.
func (t *tail) add(at int64, values []float64) error {
	if n := len(t.times); n >= t.most+t.most/4+64 { // dropped some at a time, so that it costs little
		drop := n - t.most + 1
		t.times = append(t.times[:0], t.times[drop:]...)
		for i, column := range t.columns {
			t.columns[i] = append(column[:0], column[drop:]...)
		}
		t.cut = max(0, t.cut-drop)
	}
	t.seen++
	t.times = append(t.times, at)
	said := false
	for i, v := range values {
		t.columns[i] = append(t.columns[i], v)
		said = said || !math.IsNaN(v)
	}
	if !said {
		t.cut = len(t.times)
	}
	return nil
}

// window is the newest rows, as many as were asked for.
func (t *tail) window() fettle.Window {
	all := fettle.Window{Sensors: t.sensors, TimesMicros: t.times, Columns: t.columns}
	return all.Slice(max(0, len(t.times)-t.most), len(t.times))
}

// unbroken is those after the last cut, at most as many as were asked for.
func (t *tail) unbroken() fettle.Window {
	all := fettle.Window{Sensors: t.sensors, TimesMicros: t.times, Columns: t.columns}
	return all.Slice(max(t.cut, len(t.times)-t.most), len(t.times))
}
