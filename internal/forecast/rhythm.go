package forecast

import (
	"context"
	"math"
	"slices"
	"time"

	"fettle/internal/readings"
)

const (
	// A rhythm is found in a machine's newest rows: so many of its own, or so
	// many steps of a forecaster that has them.
	rhythmRows  = 2048
	rhythmSteps = 512
	// rhythmGaps is how many times between a sensor's words its own rhythm is
	// taken from.
	rhythmGaps = 512
	// rareSteps is how many steps lie between the words of a sensor that reports
	// by exception.
	rareSteps = 3
	// holdGaps is how many times its usual time between two words the last word
	// of such a sensor holds, and longestHold the most, in steps: silence means
	// unchanged, but a sensor may also be broken.
	holdGaps    = 3
	longestHold = 500
	// breaks is the part of the times between words, the longest, that count as
	// breaks of the machine and not as its rhythm. So bursts are known as such
	// up to twenty words.
	breaks = 0.05
)

// A rhythm is how often a machine speaks, and which of its sensors speak much
// more rarely.
type rhythm struct {
	At    time.Time      `json:"at"`              // event time at which it was found
	Step  time.Duration  `json:"step"`            // the same, unless it was set
	Joins bool           `json:"joins,omitempty"` // several messages make one row
	Held  map[string]int `json:"held,omitempty"`  // sensors that report by exception: steps that their last word holds
}

// limits is how long the last word of each sensor holds, for rows of a step.
func (r *rhythm) limits(sensors []string, step time.Duration) []int64 {
	limits := make([]int64, len(sensors))
	for i, name := range sensors {
		limits[i] = limitOf(max(maxFill, r.Held[name]), step)
	}
	return limits
}

// longest is how long the last word of any of the sensors may hold.
func (r *rhythm) longest(sensors []string, step time.Duration) time.Duration {
	steps := maxFill
	for _, name := range sensors {
		steps = max(steps, r.Held[name])
	}
	return time.Duration(steps+1) * step
}

// findRhythm looks at a machine's newest rows up to a time. A step that is set
// is not looked for.
func findRhythm(ctx context.Context, s source, until, first time.Time, set time.Duration) (*rhythm, error) {
	from := until.Add(-rhythmSteps * s.step)
	if s.step == 0 {
		times, err := s.store.Window(s.machine, until, rhythmRows, []string{})
		if err != nil || times.Rows() == 0 {
			return nil, err
		}
		from = time.UnixMicro(times.TimesMicros[0])
	}
	if from.Before(first) {
		from = first
	}
	v := newSurveyor(len(s.sensors))
	if err := s.each(ctx, from, until, v.add); err != nil {
		return nil, err
	}
	return v.rhythm(s, until, set), nil
}

// A surveyor measures the times between words.
type surveyor struct {
	rows int

	said    []int64   // (sensors) when each spoke last
	words   []int     // (sensors) how often it did
	between []*sample // (sensors) times between its words
}

func newSurveyor(sensors int) *surveyor {
	v := &surveyor{said: make([]int64, sensors), words: make([]int, sensors), between: make([]*sample, sensors)}
	for i := range v.between {
		v.between[i] = newSample(rhythmGaps)
	}
	return v
}

func (v *surveyor) add(at int64, values []float64) error {
	v.rows++
	for i, value := range values {
		if math.IsNaN(value) {
			continue
		}
		if v.words[i] > 0 {
			v.between[i].add(float64(at - v.said[i]))
		}
		v.words[i], v.said[i] = v.words[i]+1, at
	}
	return nil
}

// rhythm says what was found: the step of the sensors that speak most often. It
// is 0 if there was too little to tell.
func (v *surveyor) rhythm(s source, until time.Time, set time.Duration) *rhythm {
	found := &rhythm{At: until, Step: max(set, s.step)}
	usual := make([]float64, len(v.between)) // microseconds between the words of each sensor; 0: unknown
	var often []float64
	for i, gaps := range v.between {
		if len(gaps.values) > 0 {
			usual[i] = usualGap(gaps.values)
		}
		if usual[i] > 0 && 4*v.words[i] >= 3*slices.Max(v.words) {
			often = append(often, usual[i])
		}
	}
	if found.Step == 0 && len(often) > 0 {
		slices.Sort(often)
		found.Step = time.Duration(often[(len(often)-1)/2]) * time.Microsecond
	}
	step := float64(found.Step.Microseconds())
	if step <= 0 {
		return found
	}
	found.Joins = s.step == 0 && 2*v.rows > 3*slices.Max(v.words)
	for i, name := range s.sensors {
		if steps := heldFor(v.words[i], usual[i]/step); steps > maxFill {
			if found.Held == nil {
				found.Held = map[string]int{}
			}
			found.Held[name] = steps
		}
	}
	return found
}

// heldFor is how many steps the last word of a sensor holds that spoke so often,
// usually so many steps apart; 0 if it speaks as often as the machine does.
func heldFor(words int, apart float64) int {
	switch {
	case words == 0:
		return 0
	case words < 3:
		return longestHold
	case apart < rareSteps:
		return 0
	default:
		return int(min(math.Ceil(holdGaps*apart), longestHold))
	}
}

// usualGap is the usual one of some times: their median, which jitter does not
// move. If most of them are parts of bursts, it is the one in which most of the
// time passes; the longest are breaks and do not count there.
func usualGap(gaps []float64) float64 {
	median := quantiles(gaps, 0.5)[0] // sorts
	gaps = gaps[:len(gaps)-int(math.Ceil(breaks*float64(len(gaps)-1)))]
	var all, passed float64
	for _, gap := range gaps {
		all += gap
	}
	for _, gap := range gaps {
		if passed += gap; 2*passed >= all {
			if gap > 2*median {
				return gap
			}
			break
		}
	}
	return median
}

// knownRhythm is what Learn found last; who asks before it did gets one that is
// found for him, since what a visitor asks must not change what is forecast.
func (e *Engine) knownRhythm(ctx context.Context, m *memory, info readings.Info, until time.Time) (*rhythm, error) {
	m.mu.Lock()
	known := m.Rhythm
	m.mu.Unlock()
	if known != nil && known.Step > 0 {
		return known, nil
	}
	return findRhythm(ctx, e.source(m, firstSensors(info)), until, info.First, e.cfg.Steps[m.machine])
}

// refreshRhythm finds a machine's rhythm anew if it is time to, and returns it.
func (e *Engine) refreshRhythm(ctx context.Context, m *memory, info readings.Info, until time.Time, now bool) (*rhythm, error) {
	m.mu.Lock()
	known := m.Rhythm
	m.mu.Unlock()
	if !now && known != nil && known.Step > 0 && until.Sub(known.At).Abs() < learnEvery {
		return known, nil
	}
	found, err := findRhythm(ctx, e.source(m, firstSensors(info)), until, info.First, e.cfg.Steps[m.machine])
	if err != nil || found == nil {
		return known, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Rhythm = found
	return found, nil
}
