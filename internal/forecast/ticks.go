package forecast

import (
	"time"

	"fettle"
	"fettle/internal/readings"
)

const (
	// liveFor is how long after its time a tick counts as live.
	liveFor = 10 * time.Minute
	// steadyWithin is the part by which a machine's rhythm may change before
	// its ticks do: every window has a slightly different median.
	steadyWithin = 0.1
)

// A Tick is the event time at which a forecaster looks ahead.
type Tick struct {
	Forecaster string
	At         time.Time
}

// Due returns a machine's oldest tick that is due, of all its forecasters: that
// its readings, complete up to the watermark, have passed, and that Forecast has
// not consumed. A forecaster's ticks stand at multiples of its interval, or of
// its step if that is longer, and start with the row that completes the first
// look-back.
//
// Back-fill and replay get every tick at which anything new was read. A live
// machine that is behind (its due tick is younger than ten minutes by the wall
// clock) gets its newest tick only; the others are counted as skipped.
//
// The caller works off its ticks in order:
//
//	for {
//		tick, due := engine.Due(machine, watermark)
//		if !due {
//			break
//		}
//		// judge the rows up to tick.At; then:
//		made, err := engine.Forecast(ctx, machine, tick)
//	}
func (e *Engine) Due(machine string, watermark time.Time) (oldest Tick, due bool) {
	info, found := e.rows.Info(machine)
	if !found {
		return Tick{}, false
	}
	for _, m := range e.memoriesOf(machine) {
		at, isDue := e.dueOf(m, info, watermark)
		if isDue && (!due || at.Before(oldest.At)) {
			oldest, due = Tick{m.plan.Name, at}, true
		}
	}
	return oldest, due
}

func (e *Engine) dueOf(m *memory, info readings.Info, watermark time.Time) (at time.Time, due bool) {
	if m.plan.rowsUntil(info, watermark) < int64(m.plan.Context) {
		return time.Time{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Ticked.IsZero() {
		if err := e.start(m, info, watermark); err != nil {
			e.log.Error("cannot tell when the first forecast is due", "machine", m.machine, "forecaster", m.plan.Name, "err", err)
		}
	}
	if m.Ticked.IsZero() || m.next().After(watermark) {
		return time.Time{}, false
	}
	if err := e.passSilence(m); err != nil {
		e.log.Error("cannot tell when the next forecast is due", "machine", m.machine, "forecaster", m.plan.Name, "err", err)
		return time.Time{}, false
	}
	e.skipLive(m, watermark)
	at = m.next()
	return at, !at.After(watermark)
}

// start sets a forecaster's clock so that its first tick is the first one at or
// after the row that completes a look-back.
func (e *Engine) start(m *memory, info readings.Info, watermark time.Time) error {
	if !m.plan.own() {
		m.Ticked = m.before(m.plan.newest(info.First).Add(time.Duration(m.plan.Context+1) * m.plan.Step))
		return nil
	}
	var first fettle.Window
	err := e.rows.Range(m.machine, info.First, watermark.Add(time.Microsecond), func(r fettle.Reading) error {
		if first.TimesMicros = append(first.TimesMicros, r.Time.UnixMicro()); first.Rows() == m.plan.Context {
			return readings.Stop
		}
		return nil
	})
	if err != nil || first.Rows() < m.plan.Context {
		return err
	}
	m.Step = first.Step()
	m.Ticked = m.before(time.UnixMicro(first.TimesMicros[m.plan.Context-1]))
	return nil
}

// passSilence moves a forecaster's clock on over ticks at which nothing new was
// read: a machine that stood still for a month owes no forecasts of it.
func (e *Engine) passSilence(m *memory) error {
	var newer time.Time
	err := e.rows.Range(m.machine, m.Ticked.Add(time.Microsecond), time.Time{}, func(r fettle.Reading) error {
		newer = r.Time
		return readings.Stop
	})
	if err != nil || newer.IsZero() {
		return err
	}
	if tick := m.before(newer); tick.After(m.Ticked) {
		m.Ticked = tick
	}
	return nil
}

// skipLive moves the clock of a live machine to its newest tick.
func (e *Engine) skipLive(m *memory, watermark time.Time) {
	m.behind = false
	if e.cfg.Now().Sub(m.next()) > liveFor {
		return
	}
	newest := watermark.Truncate(m.every())
	if behind := newest.Sub(m.next()) / m.every(); behind > 0 {
		e.counts.skipped.Add(int64(behind))
		m.Ticked, m.behind = newest.Add(-m.every()), true
	}
}

// every is the time from tick to tick: whole seconds, so that a step of
// 299.98 s ticks every five minutes.
func (m *memory) every() time.Duration {
	return max(m.interval(), m.plan.Step, m.Step.Round(time.Second))
}

// next is the tick after the newest one that was consumed.
func (m *memory) next() time.Time {
	return m.Ticked.Truncate(m.every()).Add(m.every())
}

// before is a time such that the next tick after it is the first one at or
// after t.
func (m *memory) before(t time.Time) time.Time {
	return t.UTC().Add(-time.Microsecond).Truncate(m.every())
}

// keepStep takes over a machine's rhythm as its newest look-back shows it.
func (m *memory) keepStep(step time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if change := (step - m.Step).Abs(); m.plan.own() && step > 0 && float64(change) > steadyWithin*float64(m.Step) {
		m.Step = step
	}
}

// Next returns the event time of a forecaster's next tick; zero if the machine
// has not enough rows for one, or either is unknown.
func (e *Engine) Next(machine, forecaster string) time.Time {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return time.Time{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Ticked.IsZero() {
		return time.Time{}
	}
	return m.next()
}
