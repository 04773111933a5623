package patchtst

import (
	"context"
	"fmt"
)

// A Score is how well a model forecasts a series, over all windows, rows and
// channels, in the series' units.
type Score struct {
	Windows int     // that were forecast
	MSE     float64 // mean squared error
	MAE     float64 // mean absolute error
}

// Evaluate forecasts every stride-th window of a series on some threads (0:
// one for each processor) and compares with what followed.
func (m *Model) Evaluate(ctx context.Context, series Series, stride, threads int) (Score, error) {
	o := Options{Threads: threads}
	if stride < 1 || threads < 0 {
		return Score{}, fmt.Errorf("patchtst: evaluate: stride is %d, threads are %d; expected 1 or more, and 0 or more", stride, threads)
	}
	if err := series.check(m.config); err != nil {
		return Score{}, fmt.Errorf("patchtst: evaluate: %w", err)
	}
	all := findWindows(series, m.config, stride)
	if all.count == 0 {
		return Score{}, fmt.Errorf("patchtst: evaluate: no window of %d rows in %d rows", m.config.ContextLength+m.config.PredictionLength, len(series.Values)/m.config.Channels)
	}
	score, err := m.score(ctx, series, all, all.count, o.threads())
	if err != nil {
		return Score{}, fmt.Errorf("patchtst: evaluate: %w", err)
	}
	return score, nil
}

// scoreParts is how many pieces a score is added up from: fixed, so that the
// number of threads changes no bit.
const scoreParts = 64

// score forecasts that many of the windows, evenly spread.
func (m *Model) score(ctx context.Context, series Series, all windows, count, threads int) (Score, error) {
	var squared, absolute [scoreParts]float64
	each(threads, scoreParts, func(part int) {
		w := m.workspaces.Get().(*workspace)
		defer m.workspaces.Put(w)
		for i := part * count / scoreParts; i < (part+1)*count/scoreParts && ctx.Err() == nil; i++ {
			b := batch{series, []int{all.start(i * all.count / count)}}
			x := b.window(m.config, 0)
			if x.observed != nil && m.config.Scaling == "mean" {
				batchMeans(w.fallback, 1, func(int) window { return x })
			}
			s, a := errorsOf(m.forecast(w, x), b.target(m.config, 0))
			squared[part] += s
			absolute[part] += a
		}
	})
	if err := ctx.Err(); err != nil {
		return Score{}, err
	}
	s := Score{Windows: count}
	for part := range squared {
		s.MSE += squared[part]
		s.MAE += absolute[part]
	}
	cells := float64(count) * float64(m.config.PredictionLength*m.config.Channels)
	s.MSE, s.MAE = s.MSE/cells, s.MAE/cells
	return s, nil
}

// errorsOf sums up the squared and the absolute errors of a forecast.
func errorsOf(forecast, target []float32) (squared, absolute float64) {
	for i, y := range forecast {
		d := float64(y) - float64(target[i])
		squared += d * d
		absolute += max(d, -d)
	}
	return squared, absolute
}
