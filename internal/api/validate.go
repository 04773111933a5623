package api

import (
	"errors"
	"net/http"

	"fettle"
	"fettle/internal/forecast"
)

// validateBody answers /validate: a forecast of rows that are already there,
// beside those rows. MAE and RMSE are in each sensor's own unit; MAPE and the
// accuracy are those of the old system, taken on values scaled to 0..1.
type validateBody struct {
	Status      string             `json:"status"`
	Workspace   string             `json:"workspace_id"`
	Predictions bySensor[floats]   `json:"predictions"`
	Actuals     bySensor[floats]   `json:"actuals"`
	Metrics     bySensor[accuracy] `json:"metrics"`
	Accuracy    number             `json:"overall_accuracy" doc:"Percent"`
	Note        string             `json:"note"`
}

type accuracy struct {
	MAE  number `json:"MAE"`
	RMSE number `json:"RMSE"`
	MAPE number `json:"MAPE"`
}

// validateError answers /validate when it cannot be done, with status 200 as
// the old system did.
type validateError struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    string `json:"code,omitempty"`
	Have    *int   `json:"have,omitempty"`
	Need    *int   `json:"need,omitempty"`
}

func (a *API) validate(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, a.validationOf(r, r.PathValue("machine")))
}

// validation answers /validation: a page, or for a program that asks for JSON
// an object with the answer of /validate for each machine.
func (a *API) validation(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	all := bySensor[any]{}
	for _, machine := range a.modelled() {
		if r.Context().Err() != nil {
			return
		}
		all = append(all, sensorEntry[any]{machine, a.validationOf(r, machine)})
	}
	if names(r, "application/json") && !prefersHTML(r) {
		writeJSON(w, http.StatusOK, all)
		return
	}
	writePage(w, http.StatusOK, validationPage, all)
}

// validationOf is the answer for one machine: a validateBody or validateError.
func (a *API) validationOf(r *http.Request, machine string) any {
	v, err := a.Forecasts.Validate(r.Context(), machine)
	if err != nil {
		return a.noValidation(err)
	}
	body := validateBody{
		Status: "success", Workspace: machine, Accuracy: number(v.OverallAccuracy),
		Note: "Predictions, actuals, MAE and RMSE are in each sensor's own unit; MAPE and overall_accuracy are taken on scaled values",
	}
	for _, s := range oldOrder(v.Sensors, func(s forecast.SensorValidation) string { return s.Sensor }) {
		body.Predictions = append(body.Predictions, sensorEntry[floats]{s.Sensor, s.Predictions})
		body.Actuals = append(body.Actuals, sensorEntry[floats]{s.Sensor, s.Actuals})
		body.Metrics = append(body.Metrics, sensorEntry[accuracy]{s.Sensor, accuracy{number(s.MAE), number(s.RMSE), number(s.MAPE)}})
	}
	return body
}

func (a *API) noValidation(err error) validateError {
	body := validateError{Status: "error", Message: err.Error()}
	if reason := fettle.ReasonOf(err); reason != "other" {
		body.Code = reason
	}
	var none *forecast.NoModel
	var short *forecast.InsufficientData
	switch {
	case errors.As(err, &none):
		body.Message = none.Error()
	case errors.As(err, &short):
		body.Message, body.Have, body.Need = short.Error(), &short.Have, &short.Need
	case fettle.KindOf(err) == fettle.Internal:
		body.Message = a.problemOf("validate", err).Detail
	}
	return body
}

// A number is a number for JSON, which has no NaN and no infinity: null instead.
type number float64

// MarshalJSON writes the number.
func (n number) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(n)), nil }
