package forecast

import (
	"fmt"
	"slices"
	"time"

	"fettle"
)

// Rows yields readings from a time on, ascending, as often as it is asked.
type Rows func(from time.Time, yield func(fettle.Reading) error) error

// FitRidgeRows fits a ridge to rows that are not all in memory. Rows that are
// not enough are an error of kind Unavailable with a NotEnough inside.
func FitRidgeRows(sensors []string, context, horizon int, rows Rows) (*Ridge, error) {
	plan := Short()
	plan.Context, plan.Steps = context, horizon
	if err := plan.check(); err != nil {
		return nil, err
	}
	if len(sensors) > maxSensors {
		return nil, fettle.BadField("too many sensors", "sensors", fmt.Sprint(len(sensors)), fmt.Sprintf("at most %d for a ridge", maxSensors))
	}
	r, err := fitter{context: context, horizon: horizon, sensors: slices.Sorted(slices.Values(sensors)), rows: func(from time.Time, yield func(fettle.Reading) error) error {
		return rows(from, func(r fettle.Reading) error {
			r.Values = fettle.SortValues(r.Values)
			return yield(r)
		})
	}}.fit()
	if err != nil {
		return nil, err
	}
	return &Ridge{r}, nil
}
