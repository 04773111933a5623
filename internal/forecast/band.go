package forecast

import "fettle"

// The band's promise and the quantiles of the residuals that keep it.
const (
	coverage  = 0.9
	lowerEdge = (1 - coverage) / 2
	upperEdge = 1 - lowerEdge
)

// A band is how far below and above a forecast the readings stay, step by step,
// in the sensor's own unit. Both lists are empty if there is no band.
type band struct {
	Below []float64 `json:"below,omitempty"` // (horizon), mostly negative: added to the forecast
	Above []float64 `json:"above,omitempty"` // (horizon)
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
	b := band{Below: make([]float64, len(r)), Above: make([]float64, len(r))}
	for h, values := range r {
		edges := quantiles(values, lowerEdge, upperEdge)
		b.Below[h], b.Above[h] = edges[0], edges[1]
	}
	if !finite(b.Below) || !finite(b.Above) {
		return band{}
	}
	return b
}
