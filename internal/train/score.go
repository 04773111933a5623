package train

import (
	"context"
	"fmt"
	"math"

	"fettle/internal/forecast"
	"fettle/patchtst"
)

// A Score is one forecaster's errors on the newest rows, in scaled units: 1 is
// the sensor's range, or its inter-quartile range.
type Score struct {
	Name    string  `json:"name"`
	MSE     float64 `json:"mse"`
	MAE     float64 `json:"mae"`
	Windows int     `json:"windows"`
}

// A Judgement is what a table of scores holds: the model first, or alone.
type Judgement struct {
	Scores []Score `json:"scores"`
	// Unseen tells that nothing was chosen by the rows that judge.
	Unseen bool `json:"unseen"`
	// Missing says why a yardstick is not there.
	Missing string `json:"missing,omitempty"`
}

// The most windows that are judged, evenly spread.
const maxJudged = 4096

// Judge scores a PatchTST (nil: none) beside a ridge that is fitted to all
// rows before, the repeated season and the last value, on the same windows. At
// most limit of them (0: 4,096) are judged, since a large model takes its time.
func (s *Set) Judge(ctx context.Context, m *patchtst.Model, size Size, o patchtst.Options) (Judgement, error) {
	part, unseen := s.judging(size.Context)
	j := Judgement{Unseen: unseen}
	starts := s.windowsOf(part, size)
	if starts.count == 0 {
		j.Missing = fmt.Sprintf("no window of %d rows in the rows to judge by", size.Context+size.Horizon)
		return j, nil
	}
	limit := maxJudged
	if o.WindowsPerEpoch > 0 {
		limit = max(1, o.WindowsPerEpoch/2)
	}
	stride := (starts.count + limit - 1) / limit
	if m != nil {
		score, err := m.Evaluate(ctx, part, stride, o.Threads)
		if err != nil {
			return j, fmt.Errorf("judge the model: %w", err)
		}
		j.Scores = append(j.Scores, Score{"patchtst", score.MSE, score.MAE, score.Windows})
	}
	yards := []yardstick{}
	ridge, err := forecast.FitRidge(s.seen(), size.Context, size.Horizon)
	if err != nil {
		j.Missing = "ridge and season: " + err.Error()
	} else {
		season := ridge.Season()
		yards = append(yards, yardstick{"ridge", ridge.Extrapolate},
			yardstick{fmt.Sprintf("seasonal naive (%d rows)", season), repeat(season, size.Horizon)})
	}
	yards = append(yards, yardstick{"last value", repeat(1, size.Horizon)})
	for _, y := range yards {
		if err := ctx.Err(); err != nil {
			return j, err
		}
		j.Scores = append(j.Scores, s.measure(y, part, starts, stride))
	}
	return j, nil
}

// A Size is what a forecast looks back on and ahead to, in rows.
type Size struct{ Context, Horizon int }

// A yardstick forecasts one sensor from its newest rows, in any unit.
type yardstick struct {
	name    string
	predict func(window []float64) []float64
}

// repeat forecasts that the last `season` rows come again and again.
func repeat(season, horizon int) func([]float64) []float64 {
	return func(window []float64) []float64 {
		ahead := make([]float64, horizon)
		for h := range ahead {
			ahead[h] = window[len(window)-season+h%season]
		}
		return ahead
	}
}

// stretches are the places of windows: from..to-1 may start one.
type stretches struct {
	list  [][2]int
	count int
	size  Size
}

// windowsOf finds the windows that a PatchTST would be judged on: without a
// number that is not finite, and with nothing to forecast that was filled in.
func (s *Set) windowsOf(part patchtst.Series, size Size) stretches {
	found := stretches{size: size}
	channels := s.Channels()
	lines, length := len(part.Values)/channels, size.Context+size.Horizon
	broken, unmeasured, from := -1, -1, -1
	finish := func(to int) {
		if from >= 0 {
			found.list = append(found.list, [2]int{from, to})
			found.count += to - from
		}
		from = -1
	}
	for line := range lines {
		for at := line * channels; at < (line+1)*channels; at++ {
			if v := float64(part.Values[at]); math.IsNaN(v) || math.IsInf(v, 0) {
				broken = line
			}
			if part.Observed != nil && !part.Observed[at] {
				unmeasured = line
			}
		}
		start := line + 1 - length
		switch {
		case start < 0:
		case broken >= start || unmeasured >= start+size.Context:
			finish(start)
		case from < 0:
			from = start
		}
	}
	finish(max(lines+1-length, 0))
	return found
}

// measure scores a yardstick on every stride-th window of each stretch.
func (s *Set) measure(y yardstick, part patchtst.Series, places stretches, stride int) Score {
	channels, size := s.Channels(), places.size
	score := Score{Name: y.name}
	window := make([]float64, size.Context)
	for _, stretch := range places.list {
		for start := stretch[0]; start < stretch[1]; start += stride {
			score.Windows++
			for c := range channels {
				for t := range window {
					window[t] = float64(part.Values[(start+t)*channels+c])
				}
				for h, v := range y.predict(window) {
					d := v - float64(part.Values[(start+size.Context+h)*channels+c])
					score.MSE += d * d
					score.MAE += math.Abs(d)
				}
			}
		}
	}
	cells := float64(score.Windows * channels * size.Horizon)
	score.MSE, score.MAE = score.MSE/cells, score.MAE/cells
	return score
}
