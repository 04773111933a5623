package forecast

import (
	"context"
	"math"
	"slices"
	"time"
)

// goesOnFrom is how many forecasts a sensor's bands must have been followed for
// to outlive a refit.
const goesOnFrom = 100

// score lays what was forecast beside what was read, for every step whose time
// has come at a tick. It is called at every tick, before the next forecast is
// made, and looks at no row after the tick: live data, back-fill and replay are
// scored alike.
//
// A step is scored once, against what the sensor read within half a step of its
// time, nearest to it. Of a machine whose sensors send one by one it is what the
// sensor read first from a tenth of a step before that time on, and of
// resampled rows the row itself. A sensor that reports by exception reads what
// it read last, as long as others speak. A reading that arrives later than the
// tick changes nothing, and a step without a reading is not scored.
func (e *Engine) score(ctx context.Context, m *memory, at time.Time) error {
	read := m.truthOf()
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
	if err := e.readTruth(ctx, m, read, min(until, b.until+2*b.slowest)); err != nil {
		return err
	}
	var oldest int64
	err := e.eachKept(m, b.oldest, b.newest+1, func(k kept) error {
		if waiting := b.scoreOne(k, e.shadowAt(m, k.origin), read, until); waiting && oldest == 0 {
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
// tick, and those of its shadow, if it has one, beside them. It tells whether
// some are still to come.
func (b *book) scoreOne(k, shadow kept, read *truth, until int64) (waiting bool) {
	for h := range k.steps {
		at := k.origin + int64(h+1)*k.step
		_, after := read.around(k.step)
		settled := at + after
		if settled > until {
			return true
		}
		if settled <= b.scored {
			continue
		}
		paired := false
		for _, s := range k.sensors {
			if v, found := read.at(k, s, at); found {
				b.scoreStep(k, s, stepAt{h, at}, v)
				paired = len(shadow.sensors) > 0 && b.trial.scorePair(s, shadow, h, v) || paired
			}
		}
		if paired && h == 0 {
			b.trial.ticks++
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
			b.unsaved = saveEvery
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
	b.model, b.refits, b.unsaved = f.model.Name, f.ridge != nil, saveEvery
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
