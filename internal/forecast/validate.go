package forecast

import (
	"context"
	"fmt"
	"math"
	"time"

	"fettle"
)

// validationReach is how old the oldest row of a validation may be. The old
// system looked back 3, 5, 10 and then 30 minutes, until there were enough rows,
// and took the newest of them: the newest rows of the last 30 minutes.
const validationReach = 30 * time.Minute

// A Validation lays a machine's forecast of rows that it already has beside
// those rows. Numbers are in the sensors' own units, but for MAPE and
// OverallAccuracy, which keep the old system's formula on scaled values.
type Validation struct {
	Machine         string
	Model           string
	Origin          time.Time // event time of the newest row that the forecast saw
	StepSeconds     float64
	Sensors         []SensorValidation
	OverallAccuracy float64 // max(0, 100 - mean MAPE), percent
}

// A SensorValidation is one sensor's part; the lists are (steps).
type SensorValidation struct {
	Sensor      string
	Predictions []float64
	Actuals     []float64
	MAE         float64 // mean absolute error
	RMSE        float64 // root of the mean squared error
	MAPE        float64 // 100 * mean |(a-p)/(a+1e-8)|, a and p scaled to 0..1 of the model's range
}

// NoModel says that a machine has no model to validate, in the old system's
// words. It comes inside an error of kind NotFound.
type NoModel struct{ Machine string }

func (e *NoModel) Error() string { return "No model for " + e.Machine }

// InsufficientData says that there are too few rows to validate with, in the
// old system's words. It comes inside an error of kind Unavailable.
type InsufficientData struct{ Have, Need int }

func (e *InsufficientData) Error() string {
	return fmt.Sprintf("Insufficient data for validation. Found %d points, need at least %d. Data may be too recent or sparse.", e.Have, e.Need)
}

// Validate makes the short forecast of a machine's newest rows from the rows
// before them. A sensor that was silent for more than a few of them is left out.
func (e *Engine) Validate(ctx context.Context, machine string) (Validation, error) {
	if err := ctx.Err(); err != nil {
		return Validation{}, err
	}
	m, info, err := e.find(machine, fettle.ShortForecaster)
	if err != nil {
		return Validation{}, &fettle.Error{Kind: fettle.NotFound, Reason: ReasonUnknown, Err: &NoModel{machine}}
	}
	f, err := e.champion(m, info)
	if _, has := e.models.Champion(machine, m.plan.Name); !has {
		return Validation{}, &fettle.Error{Kind: fettle.NotFound, Reason: ReasonPending, Err: &NoModel{machine}}
	} else if err != nil {
		return Validation{}, err
	}
	look, err := e.lookBack(ctx, m, f, lookRequest{info: info, until: info.Last, rows: f.width(), reach: validationReach})
	if short := missing(err); short != nil {
		return Validation{}, &fettle.Error{Kind: fettle.Unavailable, Reason: ReasonNotEnough, Err: &InsufficientData{short.Have, short.Need}}
	} else if err != nil {
		return Validation{}, fmt.Errorf("validate %s: %w", machine, err)
	}
	return validate(f, look), nil
}

func validate(f *predictor, l look) Validation {
	n := f.model.Context
	seen := l.window.Slice(0, n)
	v := Validation{Machine: l.window.Machine, Model: f.model.Name, StepSeconds: l.step.Seconds(), Origin: time.UnixMicro(seen.TimesMicros[n-1]).UTC()}
	var percents float64
	for i, predicted := range f.predict(seen.Columns) {
		if !finite(predicted) {
			continue
		}
		s := SensorValidation{Sensor: seen.Sensors[i], Predictions: predicted, Actuals: l.window.Columns[i][n:]}
		s.measure(f.scale[l.kept[i]])
		percents += s.MAPE
		v.Sensors = append(v.Sensors, s)
	}
	v.OverallAccuracy = max(0, 100-percents/float64(max(1, len(v.Sensors))))
	return v
}

func (s *SensorValidation) measure(span fettle.Span) {
	steps := float64(len(s.Predictions))
	width := span.High - span.Low
	if width == 0 {
		width = 1 // as scikit-learn scales a constant
	}
	var squares float64
	for i, p := range s.Predictions {
		a := s.Actuals[i]
		s.MAE += math.Abs(a-p) / steps
		squares += (a - p) * (a - p)
		scaledA, scaledP := (a-span.Low)/width, (p-span.Low)/width
		s.MAPE += 100 * math.Abs((scaledA-scaledP)/(scaledA+1e-8)) / steps
	}
	s.RMSE = math.Sqrt(squares / steps)
}
