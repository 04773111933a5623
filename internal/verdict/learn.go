package verdict

import (
	"errors"
	"fmt"
	"time"

	"fettle"
)

// warmUp is how many rows a new model is shown before it takes over: after
// them, what its moving average began with no longer matters.
const warmUp = 100

// learn fits a machine on its rows up to r, the newest one judged, and lets the
// new model take over. Readings that cannot be fitted are no error: the machine
// goes on as it was.
func (j *Judge) learn(m *machine, r fettle.Reading) error {
	j.fitting.Lock()
	defer j.fitting.Unlock()
	began := time.Now()
	err := j.relearn(m, r)
	switch {
	case err == nil:
		m.refitted = true
		j.log.Debug("learned what is usual", "machine", m.name, "rows", m.live.rows, "sensors", m.live.dims(), "took", time.Since(began))
		return nil
	case errors.Is(err, errUnknown):
		return nil
	case errors.Is(err, errSingular):
		j.log.Warn("machine could not be fitted, judged as before", "machine", m.name, "err", err)
		return nil
	default:
		return fmt.Errorf("learn from readings of %s: %w", m.name, err)
	}
}

// relearn takes the fit for which it is time.
func (j *Judge) relearn(m *machine, r fettle.Reading) error {
	c := &m.course
	switch {
	case m.live == nil:
		return j.refit(m, r, nil)
	case c.anomalous > 0: // outgrown: what was found by the old model counts no more
		m.quarantine.release(c.since)
		c.outgrew()
		return j.refit(m, r, nil)
	case c.welcome(m.live):
		return j.welcome(m, r)
	default:
		return j.refit(m, r, m.live)
	}
}

// refit fits on as much of the past as counts. The new model takes over from
// the one before, if there is one to take over from.
func (j *Judge) refit(m *machine, r fettle.Reading, before *watch) error {
	var step time.Duration
	if m.live != nil {
		step = m.live.step
	}
	next, err := j.fit(m, m.course.from(r.Time, step), r.Time, before)
	if errors.Is(err, errUnknown) || errors.Is(err, errSingular) {
		m.course.failed(r.Time)
	}
	if err != nil {
		return err
	}
	m.live = next
	m.course.succeeded(r.Time)
	return nil
}

// welcome fits on the rows since a sensor joined, or since a machine's life began
// anew. If the sensors that the model does not know are still not known well
// enough, all stays as it is.
func (j *Judge) welcome(m *machine, r fettle.Reading) error {
	c := &m.course
	next, err := j.fit(m, c.joined, r.Time, m.live)
	if err == nil && (c.renewing() || next.knowsMoreThan(m.live.model)) {
		m.live = next
		c.welcomed(next.rows)
		c.succeeded(r.Time)
		return nil
	}
	c.refused++
	if err == nil {
		err = errUnknown
	}
	return err
}

// fit makes a watch fitted on a stretch of a machine's rows, both ends
// included, that has seen the newest of them.
func (j *Judge) fit(m *machine, from, until time.Time, before *watch) (*watch, error) {
	model, err := fit(j.source(m, from, until))
	if err != nil {
		return nil, err
	}
	shown, err := j.rows.Last(m.name, until, warmUp+lags)
	if err != nil {
		return nil, err
	}
	next := newWatch(model)
	for _, row := range shown {
		next.take(row, false)
	}
	if before != nil {
		next.succeed(before)
	}
	return next, nil
}

// source hands over a machine's rows from a time up to and including another,
// but for those in quarantine or in a silence.
func (j *Judge) source(m *machine, from, until time.Time) source {
	end := until.Add(time.Microsecond)
	return func(yield func(fettle.Reading) error) error {
		kept := skipping(j.withSilences(m.quarantine.within(from, end), m.name, from, end))
		return j.rows.Range(m.name, from, end, func(r fettle.Reading) error {
			if kept.skips(r.Time) {
				return nil
			}
			return yield(r)
		})
	}
}
