package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/train"
	"fettle/patchtst"
)

// What fettle would let serve, had ETTh1 been a machine: for each horizon a
// PatchTST and a ridge compete for it as in a training run, on what is before
// the test part; the test part then shows whether that was a good choice.
//
//	rows        0 ... 7200 ... 8640 ............ 11520 ............ 14400
//	PatchTST    learns     its epoch   it has to beat
//	ridge       learns                 the ridge here    test part: the winner's
//	the winner, if it is the ridge, is fitted anew to all of this | error
const (
	choiceBack = 336
	margin     = 0.01 // by which a PatchTST has to be better, as training.margin is by default
)

// goals are what a ridge regression reached on the test part, by horizon.
var goals = []struct {
	horizon int
	mse     float64
}{{96, .370}, {192, .403}, {336, .426}, {720, .420}}

// choose runs the choice at the horizons up to one, and prints the table.
func choose(ctx context.Context, out io.Writer, data dataset, o patchtst.Options, upTo int) error {
	fmt.Fprintf(out, "ETTh1, look-back %d: which model would serve, and its errors on the test part\n\n", choiceBack)
	fmt.Fprintf(out, "%7s  %-9s %8s %8s %8s %8s %8s  %s\n", "horizon", "serves", "MSE", "goal", "MAE", "ridge", "PatchTST", "took")
	met := true
	var reasons []string
	for _, goal := range goals {
		if goal.horizon > upTo {
			break
		}
		began := time.Now()
		c, err := data.choice(ctx, o, goal.horizon)
		if err != nil {
			return fmt.Errorf("horizon %d: %w", goal.horizon, err)
		}
		chosen, name := c.ridge, "ridge"
		if c.promoted {
			chosen, name = c.network, "PatchTST"
		}
		met = met && chosen.MSE < goal.mse+.0005
		fmt.Fprintf(out, "%7d  %-9s %8.4f %8.3f %8.4f %8.4f %8.4f  %s\n", goal.horizon, name, chosen.MSE, goal.mse, chosen.MAE, c.ridge.MSE, c.network.MSE, time.Since(began).Round(time.Second))
		reasons = append(reasons, fmt.Sprintf("%d: %s", goal.horizon, c.reason))
	}
	fmt.Fprintln(out)
	for _, reason := range reasons {
		fmt.Fprintln(out, reason)
	}
	if !met {
		fmt.Fprintln(out, "\nThe goal is missed: a model that serves is worse than the ridge regression of the goal.")
	}
	return nil
}

// A choice is what became of a competition, and how both do on the test part.
type choice struct {
	promoted       bool
	reason         string
	ridge, network patchtst.Score
}

func (d dataset) choice(ctx context.Context, o patchtst.Options, horizon int) (c choice, err error) {
	config := config()
	config.PredictionLength = horizon
	size := train.Size{Context: choiceBack, Horizon: horizon}
	set, err := train.Prepare(train.TableOf(d.window(0, validEnd)), train.Division{Validation: 1440.0 / validEnd, Test: 2880.0 / validEnd, Scaler: train.Robust})
	if err != nil {
		return c, err
	}
	network, _, err := set.Fit(ctx, config, o)
	if err != nil {
		return c, err
	}
	judged, err := set.Judge(ctx, network, nil, size, o)
	if err != nil {
		return c, err
	}
	c.promoted, c.reason = train.Decide(judged, "ridge", margin)
	test := patchtst.Series{Values: d[(validEnd-choiceBack)*channels:]}
	// The network takes each window's own mean and deviation out, so that it does
	// not matter that the set had another scale.
	if c.network, err = network.Evaluate(ctx, test, 1, o.Threads); err != nil {
		return c, err
	}
	seen := d.window(0, validEnd)
	ridge, err := forecast.FitRidge(seen, choiceBack, horizon)
	if err != nil {
		return c, err
	}
	c.ridge = evaluate(d.window(validEnd-choiceBack, testEnd), size, ridge.Extrapolate)
	return c, nil
}

// window is a stretch of rows as readings, an hour apart.
func (d dataset) window(from, to int) fettle.Window {
	w := fettle.Window{Machine: "transformer", Columns: make([][]float64, channels)}
	for c := range channels {
		w.Sensors = append(w.Sensors, string(rune('a'+c)))
	}
	begin := time.Date(2016, 7, 1, 0, 0, 0, 0, time.UTC)
	for row := from; row < to; row++ {
		w.TimesMicros = append(w.TimesMicros, begin.Add(time.Duration(row)*time.Hour).UnixMicro())
		for c := range channels {
			w.Columns[c] = append(w.Columns[c], float64(d[row*channels+c]))
		}
	}
	return w
}

// evaluate is the error of what forecasts each sensor alone, over every window.
func evaluate(w fettle.Window, size train.Size, predict func([]float64) []float64) patchtst.Score {
	var s patchtst.Score
	n := 0.0
	for start := 0; start+size.Context+size.Horizon <= w.Rows(); start++ {
		s.Windows++
		for _, column := range w.Columns {
			truth := column[start+size.Context:]
			for h, v := range predict(column[start : start+size.Context]) {
				off := truth[h] - v
				s.MSE += off * off
				s.MAE += max(off, -off)
				n++
			}
		}
	}
	s.MSE, s.MAE = s.MSE/n, s.MAE/n
	return s
}
