package forecast

import (
	"errors"
	"fmt"
	"time"

	"fettle"
)

// The reasons of the errors that say why there is no forecast; the old API's
// `code`.
const (
	ReasonUnknown   = "unknown_workspace"
	ReasonNotEnough = "not_enough_data"
	ReasonPending   = "pending"
	ReasonModel     = "model_unusable"
	ReasonScale     = "unknown_forecaster"
)

// reasoned tells a reason why there is no forecast from a failure.
func reasoned(err error) bool {
	switch fettle.ReasonOf(err) {
	case ReasonNotEnough, ReasonPending, ReasonModel:
		return true
	default:
		return false
	}
}

// NotEnough says how many rows there are and how many it takes. It comes inside
// an error of kind Unavailable.
type NotEnough struct {
	Have, Need int
	What       string // what is counted, such as "rows in the look-back"
	Sensor     string // whose, if one sensor is short and not the machine

	// Until is when there will be enough if the machine goes on without a break;
	// zero if that cannot be told.
	Until    time.Time
	lookBack bool // there is a model, and this is what it looks back on
}

func (e *NotEnough) Error() string {
	text := fmt.Sprintf("have %d of %d %s", e.Have, e.Need, e.What)
	if e.Sensor != "" {
		text += " of sensor " + e.Sensor
	}
	if !e.Until.IsZero() {
		text += ", enough at " + e.Until.Format(time.RFC3339) + " at the earliest"
	}
	return text
}

func notEnough(e NotEnough) error {
	return &fettle.Error{Kind: fettle.Unavailable, Reason: ReasonNotEnough, Err: &e}
}

func unknownMachine(machine string) error {
	return &fettle.Error{Kind: fettle.NotFound, Reason: ReasonUnknown, Err: fmt.Errorf("no machine is called %q", fettle.Shorten(machine))}
}

func unknownForecaster(name string) error {
	return &fettle.Error{Kind: fettle.NotFound, Reason: ReasonScale, Err: fmt.Errorf("no forecaster is called %q", fettle.Shorten(name))}
}

func pending(err error) error {
	return &fettle.Error{Kind: fettle.Unavailable, Reason: ReasonPending, Err: err}
}

func unusable(model string, err error) error {
	return &fettle.Error{Kind: fettle.Unavailable, Reason: ReasonModel, Err: fmt.Errorf("model %s cannot be used: %w", model, err)}
}

// forWantOfModel tells whether a tick gave nothing because there was no model.
func forWantOfModel(err error) bool {
	short := missing(err)
	return fettle.ReasonOf(err) == ReasonPending || short != nil && !short.lookBack
}

// missing finds a NotEnough in an error's chain; nil if there is none.
func missing(err error) *NotEnough {
	var e *NotEnough
	errors.As(err, &e)
	return e
}
