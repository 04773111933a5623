package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"fettle"
	"fettle/internal/forecast"
)

func (a *API) addForecasts() {
	op := get("/machines/{machine}/forecast", "get-forecast", tagMachines, "A machine's newest forecast")
	op.Description = "404 if there is none: code says why, have and need how many readings there are and how many it takes."
	add(a, Read, op, func(ctx context.Context, in *struct {
		MachinePath
		Forecaster string `query:"forecaster" maxLength:"128" default:"short" doc:"Which of the configured forecasters: short, hour, days"`
		Fresh      bool   `query:"fresh" doc:"Look ahead from the newest reading, instead of the last time a forecast fell due"`
	}) (*answer[forecastDetail], error) {
		newest, err := a.newestForecast(ctx, in.Machine, in.Forecaster, in.Fresh)
		if err != nil {
			return nil, err
		}
		sensors := make([]string, len(newest.Sensors))
		for i, s := range newest.Sensors {
			sensors[i] = s.Sensor
		}
		bands, err := a.Scores.Coverage(in.Machine, in.Forecaster)
		return &answer[forecastDetail]{forecastDetail{Forecast: newest.Forecast, Units: a.unitsOf(sensors), Bands: bands}}, err
	})
	a.addAccuracy()

	add(a, Read, get("/machines/{machine}/verdicts", "get-verdicts", tagMachines, "How a machine's readings were judged"),
		func(_ context.Context, in *struct {
			MachinePath
			Stretch
		}) (*answer[verdictList], error) {
			list, err := a.verdictsOf(in.Machine, in.Stretch)
			return &answer[verdictList]{verdictList{list}}, err
		})

	add(a, Read, get("/machines/{machine}/anomalies", "get-anomalies", tagMachines, "What the old min..max rule found in a machine's forecasts"),
		func(_ context.Context, in *struct {
			MachinePath
			Last int `query:"last" minimum:"1" maximum:"10000" default:"100" doc:"The newest so many"`
		}) (*answer[anomalyList], error) {
			if err := a.mustExist(in.Machine); err != nil {
				return nil, err
			}
			list, err := a.Verdicts.LastAnomalies(in.Machine, in.Last)
			return &answer[anomalyList]{anomalyList{append([]fettle.Anomaly{}, list...)}}, err
		})
}

// newestForecast is the last one that fell due, or one made for the asker. Its
// error is a 404 whatever the reason is.
func (a *API) newestForecast(ctx context.Context, machine, forecaster string, fresh bool) (forecast.Made, error) {
	if err := a.mustExist(machine); err != nil {
		return forecast.Made{}, err
	}
	if fresh {
		made, err := a.Forecasts.Fresh(ctx, machine, forecaster)
		if err != nil {
			return forecast.Made{}, noForecast(machine, err)
		}
		return made, nil
	}
	made, found := a.Forecasts.Latest(machine, forecaster)
	if !found {
		return forecast.Made{}, noForecast(machine, a.Forecasts.Explain(machine, forecaster))
	}
	return made, nil
}

type verdictList struct {
	Verdicts []fettle.Verdict `json:"verdicts" doc:"Ascending in time"`
}

type anomalyList struct {
	Anomalies []fettle.Anomaly `json:"anomalies" doc:"The newest first"`
}

// forecastDetail is a forecast with what it takes to show it.
type forecastDetail struct {
	fettle.Forecast
	Units map[string]string         `json:"units" doc:"Units of the sensors, where they are known"`
	Bands []forecast.SensorCoverage `json:"bands" doc:"How often the readings lay within the bands of the newest 500 forecasts, beside the promise; empty until some were scored"`
}

// noForecast says why a machine has no forecast: 404 whatever the reason is,
// because that is what is not there.
func noForecast(machine string, why error) *Problem {
	p := &Problem{
		Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound,
		Detail: fmt.Sprintf("no forecast of %s yet", machine), Code: forecast.ReasonPending,
	}
	if why != nil {
		p.Detail, p.Code = fmt.Sprintf("no forecast of %s: %v", machine, why), fettle.ReasonOf(why)
	}
	var short *forecast.NotEnough
	if errors.As(why, &short) {
		p.Have, p.Need = &short.Have, &short.Need
	}
	return p
}

// verdictsOf lists the verdicts of a stretch of a machine's time. The newest n
// are those of the newest n readings up to the one that was judged last.
func (a *API) verdictsOf(machine string, s Stretch) ([]fettle.Verdict, error) {
	if err := a.mustExist(machine); err != nil {
		return nil, err
	}
	from, to, last, err := s.resolve()
	if err != nil {
		return nil, err
	}
	if last > 0 {
		newest, judged := a.Verdicts.Latest(machine)
		if !judged {
			return []fettle.Verdict{}, nil
		}
		until := newest.Time
		if !to.IsZero() && !to.After(until) {
			until = to.Add(-time.Microsecond) // Last includes its bound
		}
		// The newest row is judged once the next one has come: one row more
		// makes sure of the number asked for.
		rows, err := a.Readings.Last(machine, until, last+1)
		if err != nil || len(rows) == 0 {
			return []fettle.Verdict{}, err
		}
		from = rows[0].Time
	}
	if to.IsZero() {
		to = nowOn
	}
	list := []fettle.Verdict{}
	err = a.Verdicts.Range(machine, from, to, func(v fettle.Verdict) error {
		if len(list) == maxRows {
			return fettle.Errorf(fettle.Invalid, "the range holds more than %d verdicts, the limit of one answer; narrow it with from and to", maxRows)
		}
		list = append(list, v)
		return nil
	})
	if last > 0 {
		list = list[max(0, len(list)-last):]
	}
	return list, err
}
