package forecast

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/internal/readings"
)

const (
	// learnFrom is how far back from the watermark a fit looks, and learnSteps
	// the least it looks back in steps of a forecaster that has them.
	learnFrom  = 30 * 24 * time.Hour
	learnSteps = 365 * 24
	// learnEvery is how often a machine with that much history is fitted anew, at
	// a time of day of its own.
	learnEvery = 24 * time.Hour
	// learnSpread is over what part of its rows the fits of forecasters with steps
	// of their own are spread while there is less: machines that were switched on
	// together do not double theirs together.
	learnSpread = 0.25
	// ridgesKept is how many ridge versions of a machine stay in the folder.
	ridgesKept = 3
)

// A learnRequest says from what a machine may learn.
type learnRequest struct {
	from, until time.Time // both included
	rows        int64     // stored up to until
	quarantined []fettle.Interval
}

// Learn fits the ridge of a machine's forecaster anew if it is time to, and
// publishes it: once two windows of rows are stored (120 rows for the deployed
// horizon), at each doubling of them up to 30 days, then daily, all by event
// time. A machine's fits have a time of day of their own, and those of
// forecasters with steps of their own come up to an eighth later than the
// doubling, so that machines are not fitted all at once. Learn looks at most 30 days back from the tick (a year for steps of an
// hour), never past it, and not at what is quarantined. It tells whether a new ridge is there. A
// machine that cannot be fitted yet is no error.
//
// A fit holds a few megabytes however many rows there are; a month of rows every
// two seconds takes some seconds. A machine of more than 256 sensors gets a
// ridge of the first 256 by name.
//
// Learn also takes the band of a PatchTST that serves the machine without one.
func (e *Engine) Learn(ctx context.Context, machine string, tick Tick,
	quarantined func(machine string, from, to time.Time) []fettle.Interval) (refitted bool, err error) {
	m, info, err := e.find(machine, tick.Forecaster)
	if err != nil || tick.At.Before(info.First) {
		return false, nil
	}
	if tick.Forecaster == fettle.ShortForecaster {
		for _, other := range e.memoriesOf(machine) {
			if other != m && other.newDay(info, tick.At) {
				more, err := e.learn(ctx, other, info, tick.At, quarantined)
				if err != nil {
					return refitted, err
				}
				refitted = refitted || more
			}
		}
	}
	more, err := e.learn(ctx, m, info, tick.At, quarantined)
	return refitted || more, err
}

// newDay tells whether a daily fit of a forecaster with steps of its own is due.
// It is then fitted at a tick of the short forecaster: its own are those of all
// machines, at whole hours say, when there are a thousand forecasts to make.
func (m *memory) newDay(info readings.Info, at time.Time) bool {
	m.mu.Lock()
	tried := m.tried.at
	m.mu.Unlock()
	return !tried.IsZero() && at.Sub(info.First) >= m.plan.history() && m.dayOf(at).After(m.dayOf(tried))
}

// learn is Learn of one forecaster at a time.
func (e *Engine) learn(ctx context.Context, m *memory, info readings.Info, at time.Time,
	quarantined func(machine string, from, to time.Time) []fettle.Interval) (refitted bool, err error) {
	machine := m.machine
	ask := learnRequest{from: at.Add(-m.plan.history()), until: at}
	if ask.from.Before(info.First) {
		ask.from = info.First
	}
	if ask.rows, err = e.count(m, info, at); err != nil {
		return false, fmt.Errorf("count rows of %s: %w", machine, err)
	}
	known, err := e.refreshRhythm(ctx, m, info, at, m.lacksRows())
	if err != nil {
		return false, fmt.Errorf("find the rhythm of %s: %w", machine, err)
	}
	serving, _ := e.champion(m, info) // none is no reason not to learn
	last := e.lastFit(m, serving)
	bandDue, fitDue := e.bandDue(m, serving, ask.rows), m.fitDue(last, info, ask) || m.changedPace(known, serving, ask.rows-last.rows)
	if bandDue || fitDue {
		ask.quarantined = quarantined(machine, ask.from, at.Add(time.Microsecond))
	}
	if bandDue {
		if err := e.calibrate(ctx, m, serving, ask); err != nil {
			return false, fmt.Errorf("calibrate %s: %w", serving.model.Name, err)
		}
	}
	if !fitDue {
		return false, nil
	}
	err = e.refit(ctx, m, info, ask)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unfit = nil; missing(err) != nil {
		m.unfit = err // Forecast and Explain tell it
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("learn %s: %w", machine, err)
	}
	m.trouble = nil // it may be over; the next tick will tell
	return true, nil
}

// count returns how many rows a forecaster has up to a time: of the machine's own, from the total back
// or from the last count on, whichever is less to read.
func (e *Engine) count(m *memory, info readings.Info, until time.Time) (int64, error) {
	if !m.plan.own() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.counted = mark{m.plan.rowsUntil(info, until), until}
		return m.counted.rows, nil
	}
	m.mu.Lock()
	counted := m.counted
	m.mu.Unlock()
	if counted.at.IsZero() || counted.at.After(until) {
		counted = mark{at: info.First.Add(-time.Microsecond)}
	}
	var err error
	if back := info.Last.Sub(until); back <= until.Sub(counted.at) {
		var after int64
		after, err = e.countBetween(m.machine, until, info.Last)
		counted = mark{info.Rows - after, until}
	} else {
		var more int64
		more, err = e.countBetween(m.machine, counted.at, until)
		counted = mark{counted.rows + more, until}
	}
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	m.counted = counted
	m.mu.Unlock()
	return counted.rows, nil
}

// countBetween counts the rows after one time up to another.
func (e *Engine) countBetween(machine string, after, until time.Time) (rows int64, err error) {
	if !after.Before(until) {
		return 0, nil
	}
	err = e.rows.Range(machine, after.Add(time.Microsecond), until.Add(time.Microsecond), func(fettle.Reading) error {
		rows++
		return nil
	})
	return rows, err
}

// lastFit is how many rows a machine's newest ridge was fitted to and when, by
// event time; zero if there is none. f serves the machine now; nil if nothing
// does. What was tried since the start counts, also if it failed.
func (e *Engine) lastFit(m *memory, f *predictor) mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.tried.at.IsZero():
		return m.tried
	case f == nil:
		return mark{}
	case f.ridge != nil:
		return mark{f.ridge.StoredRows, f.ridge.Until}
	}
	newest, found := e.newestRidge(m)
	if !found {
		return mark{}
	}
	r, err := openRidge(newest.Dir)
	if err != nil {
		return mark{} // a broken one is replaced
	}
	m.tried = mark{r.StoredRows, r.Until}
	return m.tried
}

// fitDue tells whether a machine is to be fitted anew.
func (m *memory) fitDue(last mark, info readings.Info, ask learnRequest) bool {
	switch {
	case ask.rows < m.plan.firstFit():
		return false
	case ask.rows < last.rows/2: // other readings than those it was fitted to
		return true
	case ask.until.Sub(info.First) >= m.plan.history() && !last.at.IsZero():
		return m.dayOf(ask.until).After(m.dayOf(last.at))
	default:
		return float64(ask.rows) >= (2+m.spread())*float64(last.rows) || m.hasWaited(ask.rows, last.rows)
	}
}

// place is a forecaster's among those of all machines, from 0 to 1: always the
// same, so that a replay fits when the machine did.
func (m *memory) place() float64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(m.machine + "\x00" + m.plan.Name)) // a hash takes everything
	return float64(hash.Sum64()>>11) / (1 << 53)
}

// dayOf is when the day began in which a daily fit belongs: forecasters with
// steps of their own tick at whole hours or minutes, and a thousand machines
// that are fitted at the same one are late with their forecasts.
func (m *memory) dayOf(at time.Time) time.Time {
	begin := time.Duration(m.place() * float64(learnEvery))
	return at.Add(-begin).Truncate(learnEvery)
}

// spread is how many times its rows a forecaster waits beyond the doubling.
// The machine's own rows double at other times than those of others, and their
// fits are short.
func (m *memory) spread() float64 {
	if m.plan.own() {
		return 0
	}
	return learnSpread * m.place()
}

// lacksRows tells whether the newest tick gave nothing because its look-back was
// too short: the machine stood still, or speaks in another rhythm now.
func (m *memory) lacksRows() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	short := missing(m.trouble)
	return short != nil && short.lookBack
}

// changedPace tells whether a machine's ridge was fitted on steps that are not
// its own any more, and so many rows have come since that a fit may succeed.
func (m *memory) changedPace(known *rhythm, serving *predictor, since int64) bool {
	if known == nil || known.Step <= 0 || serving == nil || serving.ridge == nil || !m.plan.own() {
		return false
	}
	step := serving.step()
	return since >= m.plan.firstFit() && (known.Step > 3*step/2 || known.Step < 2*step/3)
}

// hasWaited tells whether the rows that the last try found too few should be
// enough now: of a machine that sends several messages a row they are not those
// that are stored.
func (m *memory) hasWaited(rows, tried int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	short := missing(m.unfit)
	counted := short != nil && short.Have > 0 && int64(short.Need) == m.plan.firstFit() // and not one long stretch
	return counted && rows*int64(short.Have) >= tried*int64(short.Need)
}

// refit fits a machine's ridge and publishes it.
func (e *Engine) refit(ctx context.Context, m *memory, info readings.Info, ask learnRequest) error {
	m.mu.Lock()
	m.tried = mark{ask.rows, ask.until}
	m.mu.Unlock()
	started := time.Now()
	known, err := e.refreshRhythm(ctx, m, info, ask.until, true)
	if err != nil || known == nil || known.Step == 0 {
		return cmp.Or(err, notEnough(NotEnough{Have: int(ask.rows), Need: int(m.plan.firstFit()), What: "rows to fit from"}))
	}
	in := resampled{source: e.source(m, firstSensors(info)), rhythm: known, step: known.Step, quarantined: ask.quarantined, ends: true}
	r, err := fitter{
		context: m.plan.Context, horizon: m.plan.Steps, sensors: in.sensors, step: in.step, rows: e.rowsFor(ctx, in, ask),
	}.fit()
	if err != nil {
		return err
	}
	r.StoredRows = ask.rows
	published, err := e.models.Publish(model.Publication{
		Machine: m.machine, Forecaster: m.plan.Name, Family: model.Ridge, Sensors: r.names(),
		Context: r.Context, Horizon: r.Horizon, StepSeconds: r.StepSeconds,
		TrainedRows: r.FittedRows, Parameters: r.Context * r.Horizon,
	}, r.save)
	if err != nil {
		return err
	}
	e.counts.fits.Add(1)
	e.log.Info("ridge fitted", "machine", m.machine, "model", published.Name, "rows", r.FittedRows, "sensors", len(r.Sensors),
		"of", len(info.Sensors), "mse", r.HeldOut.MSE, "last_value_mse", r.HeldOut.LastValue, "took", time.Since(started).Round(time.Millisecond))
	e.removeOld(m)
	return nil
}

// rowsFor yields the rows that a forecaster may learn from, a step apart, as
// readings that are valid during the call. One without values stands where
// history is cut.
func (e *Engine) rowsFor(ctx context.Context, in resampled, ask learnRequest) func(time.Time, func(fettle.Reading) error) error {
	return func(from time.Time, yield func(fettle.Reading) error) error {
		begin := from.Add(-in.rhythm.longest(in.sensors, in.step)) // for the words that hold
		if begin.Before(ask.from) {
			begin = ask.from
		}
		r := fettle.Reading{Machine: in.machine}
		_, err := in.each(ctx, begin, ask.until, func(at int64, values []float64) error {
			if r.Time = time.UnixMicro(at).UTC(); r.Time.Before(from) {
				return nil
			}
			r.Values = r.Values[:0]
			for i, v := range values {
				if !math.IsNaN(v) {
					r.Values = append(r.Values, fettle.Value{Sensor: in.sensors[i], Value: v})
				}
			}
			return yield(r)
		})
		return err
	}
}

// ridgesOf lists a forecaster's ridge versions of a machine, oldest first.
func (e *Engine) ridgesOf(m *memory) []fettle.Model {
	var ridges []fettle.Model
	for _, v := range e.models.Versions(m.machine) {
		if v.Forecaster == m.plan.Name && v.Family == model.Ridge {
			ridges = append(ridges, v.Model)
		}
	}
	return ridges
}

func (e *Engine) newestRidge(m *memory) (model.Version, bool) {
	ridges := e.ridgesOf(m)
	if len(ridges) == 0 {
		return model.Version{}, false
	}
	return e.models.Get(ridges[len(ridges)-1].Name)
}

// removeOld keeps the folder from filling up with what doubling and days leave
// behind.
func (e *Engine) removeOld(m *memory) {
	ridges := e.ridgesOf(m)
	for _, old := range ridges[:max(0, len(ridges)-ridgesKept)] {
		if old.Champion || old.State == fettle.ModelChallenger {
			continue // somebody went back to it, or will
		}
		if err := e.models.Delete(old.Name); err != nil {
			e.log.Warn("cannot remove an old ridge", "machine", m.machine, "model", old.Name, "err", err)
		}
	}
}
