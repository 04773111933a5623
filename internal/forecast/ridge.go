package forecast

import (
	"errors"
	"math"
)

// The penalties that a fit chooses from: 10^lowest .. 10^highest in steps of
// ten, on sums (not means) of squares of scaled values.
const (
	lowestPenalty  = -3
	highestPenalty = 5
	// lastResort ends the search for a penalty under which the equations can be
	// solved at all.
	lastResort = 12
)

// A normal holds the normal equations of regressing the `ahead` values after a
// window on the `back` values in it, the window's own mean subtracted from all.
type normal struct {
	back, ahead, windows int

	xx []float64 // (back, back)
	xy []float64 // (back, ahead)
	yy float64   // sum of squares of all targets
}

// solve returns the weights (ahead, back) that minimise the squared error plus
// penalty times the squared weights; false if the penalty is too small for the
// equations to be solved.
func (n normal) solve(penalty float64) (weights [][]float64, ok bool) {
	c, ok := factor(n.xx, n.back, penalty)
	if !ok {
		return nil, false
	}
	weights = make([][]float64, n.ahead)
	for h := range weights {
		w := make([]float64, n.back)
		for i := range w {
			w[i] = n.xy[i*n.ahead+h]
		}
		solve(c, w)
		weights[h] = w
	}
	return weights, true
}

// meanSquare is the mean squared error of the weights over all windows and
// steps, from the sums alone: (Y-XW)'(Y-XW) = Y'Y - 2W'X'Y + W'X'XW.
func (n normal) meanSquare(weights [][]float64) float64 {
	sum := n.yy
	for h, w := range weights {
		for i, wi := range w {
			sum += wi * (dot(n.xx[i*n.back:(i+1)*n.back], w) - 2*n.xy[i*n.ahead+h])
		}
	}
	return max(0, sum) / float64(n.windows*n.ahead)
}

// A choice is a penalty with the weights it gives on the part that was fitted,
// and their mean squared error on the part that was held out.
type choice struct {
	penalty float64
	weights [][]float64 // (ahead, back)
	heldOut float64
}

var errNoSolution = errors.New("solve the normal equations: no penalty makes them positive definite")

// choosePenalty fits with every penalty and keeps the one with the smallest
// error on what was held out.
func choosePenalty(fitted, heldOut normal) (choice, error) {
	best := choice{heldOut: math.Inf(1)}
	for exponent := lowestPenalty; exponent <= highestPenalty; exponent++ {
		penalty := math.Pow10(exponent)
		weights, ok := fitted.solve(penalty)
		if !ok {
			continue
		}
		if e := heldOut.meanSquare(weights); e < best.heldOut {
			best = choice{penalty: penalty, weights: weights, heldOut: e}
		}
	}
	if best.weights == nil {
		return choice{}, errNoSolution
	}
	return best, nil
}

// refit solves with a chosen penalty, or with the next larger one that works.
func refit(all normal, penalty float64) (weights [][]float64, used float64, err error) {
	for ; penalty <= math.Pow10(lastResort); penalty *= 10 {
		if weights, ok := all.solve(penalty); ok {
			return weights, penalty, nil
		}
	}
	return nil, 0, errNoSolution
}

// extrapolate applies weights (ahead, back) to one sensor's window (back).
//
// It works in the sensor's own unit: the window's mean is subtracted and added
// back, so the median drops out, and what is left is linear, so the scale does.
func extrapolate(weights [][]float64, window []float64) []float64 {
	mean := meanOf(window)
	centred := make([]float64, len(window))
	for i, v := range window {
		centred[i] = v - mean
	}
	ahead := make([]float64, len(weights))
	for h, w := range weights {
		ahead[h] = mean + dot(w, centred)
	}
	return ahead
}

// meanOf adds up distances from the first value, so that the mean of a constant
// is that constant and not its neighbour: the min..max rule would call the
// forecast of a constant sensor out of range for one bit.
func meanOf(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v - values[0]
	}
	return values[0] + sum/float64(len(values))
}

// Yardsticks are the mean squared errors of the forecasts that need no model,
// on scaled values. A model that does not beat them has learnt nothing.
type yardsticks struct {
	LastValue     float64 `json:"last_value_mse"`
	SeasonalNaive float64 `json:"seasonal_naive_mse"`
	Season        int     `json:"season_rows"`
}

// yardsticksOf takes the season, in rows and at most the context's length, from
// the fitted part, and judges on the held-out part.
func yardsticksOf(fitted, heldOut *gram) yardsticks {
	season, best := 0, math.Inf(1)
	for s := 2; s <= fitted.back; s++ {
		if e := fitted.seasonalError(s); e < best {
			season, best = s, e
		}
	}
	// The last value again and again is the season of one row.
	return yardsticks{LastValue: heldOut.seasonalError(1), SeasonalNaive: heldOut.seasonalError(season), Season: season}
}

// seasonalError is the mean squared error of repeating a window's last `season`
// values.
func (g *gram) seasonalError(season int) float64 {
	var sum float64
	for h := range g.ahead {
		sum += g.squaredStep(g.back-season+h%season, g.back+h)
	}
	return max(0, sum) / float64(g.windows*g.ahead)
}
