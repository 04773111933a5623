package forecast

import (
	"fmt"
	"math"
	"time"

	"fettle"
	"fettle/internal/model"
)

// A Ridge is a ridge regression that was fitted to rows at hand, without any
// store: what an Engine would publish for a machine with these rows.
type Ridge struct{ ridge *ridge }

// FitRidge fits one to a window's rows. Rows that are not enough are an error
// of kind Unavailable with a NotEnough inside.
func FitRidge(w fettle.Window, context, horizon int) (*Ridge, error) {
	plan := Short()
	plan.Name, plan.Context, plan.Steps = "ridge", context, horizon
	if err := plan.check(); err != nil {
		return nil, err
	}
	if len(w.Sensors) > maxSensors {
		return nil, fettle.BadField("too many sensors", "sensors", fmt.Sprint(len(w.Sensors)), fmt.Sprintf("at most %d for a ridge", maxSensors))
	}
	sorted := sortedSensors(w)
	r, err := fitter{context: context, horizon: horizon, sensors: sorted.Sensors, rows: rowsOfWindow(sorted)}.fit()
	if err != nil {
		return nil, err
	}
	r.StoredRows = int64(w.Rows())
	return &Ridge{r}, nil
}

// sortedSensors is the window with its sensors by name, as readings have them.
func sortedSensors(w fettle.Window) fettle.Window {
	at := make([]fettle.Value, len(w.Sensors))
	for i, name := range w.Sensors {
		at[i] = fettle.Value{Sensor: name, Value: float64(i)}
	}
	sorted := fettle.Window{Machine: w.Machine, TimesMicros: w.TimesMicros}
	for _, v := range fettle.SortValues(at) {
		sorted.Sensors = append(sorted.Sensors, v.Sensor)
		sorted.Columns = append(sorted.Columns, w.Columns[int(v.Value)])
	}
	return sorted
}

// rowsOfWindow yields a window's rows as readings, which are valid during the
// call only.
func rowsOfWindow(w fettle.Window) func(time.Time, func(fettle.Reading) error) error {
	return func(from time.Time, yield func(fettle.Reading) error) error {
		var values []fettle.Value
		for row, micros := range w.TimesMicros {
			at := time.UnixMicro(micros).UTC()
			if at.Before(from) {
				continue
			}
			values = values[:0]
			for i, sensor := range w.Sensors {
				if v := w.Columns[i][row]; !math.IsNaN(v) {
					values = append(values, fettle.Value{Sensor: sensor, Value: v})
				}
			}
			if err := yield(fettle.Reading{Machine: w.Machine, Time: at, Values: values}); err != nil {
				return err
			}
		}
		return nil
	}
}

// Extrapolate forecasts one sensor from its newest rows (context), in the unit
// they have: (horizon).
func (r *Ridge) Extrapolate(window []float64) []float64 { return extrapolate(r.ridge.Weights, window) }

// Season is how many rows back the rows it was fitted to repeat themselves
// best, at most its context.
func (r *Ridge) Season() int { return r.ridge.HeldOut.Season }

// Publication says what a model's card has to say about it.
func (r *Ridge) Publication(machine string) model.Publication {
	return model.Publication{
		Machine: machine, Family: model.Ridge, Sensors: r.ridge.names(),
		Context: r.ridge.Context, Horizon: r.ridge.Horizon, StepSeconds: r.ridge.StepSeconds,
		TrainedRows: r.ridge.FittedRows, Parameters: r.ridge.Context * r.ridge.Horizon,
	}
}

// Save writes it into a model's folder.
func (r *Ridge) Save(dir string) error { return r.ridge.save(dir) }

// Once forecasts with one model version from a window's newest rows, as an
// Engine would: what a sensor missed for a few rows is held, and more is an
// error of kind Unavailable with a NotEnough inside. The window's sensors must
// be the model's, in its order.
func Once(version model.Version, w fettle.Window) (fettle.Forecast, error) {
	f, err := loadVersion(version)
	if err != nil {
		return fettle.Forecast{}, unusable(version.Name, err)
	}
	need := f.model.Context
	if w.Rows() < need {
		return fettle.Forecast{}, notEnough(NotEnough{Have: w.Rows(), Need: need, What: "rows to look back on", lookBack: true})
	}
	columns := make([][]float64, len(w.Columns))
	for i, column := range w.Columns {
		column = append([]float64{}, column[max(0, len(column)-need-maxFill):]...)
		hold(column)
		if whole := wholeRows(column); whole < need {
			return fettle.Forecast{}, notEnough(NotEnough{Have: whole, Need: need, What: "rows to look back on", Sensor: w.Sensors[i], lookBack: true})
		}
		columns[i] = column[len(column)-need:]
	}
	made := fettle.Forecast{
		Machine: w.Machine, Model: f.model.Name, Origin: time.UnixMicro(w.TimesMicros[w.Rows()-1]).UTC(),
		StepSeconds: f.model.StepSeconds,
	}
	if made.StepSeconds <= 0 {
		made.StepSeconds = w.Slice(w.Rows()-need, w.Rows()).Step().Seconds()
	}
	bands := f.bandsNow()
	for i, values := range f.predict(columns) {
		if !finite(values) {
			return fettle.Forecast{}, unusable(version.Name, fmt.Errorf("its forecast of %s is not finite", w.Sensors[i]))
		}
		sensor := fettle.SensorForecast{Sensor: w.Sensors[i], Values: values}
		if len(bands) > 0 && bands[i].around(&sensor) {
			made.Coverage = coverage
		}
		made.Sensors = append(made.Sensors, sensor)
	}
	return made, nil
}
