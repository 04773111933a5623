package forecast

import (
	"math"
	"slices"

	"fettle"
)

// The band's promise, and the share of the readings that may lie beyond each of
// its edges.
const (
	coverage = 0.9
	beyond   = (1 - coverage) / 2
)

// A band is how far below and above a forecast the readings stayed on what was
// held out from a fit, step by step, in the sensor's own unit. All lists are
// empty if there is no band; Error is also empty in a file from before it.
type band struct {
	Below []float64 `json:"below,omitempty"` // (horizon), mostly negative: added to the forecast
	Above []float64 `json:"above,omitempty"` // (horizon)
	Error []float64 `json:"error,omitempty"` // (horizon) mean absolute error
}

// around puts the band around a forecast; false if there is none.
func (b band) around(s *fettle.SensorForecast) bool {
	if len(b.Below) == 0 {
		return false
	}
	lower, upper := plus(s.Values, b.Below), plus(s.Values, b.Above)
	if !finite(lower) || !finite(upper) {
		return false
	}
	s.Lower, s.Upper = lower, upper
	return true
}

func plus(a, b []float64) []float64 {
	sum := make([]float64, len(a))
	for i, v := range a {
		sum[i] = v + b[i]
	}
	return sum
}

// residuals are what forecasts of one sensor left unexplained.
type residuals [][]float64 // (horizon, windows)

func (r *residuals) add(forecast, actual []float64) {
	if *r == nil {
		*r = make(residuals, len(forecast))
	}
	for h, v := range forecast {
		(*r)[h] = append((*r)[h], actual[h]-v)
	}
}

// band is empty with fewer than `least` windows, and for a sensor whose values
// are so far apart that their differences overflow.
func (r residuals) band(least int) band {
	if len(r) == 0 || len(r[0]) < least {
		return band{}
	}
	b := band{Below: make([]float64, len(r)), Above: make([]float64, len(r)), Error: make([]float64, len(r))}
	for h, values := range r {
		for _, v := range values {
			b.Error[h] += math.Abs(v) / float64(len(values))
		}
		slices.Sort(values)
		rank := conformalRank(len(values))
		b.Below[h], b.Above[h] = values[len(values)-rank], values[rank-1]
	}
	if !finite(b.Below) || !finite(b.Above) || !finite(b.Error) {
		return band{}
	}
	return b
}

// conformalRank is which of n sorted residuals, counted from 1, the upper edge
// is. The n residuals and the one to come split the line into n+1 parts, each as
// likely to hold it as any other (split conformal prediction): so (n+1)(1-a) and
// not n(1-a). Below 19 residuals the edge should lie beyond all of them; the
// farthest has to do.
func conformalRank(n int) int {
	return min(n, int(math.Ceil(float64(n+1)*(1-beyond)-1e-9)))
}
