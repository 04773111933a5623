package train

import (
	"context"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/readings"
)

// A past is the part of a machine's history that a forecaster learns from.
type past struct {
	store      *readings.Store
	machine    string
	forecaster forecast.Forecaster
	from, to   time.Time // from is part of it, to is not
}

const (
	// heldCells is how much of a history the server holds at once, in rows times
	// sensors: 1 MB, and some copies of it.
	heldCells = 1 << 17
	// oftenEnough is the share of rows in which a sensor has to speak to be
	// forecast.
	oftenEnough = 0.5
	// mostSensors bounds what one model forecasts: the first ones by name.
	mostSensors = 256
)

// step is the time between the rows of a past; 0 if its readings are too few to
// tell.
func (p past) step(ctx context.Context) (time.Duration, error) {
	if p.forecaster.Step > 0 {
		return p.forecaster.Step, nil
	}
	_, report, err := forecast.History(ctx, p.store, p.machine, p.forecaster, forecast.HistoryRequest{From: p.from, MaxRows: 2})
	return report.Step, err
}

// windows yields a history piece by piece, as a live forecast would see it: rows
// a step apart, short gaps filled. Between two pieces nothing is filled. What is
// in quarantine is there too: a worker leaves it out, so that it knows of it.
func (p past) windows(ctx context.Context, sensors []string) windowsOf {
	return func(yield func(fettle.Window) error) error {
		step, err := p.step(ctx)
		if err != nil || step == 0 {
			return err
		}
		ask := forecast.HistoryRequest{Sensors: sensors, MaxRows: 1 + heldCells/max(1, len(sensors))}
		if p.forecaster.Step == 0 {
			ask.Step = step
		}
		length := time.Duration(ask.MaxRows-1) * step
		for ask.From = p.from.Truncate(p.forecaster.Step); ask.From.Before(p.to); ask.From = ask.From.Add(length) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			ask.Until = earlier(ask.From.Add(length), p.to).Add(-time.Microsecond)
			w, _, err := forecast.History(ctx, p.store, p.machine, p.forecaster, ask)
			if err != nil {
				return err
			}
			if err := yield(w); err != nil {
				return err
			}
		}
		return nil
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// talkative are the sensors that spoke in enough of so many rows.
func talkative(sensors []string, spoken []int, rows int) []string {
	var often []string
	for i, sensor := range sensors {
		if spoken[i] > 0 && float64(spoken[i]) >= oftenEnough*float64(rows) {
			often = append(often, sensor)
		}
	}
	return often
}
