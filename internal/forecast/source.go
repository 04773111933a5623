package forecast

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/readings"
)

const (
	// checkEvery is after how many rows a reader looks whether it should stop.
	checkEvery = 4096
	// longestStretch is the most days of cells that are read at once.
	longestStretch = 8
)

// A source reads a machine's rows as they are stored or, with a step, as the
// means of cells of time.
type source struct {
	store   *readings.Store
	machine string
	step    time.Duration // 0: rows as they are stored
	sensors []string
}

func (e *Engine) source(m *memory, sensors []string) source {
	return source{store: e.rows, machine: m.machine, step: m.plan.Step, sensors: sensors}
}

// each yields rows from a time up to another, both included, ascending: time in
// microseconds, and (sensors) values, valid during the call, NaN where a sensor
// was silent. Of cells it yields those that are over by then.
func (s source) each(ctx context.Context, from, until time.Time, yield func(at int64, values []float64) error) error {
	if s.step == 0 {
		return s.eachRow(ctx, from, until, yield)
	}
	values := make([]float64, len(s.sensors))
	for from = from.Truncate(s.step); !from.After(until); {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := s.stretchEnd(from)
		if to.After(until) {
			to = until
		}
		w, err := s.store.Means(s.machine, s.sensors, from, to, s.step)
		if err != nil {
			return err
		}
		for row, at := range w.TimesMicros {
			for i := range values {
				values[i] = w.Columns[i][row]
			}
			if err := yield(at, values); err != nil {
				return err
			}
		}
		if from = to.Truncate(s.step); !to.Before(until) {
			return nil
		}
	}
	return nil
}

// stretchEnd is up to where cells are read at once: as many as the store gives,
// of whole days if that is a day or more, because a day's file is read whole.
func (s source) stretchEnd(from time.Time) time.Time {
	const day = 24 * time.Hour
	cells := max(1, readings.MaxMeans/max(1, len(s.sensors)))
	days := time.Duration(cells) * s.step / day
	if days == 0 {
		return from.Add(time.Duration(cells) * s.step)
	}
	return from.Truncate(day).Add(min(days, longestStretch) * day)
}

func (s source) eachRow(ctx context.Context, from, until time.Time, yield func(at int64, values []float64) error) error {
	places := placesOf(s.sensors)
	values, seen := make([]float64, len(s.sensors)), 0
	return s.store.Range(s.machine, from, until.Add(time.Microsecond), func(r fettle.Reading) error {
		if seen++; seen%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		places.spread(r.Values, values)
		return yield(r.Time.UnixMicro(), values)
	})
}

// places are sensors in the order of their names, as readings have them, each
// with its place in the order that was asked for.
type places []place

type place struct {
	sensor string
	at     int
}

func placesOf(sensors []string) places {
	p := make(places, len(sensors))
	for i, name := range sensors {
		p[i] = place{name, i}
	}
	slices.SortFunc(p, func(a, b place) int { return strings.Compare(a.sensor, b.sensor) })
	return p
}

// spread puts sorted values to their places, NaN where there is none.
func (p places) spread(from []fettle.Value, to []float64) {
	for _, one := range p {
		for len(from) > 0 && from[0].Sensor < one.sensor {
			from = from[1:]
		}
		to[one.at] = math.NaN()
		if len(from) > 0 && from[0].Sensor == one.sensor {
			to[one.at] = from[0].Value
		}
	}
}

// resampled yields a source's rows a step apart. Rows in quarantine are left
// out: history is cut there, and what was said before does not hold after.
type resampled struct {
	source
	rhythm      *rhythm
	step        time.Duration // of what comes out
	quarantined []fettle.Interval
	ends        bool // the last row is the newest there is: it may lack what is still to come
}

// A tally counts what resampling did.
type tally struct{ filled, gaps, quarantined int }

func (s resampled) each(ctx context.Context, from, until time.Time, emit func(at int64, values []float64) error) (tally, error) {
	r := newResampler(s.step.Microseconds(), s.rhythm.limits(s.sensors, s.step), emit)
	held, wide := newQuarantine(s.quarantined), max(1, s.source.step.Microseconds())
	var t tally
	err := s.source.each(ctx, from, until, func(at int64, values []float64) error {
		if held.touches(at, at+wide) {
			t.quarantined++
			return r.part()
		}
		return r.add(at, values)
	})
	if err == nil {
		err = r.end(until.UnixMicro(), s.ends && s.rhythm.Joins)
	}
	if err == nil && s.ends && s.source.step > 0 {
		err = r.fillTo(until.Truncate(s.step).Add(-s.step).UnixMicro())
	}
	t.filled, t.gaps = r.filled, r.gaps
	return t, err
}
