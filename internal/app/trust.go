package app

import (
	"time"

	"fettle/internal/web"
)

// trust says how a forecaster's forecasts of a machine came out, for its page:
// bands over their last 500, errors over the last day of the machine's time.
func (a *App) trust(machine, forecaster string) web.Trust {
	var t web.Trust
	covered, err := a.flow.forecasts.Coverage(machine, forecaster)
	if err != nil {
		return t
	}
	t.Bands = make(map[string]web.Band, len(covered))
	for _, s := range covered {
		if s.Coverage != nil {
			t.Bands[s.Sensor] = web.Band{Promise: s.Promise, Held: *s.Coverage, Of: s.Scored, Width: s.Width}
		}
	}
	info, _ := a.flow.readings.Info(machine)
	scores, err := a.flow.forecasts.Accuracy(machine, forecaster, info.Last.Add(-24*time.Hour), info.Last.Add(time.Microsecond))
	if err != nil {
		a.log.Warn("cannot tell how forecasts came out", "machine", machine, "err", err)
		return t
	}
	if scores.Skill != nil {
		t.Skill, t.Steps, t.Yardstick = *scores.Skill, scores.Steps, scores.BeatenBy
	}
	return t
}
