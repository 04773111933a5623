package verdict

import (
	"cmp"
	"math"
	"slices"
	"time"

	"fettle"
)

// A watch runs a detector over the rows of one machine as they come: with
// sensors that say nothing, and with gaps.
type watch struct {
	*detector
	z      []float64 // (d): the row, scaled
	value  []float64 // (d): each sensor's last word, in its unit
	stood  []int     // (d): rows since that word
	last   time.Time // of the row before
	shared []float64 // (d): scratch for shares
}

func newWatch(m *model) *watch {
	d := m.dims()
	w := &watch{
		detector: newDetector(m),
		z:        make([]float64, d),
		value:    make([]float64, d),
		stood:    make([]int, d),
		shared:   make([]float64, d),
	}
	for j := range w.stood {
		w.stood[j] = hold // never heard of
	}
	return w
}

// take looks at the next row. It tells how many of the model's sensors spoke in
// it, and whether it could be judged at all: a row in which nothing is known of
// any of them changes no finding.
//
// A sensor's last word stands for as long as that sensor usually keeps quiet.
// One that is silent for longer is missing: it is taken to move as the others
// let expect, until it speaks again or a fit leaves it out.
func (w *watch) take(r fettle.Reading, learn bool) (spoke int, judged bool) {
	if r.Time.Sub(w.last) > w.gap {
		w.restart()
	}
	w.last = r.Time
	silent := uint64(0)
	for j, sensor := range w.sensors {
		value, said := r.Value(sensor)
		if said {
			spoke++
			w.value[j], w.stood[j] = value, 0
		} else {
			w.stood[j] = min(w.stood[j]+1, hold)
		}
		if w.stood[j] >= w.habit[j] {
			silent |= 1 << j
		}
		w.z[j] = w.scaled(j, w.value[j])
	}
	if silent == math.MaxUint64>>(64-w.dims()) {
		w.restart()
		return spoke, false
	}
	w.observe(w.z, silent, learn)
	return spoke, true
}

// named is the score from which on a verdict names its causes. Those of a
// normal machine would be noise.
const named = 0.9

// leastShare is the smallest part of a score that makes a sensor one of its
// causes.
const leastShare = 0.01

// causes names the sensors behind the score, largest share first.
func (w *watch) causes() []fettle.Cause {
	w.shares(w.shared)
	causes := make([]fettle.Cause, 0, fettle.MaxCauses)
	for j, share := range w.shared {
		full := len(causes) == fettle.MaxCauses
		if share < leastShare || full && share <= causes[fettle.MaxCauses-1].Share {
			continue
		}
		if full {
			causes = causes[:fettle.MaxCauses-1]
		}
		causes = append(causes, fettle.Cause{
			Sensor: w.sensors[j], Share: share, Value: w.value[j], Low: w.usual[j].Low, High: w.usual[j].High,
		})
		slices.SortStableFunc(causes, func(a, b fettle.Cause) int { return cmp.Compare(b.Share, a.Share) })
	}
	return causes
}

// succeed takes over from the watch before it, at the end of warm-up rows that
// both have seen. A new fit is a new yardstick and no finding: each sensor
// stays as far from what is accepted as it was, in its own unit, and the rest
// of the difference between the yardsticks is what is accepted from now on.
// Sensors that only the new one knows begin with what the warm-up showed.
func (w *watch) succeed(before *watch) {
	for j, sensor := range w.sensors {
		i, found := before.index(sensor)
		if !found {
			continue
		}
		shown := w.average[j]
		w.average[j] = before.average[i] * before.scale[i] / w.scale[j]
		w.accepted[j] = shown - w.average[j]
	}
	w.measure()
}
