package train

import (
	"context"
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// A stretch is the part of a machine's history that a forecaster learns from.
type stretch struct {
	machine  string
	from, to time.Time // from is part of it, to is not
	step     time.Duration
}

// checkEvery is after how many rows it is seen whether somebody wants to stop.
const checkEvery = 4096

// rows yields a stretch's rows, ascending: the machine's own, or for a
// forecaster with a step the means of them.
func (s stretch) rows(ctx context.Context, store *readings.Store, yield func(fettle.Reading) error) error {
	seen := 0
	own := func(r fettle.Reading) error {
		if seen++; seen%checkEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return yield(r)
	}
	if s.step == 0 {
		return store.Range(s.machine, s.from, s.to, own)
	}
	const whole = 24 * time.Hour // a day has a whole number of steps
	for from := s.from.Truncate(whole); from.Before(s.to); from = from.Add(whole) {
		means, err := store.Means(s.machine, nil, from, earlier(from.Add(whole), s.to), s.step)
		if err != nil {
			return err
		}
		if err := eachRow(means, own); err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// eachRow yields a window's rows as readings.
func eachRow(w fettle.Window, yield func(fettle.Reading) error) error {
	for row, at := range w.TimesMicros {
		r := fettle.Reading{Machine: w.Machine, Time: time.UnixMicro(at).UTC()}
		for i, sensor := range w.Sensors {
			if v := w.Columns[i][row]; !math.IsNaN(v) {
				r.Values = append(r.Values, fettle.Value{Sensor: sensor, Value: v})
			}
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

const (
	// oftenEnough is the share of rows in which a sensor has to speak to be
	// forecast.
	oftenEnough = 0.5
	// mostSensors bounds what one model forecasts: the first ones by name.
	mostSensors = 256
)

// sensors are those of a stretch that speak often enough.
func (s stretch) sensors(ctx context.Context, store *readings.Store) ([]string, error) {
	said, rows := map[string]int{}, 0
	err := s.rows(ctx, store, func(r fettle.Reading) error {
		rows++
		for _, v := range r.Values {
			said[v.Sensor]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var often []string
	for sensor, n := range said {
		if float64(n) >= oftenEnough*float64(rows) {
			often = append(often, sensor)
		}
	}
	slices.Sort(often)
	return often[:min(len(often), mostSensors)], nil
}
