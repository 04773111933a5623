package train

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"fettle"
	"fettle/internal/forecast"
	"fettle/patchtst"
)

// A Score is one forecaster's errors on the newest rows, in scaled units.
type Score = fettle.TrainingScore

// A Judgement is what a table of scores holds: the model first, or alone.
type Judgement struct {
	Scores []Score `json:"scores"`
	// Duels compare the model with each of the others, window by window.
	Duels []Duel `json:"duels,omitempty"`
	// Unseen tells that nothing was chosen by the rows that judge.
	Unseen bool `json:"unseen"`
	// Missing says why a yardstick is not there.
	Missing string `json:"missing,omitempty"`
}

// A Size is what a forecast looks back on and ahead to, in rows.
type Size struct{ Context, Horizon int }

// The most windows that are judged, evenly spread.
const maxJudged = 4096

// Names of those that a model is judged beside. "seasonal naive" is followed by
// its rows.
const (
	ModelName    = "patchtst"
	RidgeName    = "ridge"
	LastName     = "last value"
	ChampionName = "champion"
)

// A contender forecasts the window (L, C) that begins a stretch of values, in
// the set's scaled units, into ahead (T, C). It may be called by several
// goroutines at once.
type contender struct {
	name    string
	predict func(ahead, window []float32, observed []bool)
}

// Judge scores a PatchTST (nil: none) beside what served so far (nil: nothing),
// a ridge that is fitted to all rows before, the repeated season and the last
// value, on the same windows. At most half of o.WindowsPerEpoch (0: 4,096) are
// judged, since a large model takes its time.
func (s *Set) Judge(ctx context.Context, m *patchtst.Model, champion *Champion, size Size, o patchtst.Options) (Judgement, error) {
	part, unseen := s.judging(size.Context)
	j := Judgement{Unseen: unseen}
	limit := maxJudged
	if o.WindowsPerEpoch > 0 {
		limit = max(1, o.WindowsPerEpoch/2)
	}
	arena := arena{channels: s.Channels(), size: size, part: part, starts: s.windowsOf(part, size, limit), threads: o.Threads}
	if len(arena.starts) == 0 {
		j.Missing = fmt.Sprintf("no window of %d rows in the rows to judge by", size.Context+size.Horizon)
		return j, nil
	}
	contenders, missing := s.contenders(m, champion, size)
	j.Missing = missing
	var first []float64
	for i, c := range contenders {
		losses, err := arena.losses(ctx, c)
		if err != nil {
			return j, fmt.Errorf("judge %s: %w", c.name, err)
		}
		j.Scores = append(j.Scores, losses.score(c.name))
		if i == 0 {
			first = losses.squared
		} else if m != nil {
			j.Duels = append(j.Duels, duel(c.name, first, losses.squared, arena.overlap()))
		}
	}
	return j, nil
}

// contenders are all that are to be scored, the model first.
func (s *Set) contenders(m *patchtst.Model, champion *Champion, size Size) (list []contender, missing string) {
	if m != nil {
		list = append(list, contender{ModelName, func(ahead, window []float32, observed []bool) { m.ForwardBatch(ahead, window, observed) }})
	}
	if champion != nil {
		c, err := s.champion(champion, size)
		if err != nil {
			missing = "champion " + champion.Name + ": " + err.Error() + "; "
		} else {
			list = append(list, c)
		}
	}
	season := 0
	ridge, err := forecast.FitRidgeRows(s.Sensors, size.Context, size.Horizon, s.readingsOf(s.seen()))
	if err != nil {
		missing += "ridge and season: " + err.Error()
	} else {
		season = ridge.Season()
		list = append(list, s.eachSensor(RidgeName, ridge.Extrapolate))
	}
	if season > 1 {
		list = append(list, s.eachSensor(fmt.Sprintf("seasonal naive (%d rows)", season), repeat(season, size.Horizon)))
	}
	return append(list, s.eachSensor(LastName, repeat(1, size.Horizon))), missing
}

// eachSensor makes a contender of what forecasts one sensor alone.
func (s *Set) eachSensor(name string, predict func(window []float64) []float64) contender {
	channels := s.Channels()
	return contender{name, func(ahead, window []float32, _ []bool) {
		column := make([]float64, len(window)/channels)
		for c := range channels {
			for t := range column {
				column[t] = float64(window[t*channels+c])
			}
			for h, v := range predict(column) {
				ahead[h*channels+c] = float32(v)
			}
		}
	}}
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

// windowsOf finds the first lines of the windows that a PatchTST would be
// judged on, at most limit, evenly spread: without a number that is not finite,
// and with nothing to forecast that was filled in.
func (s *Set) windowsOf(part patchtst.Series, size Size, limit int) []int {
	channels := s.Channels()
	lines, length := len(part.Values)/channels, size.Context+size.Horizon
	broken, unmeasured := -1, -1
	var starts []int
	for line := range lines {
		for at := line * channels; at < (line+1)*channels; at++ {
			if v := float64(part.Values[at]); math.IsNaN(v) || math.IsInf(v, 0) {
				broken = line
			}
			if part.Observed != nil && !part.Observed[at] {
				unmeasured = line
			}
		}
		if start := line + 1 - length; start >= 0 && broken < start && unmeasured < start+size.Context {
			starts = append(starts, start)
		}
	}
	if len(starts) <= limit {
		return starts
	}
	chosen := make([]int, limit)
	for i := range chosen {
		chosen[i] = starts[i*len(starts)/limit]
	}
	return chosen
}

// countOf is how many windows of a size a part holds, 0 if none.
func (s *Set) countOf(part patchtst.Series, size Size) int {
	return len(s.windowsOf(part, size, math.MaxInt))
}

// An arena is where contenders meet: the same windows for all.
type arena struct {
	channels int
	size     Size
	part     patchtst.Series
	starts   []int
	threads  int
}

// window is the context of the i-th window.
func (a arena) window(i int) (values []float32, observed []bool) {
	from, to := a.starts[i]*a.channels, (a.starts[i]+a.size.Context)*a.channels
	if a.part.Observed != nil {
		observed = a.part.Observed[from:to]
	}
	return a.part.Values[from:to], observed
}

// truth is what followed it.
func (a arena) truth(i int) []float32 {
	from := (a.starts[i] + a.size.Context) * a.channels
	return a.part.Values[from : from+a.size.Horizon*a.channels]
}

// overlap is how many neighbouring windows share rows to forecast or look back
// on: their errors are not independent.
func (a arena) overlap() int {
	n := len(a.starts)
	if n < 2 {
		return 1
	}
	apart := float64(a.starts[n-1]-a.starts[0]) / float64(n-1)
	return int(math.Ceil(float64(a.size.Context+a.size.Horizon) / max(apart, 1)))
}

// losses are one contender's errors, a number a window.
type losses struct{ squared, absolute []float64 }

func (l losses) score(name string) Score {
	score := Score{Name: name, Windows: len(l.squared)}
	for i := range l.squared {
		score.MSE += l.squared[i]
		score.MAE += l.absolute[i]
	}
	score.MSE /= float64(score.Windows)
	score.MAE /= float64(score.Windows)
	return score
}

// losses forecasts all windows. The number of threads changes no bit.
func (a arena) losses(ctx context.Context, c contender) (losses, error) {
	l := losses{make([]float64, len(a.starts)), make([]float64, len(a.starts))}
	err := a.each(ctx, c, func(i int, ahead []float32) {
		truth := a.truth(i)
		for at, y := range ahead {
			d := float64(y) - float64(truth[at])
			l.squared[i] += d * d
			l.absolute[i] += math.Abs(d)
		}
		l.squared[i] /= float64(len(ahead))
		l.absolute[i] /= float64(len(ahead))
	})
	return l, err
}

// each forecasts every window on some goroutines and hands each over.
func (a arena) each(ctx context.Context, c contender, use func(i int, ahead []float32)) error {
	threads := a.threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range threads {
		workers.Go(func() {
			ahead := make([]float32, a.size.Horizon*a.channels)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(a.starts) {
					return
				}
				window, observed := a.window(i)
				c.predict(ahead, window, observed)
				use(i, ahead)
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}
