package app

import (
	"context"
	"time"

	"fettle"
	"fettle/internal/forecast"
)

// forecasters are those that every machine has: the short one, and those of the
// configuration.
func (a *App) forecasters() []forecast.Forecaster {
	set := a.cfg.Forecast
	short := forecast.Short()
	short.Interval, short.Lookback = time.Duration(set.Interval), time.Duration(set.Lookback)
	all := []forecast.Forecaster{short}
	for _, f := range set.Forecasters {
		all = append(all, forecast.Forecaster{
			Name: f.Name, Step: time.Duration(f.Step), Context: f.Context, Steps: f.Steps, Interval: time.Duration(f.Interval),
		})
	}
	return all
}

// steps are those of the machines whose step is set.
func (a *App) steps() map[string]time.Duration {
	steps := map[string]time.Duration{}
	for _, m := range a.cfg.Forecast.Machines {
		steps[m.Machine] = time.Duration(m.Step)
	}
	return steps
}

// ahead names the forecasters of which there is a forecast of a machine, the
// short one first. That one is made for whoever watches; the others are there or
// not.
func (a *App) ahead(ctx context.Context, machine string) []string {
	var names []string
	for _, f := range a.forecasters() {
		made := false
		if f.Name == fettle.ShortForecaster {
			_, err := a.flow.forecasts.Fresh(ctx, machine, f.Name)
			made = err == nil
		} else {
			_, made = a.flow.forecasts.Latest(machine, f.Name)
		}
		if made {
			names = append(names, f.Name)
		}
	}
	return names
}
