package api

import (
	"context"
	"time"

	"fettle/internal/forecast"
)

// accuracyOver is how much time an accuracy is of, unless one is asked for: as
// long as the forecasts themselves are kept.
const accuracyOver = 7 * 24 * time.Hour

func (a *API) addAccuracy() {
	op := get("/machines/{machine}/accuracy", "get-accuracy", tagMachines, "How a machine's forecasts came out")
	op.Description = "Errors, and how often the readings lay within the bands, beside the last value and the season before on the same windows. By the hour of the last seven days, else by the day."
	add(a, Read, op, func(_ context.Context, in *struct {
		MachinePath
		Forecaster string `query:"forecaster" maxLength:"128" default:"short" doc:"Which of the configured forecasters: short, hour, days"`
		From       moment `query:"from" doc:"Event time of the first step, rounded down to the hour or the day; absent: 7 days before to"`
		To         moment `query:"to" doc:"Event time before which the last hour or day begins; absent: the newest"`
	}) (*answer[accuracyDetail], error) {
		if err := a.mustExist(in.Machine); err != nil {
			return nil, err
		}
		from, to := in.From.Time, in.To.Time
		if info, _ := a.Readings.Info(in.Machine); to.IsZero() {
			to = info.Last.Add(time.Microsecond)
		}
		if from.IsZero() {
			from = to.Add(-accuracyOver)
		}
		found, err := a.Scores.Accuracy(in.Machine, in.Forecaster, from, to)
		if err != nil {
			return nil, err
		}
		sensors := make([]string, len(found.Sensors))
		for i, s := range found.Sensors {
			sensors[i] = s.Sensor
		}
		detail := accuracyDetail{Accuracy: found, Units: a.unitsOf(sensors)}
		if drift, known := a.Scores.Drift(in.Machine, in.Forecaster); known {
			detail.Drift = &drift
		}
		return &answer[accuracyDetail]{detail}, nil
	})
}

// accuracyDetail is an accuracy with what it takes to show it.
type accuracyDetail struct {
	forecast.Accuracy
	Drift *forecast.Drift   `json:"drift" doc:"Whether the champion's errors are what they were on the data held out from its fit; null until half a day was scored"`
	Units map[string]string `json:"units" doc:"Units of the sensors, where they are known"`
}
