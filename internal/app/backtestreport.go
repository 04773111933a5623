package app

import (
	"fmt"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/train"
)

// A BacktestReport says how a machine was forecast and judged. Errors and widths
// are in each sensor's unit, times are event times.
type BacktestReport struct {
	Machine     string             `json:"machine"`
	From        time.Time          `json:"from"` // the first reading
	To          time.Time          `json:"to"`   // the last one
	Rows        int64              `json:"rows"`
	Forecasters []ForecasterReport `json:"forecasters"`
	Verdicts    VerdictCount       `json:"verdicts"`
	Alarms      []fettle.Alarm     `json:"alarms"`              // oldest first
	Trainings   []fettle.Training  `json:"trainings,omitempty"` // oldest first
	Decisions   []model.Decided    `json:"decisions"`           // oldest first; the last 100
}

// A ForecasterReport is one forecaster's part.
type ForecasterReport struct {
	Name string `json:"name"`
	Why  string `json:"why,omitempty"` // there was no forecast
	forecast.Scores
	Sensors []SensorReport `json:"sensors"`
}

// A SensorReport lays the forecasts of one sensor beside the yardsticks' on the
// same steps.
type SensorReport struct {
	Sensor  string  `json:"sensor"`
	Promise float64 `json:"promise"` // share of the readings that the band promises to hold
	forecast.StepScores
	Ridge    *forecast.YardstickScores `json:"ridge,omitempty"`     // if models were trained
	BeatenBy string                    `json:"beaten_by,omitempty"` // the best of the yardsticks, if it was better
}

// A VerdictCount counts readings by what was said of them.
type VerdictCount struct {
	Judged    int64 `json:"judged"`
	Learning  int64 `json:"learning"`  // of them, before there was enough to judge by
	Anomalous int64 `json:"anomalous"` // of them, with a score above 1
}

func (l *life) report(e extent) (BacktestReport, error) {
	r := BacktestReport{Machine: l.ask.Machine, From: e.first.UTC(), To: e.last.UTC(), Rows: e.rows, Alarms: oldestFirst(l.flow.alarms.List(alarm.Filter{Machine: l.ask.Machine})), Decisions: l.models.History(l.ask.Machine)}
	if l.ask.Train {
		r.Trainings = oldestFirst(l.training.List(train.Filter{Machine: l.ask.Machine}))
	}
	err := l.flow.judge.Range(l.ask.Machine, e.first, e.last.Add(time.Microsecond), func(v fettle.Verdict) error {
		r.Verdicts.Judged++
		if v.Learning {
			r.Verdicts.Learning++
		} else if v.Score > 1 {
			r.Verdicts.Anomalous++
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("count verdicts: %w", err)
	}
	for _, f := range l.forecasters() {
		if l.ask.Forecaster != "" && l.ask.Forecaster != f.Name {
			continue
		}
		part, err := l.reportOn(f.Name, e)
		if err != nil {
			return r, fmt.Errorf("sum up the forecaster %s: %w", f.Name, err)
		}
		r.Forecasters = append(r.Forecasters, part)
	}
	return r, nil
}

func oldestFirst[T any](newestFirst []T) []T {
	list := make([]T, 0, len(newestFirst))
	for i := len(newestFirst) - 1; i >= 0; i-- {
		list = append(list, newestFirst[i])
	}
	return list
}

func (l *life) reportOn(forecaster string, e extent) (ForecasterReport, error) {
	r := ForecasterReport{Name: forecaster, Sensors: []SensorReport{}}
	until := e.last.Add(time.Microsecond)
	scores, err := l.flow.forecasts.Accuracy(l.ask.Machine, forecaster, e.first, until)
	if err != nil {
		return r, err
	}
	if r.Scores = scores.Scores; scores.Steps == 0 {
		r.Why = "no forecast came due whose truth was read"
		if why := l.flow.forecasts.Explain(l.ask.Machine, forecaster); why != nil {
			r.Why = why.Error()
		}
		return r, nil
	}
	promises := map[string]float64{}
	covered, err := l.flow.forecasts.Coverage(l.ask.Machine, forecaster)
	if err != nil {
		return r, err
	}
	for _, c := range covered {
		promises[c.Sensor] = c.Promise
	}
	ridges := map[string]forecast.YardstickScores{}
	if l.ridge != nil {
		beside, err := l.ridge.Accuracy(l.ask.Machine, forecaster, e.first, until)
		if err != nil {
			return r, err
		}
		for _, s := range beside.Sensors {
			ridges[s.Sensor] = forecast.YardstickScores{Steps: s.Steps, MAE: s.MAE, RMSE: s.RMSE}
		}
	}
	for _, s := range scores.Sensors {
		part := SensorReport{Sensor: s.Sensor, Promise: promises[s.Sensor], StepScores: s.StepScores}
		if ridge, found := ridges[s.Sensor]; found {
			part.Ridge = &ridge
		}
		part.BeatenBy = part.better()
		r.Sensors = append(r.Sensors, part)
	}
	return r, nil
}

// better names the best of the yardsticks, if its mean absolute error is lower.
func (s SensorReport) better() (name string) {
	best := s.MAE
	consider := func(who string, y *forecast.YardstickScores) {
		if y != nil && y.Steps > 0 && y.MAE < best {
			name, best = who, y.MAE
		}
	}
	consider(forecast.LastValue, &s.Last)
	consider(forecast.SeasonalNaive, &s.Seasonal)
	consider(model.Ridge, s.Ridge)
	return name
}
