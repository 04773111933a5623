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

// Due returns a machine's oldest tick that is due: that its readings, complete
// up to the watermark, have passed, and that Forecast has not consumed. Ticks
// stand at multiples of the interval, or of the machine's own step if that is
// longer, and start with the row that completes the first look-back.
//
// Back-fill and replay get every tick at which anything new was read. A live
// machine that is behind (its due tick is younger than ten minutes by the wall
// clock) gets its newest tick only; the others are counted as skipped.
//
// The caller works off its ticks in order:
//
//	for {
//		at, due := engine.Due(machine, watermark)
//		if !due {
//			break
//		}
//		// judge the rows up to at; then:
//		made, err := engine.Forecast(ctx, machine, at)
//	}
func (e *Engine) Due(machine string, watermark time.Time) (at time.Time, due bool) {
	info, found := e.rows.Info(machine)
	if !found || info.Rows < int64(e.cfg.Rows) {
		return time.Time{}, false
	}
	m := e.memory(machine)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Ticked.IsZero() {
		if err := e.start(m, info, watermark); err != nil {
			e.log.Error("cannot tell when the first forecast is due", "machine", machine, "err", err)
		}
	}
	if m.Ticked.IsZero() || e.next(m).After(watermark) {
		return time.Time{}, false
	}
	if err := e.passSilence(m); err != nil {
		e.log.Error("cannot tell when the next forecast is due", "machine", machine, "err", err)
		return time.Time{}, false
	}
	e.skipLive(m, watermark)
	at = e.next(m)
	return at, !at.After(watermark)
}

// start sets a machine's clock so that its first tick is the first one at or
// after the row that completes a look-back.
func (e *Engine) start(m *memory, info readings.Info, watermark time.Time) error {
	var first fettle.Window
	err := e.rows.Range(m.machine, info.First, watermark.Add(time.Microsecond), func(r fettle.Reading) error {
		if first.TimesMicros = append(first.TimesMicros, r.Time.UnixMicro()); first.Rows() == e.cfg.Rows {
			return readings.Stop
		}
		return nil
	})
	if err != nil || first.Rows() < e.cfg.Rows {
		return err
	}
	m.Step = first.Step()
	m.Ticked = e.before(m, time.UnixMicro(first.TimesMicros[e.cfg.Rows-1]))
	return nil
}

// passSilence moves a machine's clock on over ticks at which nothing new was
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
	if tick := e.before(m, newer); tick.After(m.Ticked) {
		m.Ticked = tick
	}
	return nil
}

// skipLive moves the clock of a live machine to its newest tick.
func (e *Engine) skipLive(m *memory, watermark time.Time) {
	if e.cfg.Now().Sub(e.next(m)) > liveFor {
		return
	}
	newest := watermark.Truncate(e.every(m))
	if behind := newest.Sub(e.next(m)) / e.every(m); behind > 0 {
		e.counts.skipped.Add(int64(behind))
		m.Ticked = newest.Add(-e.every(m))
	}
}

// every is the time from tick to tick: whole seconds, so that a step of
// 299.98 s ticks every five minutes.
func (e *Engine) every(m *memory) time.Duration {
	return max(e.cfg.Interval, m.Step.Round(time.Second))
}

// next is the tick after the newest one that was consumed.
func (e *Engine) next(m *memory) time.Time {
	return m.Ticked.Truncate(e.every(m)).Add(e.every(m))
}

// before is a time such that the next tick after it is the first one at or
// after t.
func (e *Engine) before(m *memory, t time.Time) time.Time {
	return t.UTC().Add(-time.Microsecond).Truncate(e.every(m))
}

// keepStep takes over a machine's rhythm as its newest look-back shows it.
func (m *memory) keepStep(step time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if change := (step - m.Step).Abs(); step > 0 && float64(change) > steadyWithin*float64(m.Step) {
		m.Step = step
	}
}

// Next returns the event time of a machine's next tick; zero if it has not
// enough rows for one, or is unknown.
func (e *Engine) Next(machine string) time.Time {
	if _, found := e.rows.Info(machine); !found {
		return time.Time{}
	}
	m := e.memory(machine)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Ticked.IsZero() {
		return time.Time{}
	}
	return e.next(m)
}
