package train

import (
	"context"
	"slices"
)

const (
	// bandCoverage is the share of readings that a band promises to hold.
	bandCoverage = 0.9
	// bandLeast is how many windows a band must be taken from.
	bandLeast = 10
	// bandResiduals bounds the residuals of all sensors and steps together (8 MB).
	bandResiduals = 1 << 21
)

// A Band is how far readings of one sensor strayed from the model's forecasts
// on the rows that it was judged by: quantiles of actual minus forecast, step by
// step, in the sensor's own unit.
type Band struct {
	Sensor   string    `json:"sensor"`
	Coverage float64   `json:"coverage"`
	Below    []float64 `json:"below"` // (horizon), mostly negative
	Above    []float64 `json:"above"` // (horizon)
}

// bands are taken from a contender's forecasts of as many windows as fit.
func (s *Set) bands(a arena, c contender) []Band {
	cells := a.size.Horizon * a.channels
	if most := max(bandLeast, bandResiduals/cells); len(a.starts) > most {
		spread := make([]int, most)
		for i := range spread {
			spread[i] = a.starts[i*len(a.starts)/most]
		}
		a.starts = spread
	}
	windows := len(a.starts)
	if windows < bandLeast {
		return nil
	}
	residuals := make([]float32, cells*windows) // (horizon, channels, windows)
	_ = a.each(context.Background(), c, func(i int, ahead []float32) {
		for at, truth := range a.truth(i) {
			residuals[at*windows+i] = truth - ahead[at]
		}
	})
	bands := make([]Band, a.channels)
	for c := range bands {
		bands[c] = Band{Sensor: s.Sensors[c], Coverage: bandCoverage, Below: make([]float64, a.size.Horizon), Above: make([]float64, a.size.Horizon)}
		for h := range a.size.Horizon {
			at := (h*a.channels + c) * windows
			of := residuals[at : at+windows]
			slices.Sort(of)
			bands[c].Below[h] = edge(of, (1-bandCoverage)/2) / s.Scaler.Scale[c]
			bands[c].Above[h] = edge(of, (1+bandCoverage)/2) / s.Scaler.Scale[c]
		}
	}
	return bands
}

func edge(sorted []float32, q float64) float64 {
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}
