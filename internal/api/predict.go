package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/verdict"
)

// oldTime is how the old routes write a time: UTC, always six decimals.
const oldTime = "2006-01-02T15:04:05.000000Z"

// predictBody answers /predict. It says the forecast twice, under predictions
// and under forecast: the old system did the one, its guide showed the other.
type predictBody struct {
	Status      string     `json:"status"`
	Workspace   string     `json:"workspace_id"`
	Message     string     `json:"message"`
	Predictions prediction `json:"predictions"`
}

type prediction struct {
	Timestamp    string           `json:"timestamp" doc:"Event time of the newest reading it was made from"`
	AlertStatus  string           `json:"alert_status" enum:"At Risk,Normal"`
	AlertMessage string           `json:"alert_message"`
	AtRisk       []string         `json:"at_risk_features"`
	Predictions  bySensor[floats] `json:"predictions" doc:"The steps ahead of each sensor, in its own unit"`
	Length       int              `json:"prediction_horizon"`
	Note         string           `json:"note"`
	Horizon      int              `json:"horizon"`
	Forecast     bySensor[floats] `json:"forecast"`
	Units        bySensor[string] `json:"units" doc:"Of the sensors whose unit is known"`
	StepSeconds  float64          `json:"step_seconds"`
	Model        string           `json:"model"`
}

// predictError answers /predict when there is no forecast, with status 200 as
// the old system did.
type predictError struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    string `json:"code"`
	Why     string `json:"why"`
	Have    *int   `json:"have,omitempty"`
	Need    *int   `json:"need,omitempty"`
	// ReadyAt is event time.
	ReadyAt *time.Time `json:"ready_at,omitempty" doc:"When there will be enough readings if the machine goes on without a break; absent if that cannot be told"`
}

func (a *API) predict(w http.ResponseWriter, r *http.Request) {
	machine := r.PathValue("machine")
	made, found := a.Forecasts.Latest(machine, fettle.ShortForecaster)
	if !found {
		writeJSON(w, http.StatusOK, a.noPrediction(machine))
		return
	}
	writeJSON(w, http.StatusOK, a.predictionOf(made))
}

func (a *API) noPrediction(machine string) predictError {
	body := predictError{
		Status:  "error",
		Message: "No predictions available for " + machine + ". Wait for inference cycle.",
		Code:    forecast.ReasonPending,
		Why:     "the first forecast is being made",
	}
	err := a.Forecasts.Explain(machine, fettle.ShortForecaster)
	switch reason := fettle.ReasonOf(err); reason {
	case forecast.ReasonUnknown, forecast.ReasonNotEnough:
		body.Code, body.Why = reason, err.Error()
	case forecast.ReasonPending:
		body.Why = err.Error()
	case forecast.ReasonModel:
		body.Why = "its model cannot be used; /api/v1/models says why" // which may name files
	}
	var short *forecast.NotEnough
	if errors.As(err, &short) {
		body.Have, body.Need = &short.Have, &short.Need
		if !short.Until.IsZero() {
			body.ReadyAt = &short.Until
		}
	}
	return body
}

func (a *API) predictionOf(made forecast.Made) predictBody {
	steps := strconv.Itoa(made.Steps())
	checked := made.Origin.UTC().Format(oldTime)
	p := prediction{
		Timestamp:    checked,
		AlertStatus:  "Normal",
		AlertMessage: "Machine Condition Normal (Checked at: " + checked + ")",
		AtRisk:       []string{},
		Length:       made.Steps(),
		Note:         "Values are in each sensor's own unit; a step is " + time.Duration(made.StepSeconds*float64(time.Second)).String() + " long",
		Horizon:      made.Steps(),
		Units:        bySensor[string]{},
		StepSeconds:  made.StepSeconds,
		Model:        made.Model,
	}
	if anomaly, found := verdict.RangeRule(made.Forecast, made.Window, made.Scale); found {
		p.AlertStatus, p.AlertMessage, p.AtRisk = "At Risk", anomaly.Message, anomaly.Affected
	}
	for _, s := range oldOrder(made.Sensors, func(s fettle.SensorForecast) string { return s.Sensor }) {
		p.Predictions = append(p.Predictions, sensorEntry[floats]{s.Sensor, s.Values})
		if unit := a.Unit(s.Sensor); unit != "" {
			p.Units = append(p.Units, sensorEntry[string]{s.Sensor, unit})
		}
	}
	p.Forecast = p.Predictions
	return predictBody{
		Status:      "success",
		Workspace:   made.Machine,
		Message:     "Predictions show next " + steps + " timesteps for all " + strconv.Itoa(len(made.Sensors)) + " sensor features",
		Predictions: p,
	}
}

// oldOrder puts the six sensors of the old system in front, in its order.
func oldOrder[T any](list []T, sensor func(T) string) []T {
	six := []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}
	rank := func(one T) int {
		if i := slices.Index(six, sensor(one)); i >= 0 {
			return i
		}
		return len(six)
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b T) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}
