package forecast

import (
	"math"
	"slices"
	"sort"
	"time"

	"fettle"
)

// goesOnFrom is how many forecasts a sensor's bands must have been followed for
// to outlive a refit.
const goesOnFrom = 100

// score lays what was forecast beside what was read, for every step whose time
// has come at a tick. It is called at every tick, before the next forecast is
// made, and looks at no row after the tick: live data, back-fill and replay are
// scored alike.
//
// A step of the machine's own rows is scored half a step after its time, against
// the row nearest to its time, at most half a step away; one of resampled rows
// when its row is complete. That is once: a row that arrives later changes
// nothing, and a step without a row is not scored.
func (e *Engine) score(m *memory, at time.Time) error {
	b := &m.book
	b.mu.Lock()
	defer b.mu.Unlock()
	until := at.UnixMicro()
	if until <= b.scored {
		return nil
	}
	if b.oldest == 0 { // nothing waits
		b.scored = until
		return nil
	}
	// From the first row that may be wanted to the last.
	from := max(b.scored, b.oldest) - 2*b.slowest
	to := min(until, b.until+b.slowest)
	read, err := e.truth(m, time.UnixMicro(from), time.UnixMicro(to+1))
	if err != nil {
		return err
	}
	var oldest int64
	err = e.eachKept(m, b.oldest, b.newest+1, func(k kept) error {
		if waiting := b.scoreOne(m.plan, k, read, until); waiting && oldest == 0 {
			oldest = k.origin
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.scored, b.oldest = until, oldest
	if b.unsaved++; b.unsaved >= saveEvery || len(b.open) > openMost {
		return e.saveBook(m)
	}
	return nil
}

// scoreOne scores the steps of a forecast whose time has come since the last
// tick, and tells whether some are still to come.
func (b *book) scoreOne(plan Forecaster, k kept, read truth, until int64) (waiting bool) {
	for h := range k.steps {
		at := k.origin + int64(h+1)*k.step
		settled := plan.settled(at, k.step)
		if settled > until {
			return true
		}
		if settled <= b.scored {
			continue
		}
		for _, s := range k.sensors {
			if v, found := read.near(s.name, at, plan.tolerance(k.step)); found {
				b.scoreStep(k, s, stepAt{h, at}, v)
			}
		}
	}
	return false
}

// A stepAt is a step of a forecast, from 0, and its time in microseconds.
type stepAt struct {
	step int
	at   int64
}

func (b *book) scoreStep(k kept, s keptSensor, step stepAt, v float64) {
	h := step.step
	residual := v - s.values[h]
	if math.IsInf(residual, 0) {
		return
	}
	score := score{residual: residual, last: v - s.last}
	of := b.sensor(s.name)
	of.held = sameLength(of.held, max(k.steps, len(of.held)))
	if len(s.lower) > 0 {
		score.banded = true
		score.under, score.over = v < s.lower[h], v > s.upper[h]
		score.width = s.upper[h] - s.lower[h]
		score.pinball = (pinball(v-s.lower[h], beyond) + pinball(v-s.upper[h], 1-beyond)) / 2
		of.held[h].book(!score.under && !score.over, score.width)
		if k.origin >= of.since && h < len(of.tracked) {
			of.tracked[h].learn(residual, score.under, score.over, of.least)
			if h == 0 {
				of.learned++
			}
		}
	}
	if len(s.seasonal) > 0 {
		score.hasSeason, score.seasonal = true, v-s.seasonal[h]
	}
	b.addScore(entry{k.model, s.name, groupOf(h)}, step.at, score)
}

// pinball is the loss of a quantile that a reading differed from by so much: the
// quantile with the least of it over time is the right one.
func pinball(difference, quantile float64) float64 {
	return max(quantile*difference, (quantile-1)*difference)
}

// settled is when no row is to come any more for a step at a time.
func (f Forecaster) settled(at, step int64) int64 {
	if f.own() {
		return at + step/2
	}
	return at + step
}

// tolerance is how far from its time the row of a step may be.
func (f Forecaster) tolerance(step int64) int64 {
	if f.own() {
		return step / 2
	}
	return 0
}

// A truth is what sensors read in a stretch of time.
type truth map[string]*trace

type trace struct {
	times  []int64 // microseconds, ascending
	values []float64
}

// truth reads a machine's rows in [from, to), as the forecaster sees them.
func (e *Engine) truth(m *memory, from, to time.Time) (truth, error) {
	read := truth{}
	err := e.rows.Range(m.machine, from, to, func(r fettle.Reading) error {
		at := r.Time.UnixMicro()
		for _, v := range r.Values {
			t := read[v.Sensor]
			if t == nil {
				t = &trace{}
				read[v.Sensor] = t
			}
			t.times, t.values = append(t.times, at), append(t.values, v.Value)
		}
		return nil
	})
	return read, err
}

// near is what a sensor read nearest to a time, at most so far away.
func (t truth) near(sensor string, at, tolerance int64) (v float64, found bool) {
	read := t[sensor]
	if read == nil {
		return 0, false
	}
	i := sort.Search(len(read.times), func(i int) bool { return read.times[i] >= at })
	if i == len(read.times) || i > 0 && at-read.times[i-1] <= read.times[i]-at {
		i--
	}
	if distance := at - read.times[i]; max(distance, -distance) > tolerance {
		return 0, false
	}
	return read.values[i], true
}

// bands are the bands that a model's forecasts get now, one for each of its
// sensors: as they are followed, or else as they were on what was held out from
// its fit. A model that is new to the machine begins with the latter.
func (b *book) bands(f *predictor) []band {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.model != f.model.Name {
		b.begin(f)
	}
	heldOut := f.bandsNow()
	bands := make([]band, len(f.model.Sensors))
	for i, name := range f.model.Sensors {
		s := b.sensor(name)
		if len(s.tracked) == 0 && i < len(heldOut) {
			s.follow(heldOut[i])
		}
		bands[i] = bandOf(s.tracked)
	}
	return bands
}

// begin makes the book one of another model. How often the readings lay within
// the bands is the machine's, and goes on.
//
// A ridge that is fitted anew, as happens daily, is hardly another model: its
// bands go on where those of the ridge before it have been followed for a while.
// That holds better than to begin anew every day.
func (b *book) begin(f *predictor) {
	goesOn := f.ridge != nil && b.refits && len(b.sensors) > 0
	b.model, b.refits = f.model.Name, f.ridge != nil
	b.sensors = slices.DeleteFunc(b.sensors, func(s *sensorBook) bool { return !slices.Contains(f.model.Sensors, s.name) })
	for _, s := range b.sensors {
		if !goesOn || s.learned < goesOnFrom || len(s.tracked) != f.model.Horizon {
			s.tracked, s.learned, s.since = nil, 0, b.newest+1
		}
	}
}

// follow lets a sensor's bands begin where the held-out part of a fit leaves off.
func (s *sensorBook) follow(heldOut band) {
	s.tracked = track(heldOut)
	s.least = least(s.tracked)
}

// take notes a forecast that is to be kept; false if it is too close to the one
// before.
func (b *book) take(k kept) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(k.sensors) == 0 || k.origin <= b.newest || k.origin-b.newest < int64(k.steps)*k.step/keptWaiting {
		return false
	}
	b.wait(k)
	return true
}

func (b *book) wait(k kept) {
	if b.oldest == 0 {
		b.oldest, b.slowest = k.origin, 0
	}
	b.newest = k.origin
	b.until = max(b.until, k.until())
	b.slowest = max(b.slowest, k.step)
}
