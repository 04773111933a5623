package app

import (
	"time"

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
