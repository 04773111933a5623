package train

import (
	"fmt"
	"math"
	"slices"

	"fettle"
	"fettle/internal/model"
)

// A Scaling says what values are measured in while a model learns.
type Scaling string

// The scalings, both by the rows that are learned from.
const (
	MinMax Scaling = "minmax" // least and greatest value become 0 and 1
	Robust Scaling = "robust" // the median becomes 0, the inter-quartile range 1: a few wild values do not matter
)

// fit adds a sensor to a scaler, by values that it sorts. A sensor that rests
// most of the time has no inter-quartile range, and its whole range stands in;
// for one that never moves it is 1.
func (kind Scaling) fit(s *model.Scaler, sensor string, known []float64) error {
	if len(known) == 0 {
		return fettle.Errorf(fettle.Invalid, "%s has no value among the rows to learn from; leave it out", sensor)
	}
	slices.Sort(known)
	low, high := known[0], known[len(known)-1]
	zero, one := low, high-low
	switch kind {
	case MinMax:
	case Robust:
		zero = quantile(known, 0.5)
		one = quantile(known, 0.75) - quantile(known, 0.25)
		if one == 0 {
			one = high - low
		}
	default:
		return fettle.BadField("bad scaler", "scaler", string(kind), fmt.Sprintf("%s or %s", MinMax, Robust))
	}
	if one == 0 {
		one = 1
	}
	if scale := 1 / one; math.IsInf(one, 0) || math.IsInf(scale, 0) || math.IsInf(zero*scale, 0) {
		return fettle.Errorf(fettle.Invalid, "%s reaches from %v to %v, which cannot be scaled", sensor, low, high)
	}
	s.Unclipped = true
	s.FeatureNames = append(s.FeatureNames, sensor)
	s.DataMin, s.DataMax = append(s.DataMin, low), append(s.DataMax, high)
	s.Scale, s.Min = append(s.Scale, 1/one), append(s.Min, -zero/one)
	return nil
}

// quantile of sorted values, between two of them by linear interpolation.
func quantile(sorted []float64, q float64) float64 {
	place := q * float64(len(sorted)-1)
	below := int(place)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	part := place - float64(below)
	return sorted[below]*(1-part) + sorted[below+1]*part
}
