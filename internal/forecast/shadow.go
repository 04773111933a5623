package forecast

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"fettle/internal/db"
	"fettle/internal/readings"
)

// A trial is what is known of a challenger that is forecast in the shadow of
// the champion: sums of errors over the steps that both forecast at the same
// ticks, laid beside the same readings. It is saved in the book's commit, so
// that no step counts twice.
type trial struct {
	model    string // the challenger
	champion string // whose shadow it is in
	refits   bool   // that is a ridge, and so are those that follow it
	began    int64  // tick, microseconds
	after    int64  // origin: forecasts up to it are of another time

	units []trialUnit // by name; the challenger's sensors

	ticks       int64 // whose first step was scored
	pairs       int64 // steps of sensors
	own, theirs errorSums
	missed      int64 // ticks at which the challenger gave nothing
	missedFor   string
}

// A trialUnit is what a sensor's errors are measured in: the range that the
// challenger was fitted on, as in its training.
type trialUnit struct {
	name string
	unit float64
}

// errorSums add errors up.
type errorSums struct{ squares, abs float64 }

func (s *errorSums) add(residual float64) {
	s.squares += residual * residual
	s.abs += math.Abs(residual)
}

// A Trial tells how a challenger does in the shadow of the champion.
type Trial struct {
	Machine, Forecaster, Model string
	Champion                   string    // that served last
	Began, Until               time.Time // event time
	Ticks                      int64     // at which both forecast, of which readings have come
	Own, Champions             TrialError
	Missed                     int64  // ticks at which the challenger gave no forecast
	Trouble                    string // why it did not, the last time
}

// A TrialError is a mean over all steps that both models forecast, in ranges of
// what the challenger was fitted on.
type TrialError struct{ MSE, MAE float64 }

// Trial tells how the challenger of a forecaster does that waits in the shadow;
// false if none does, or its first tick is still to come.
func (e *Engine) Trial(machine, forecaster string) (Trial, bool) {
	waiting, found := e.models.Waiting(machine, forecaster)
	if !found {
		return Trial{}, false
	}
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return Trial{}, false
	}
	m.mu.Lock()
	until := m.Ticked
	m.mu.Unlock()
	m.book.mu.Lock()
	defer m.book.mu.Unlock()
	t := m.book.trial
	if t == nil || t.model != waiting.Name {
		return Trial{}, false
	}
	mean := func(s errorSums) TrialError {
		n := float64(max(1, t.pairs))
		return TrialError{s.squares / n, s.abs / n}
	}
	return Trial{
		Machine: machine, Forecaster: forecaster, Model: t.model, Champion: t.champion, Began: time.UnixMicro(t.began).UTC(), Until: until,
		Ticks: t.ticks, Own: mean(t.own), Champions: mean(t.theirs), Missed: t.missed, Trouble: t.missedFor,
	}, true
}

// shadow has the challenger that waits look ahead where the champion just did.
// What it says is kept only until the readings have come. There is none if
// nobody waits, if the champion's is not kept, or if the machine is behind: then
// the processor is for what serves.
func (e *Engine) shadow(ctx context.Context, m *memory, info readings.Info, at time.Time, keep kept) kept {
	waiting, found := e.models.Waiting(m.machine, m.plan.Name)
	if !found {
		m.book.endTrial()
		return kept{}
	}
	m.mu.Lock()
	f, behind := e.load(m, waiting), m.behind
	err := f.usable(m.plan, info.Sensors)
	m.mu.Unlock()
	e.makeRoom(m)
	m.book.tryOut(f, at)
	if behind || !m.book.takes(keep) {
		return kept{}
	}
	var k kept
	if err == nil {
		k, err = e.shadowOf(ctx, m, f, lookRequest{info: info, until: at, rows: f.model.Context, reach: m.lookback()})
	}
	if err == nil && !k.besides(keep) {
		err = errors.New("its steps are not those of the champion")
	}
	if err != nil {
		m.book.missed(err)
		return kept{}
	}
	return k
}

// shadowOf is what a challenger says, as it is kept: without a band.
func (e *Engine) shadowOf(ctx context.Context, m *memory, f *predictor, ask lookRequest) (kept, error) {
	look, err := e.lookBack(ctx, m, f, ask)
	if err != nil {
		return kept{}, err
	}
	k := kept{model: f.model.Name, origin: look.newest().UnixMicro(), step: look.step.Microseconds(), steps: f.model.Horizon}
	for i, values := range f.predict(look.window.Columns) {
		column := look.window.Columns[i]
		s := keptSensor{name: look.window.Sensors[i], last: column[len(column)-1], values: values}
		if (i+1)*k.steps <= keptValues && s.finite() {
			k.sensors = append(k.sensors, s)
		}
	}
	if len(k.sensors) == 0 {
		return kept{}, errors.New("it gives no finite number")
	}
	return k, nil
}

// besides tells whether two forecasts were made of the same newest row, and
// their steps stand for the same readings: never more than half a step apart.
func (k kept) besides(other kept) bool {
	apart := distance(k.step, other.step) * int64(min(k.steps, other.steps))
	return k.origin == other.origin && apart <= other.step/2
}

// tryOut begins a trial, or goes on with it. It begins anew once another model
// serves, but for a ridge that was fitted anew.
func (b *book) tryOut(f *predictor, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.trial
	if t != nil && t.model == f.model.Name && (t.champion == b.model || t.refits && b.refits) {
		t.champion = b.model
		return
	}
	t = &trial{model: f.model.Name, champion: b.model, refits: b.refits, began: at.UnixMicro(), after: b.newest}
	for i, span := range f.scale {
		unit := span.High - span.Low
		if !(unit > 0) || math.IsInf(unit, 0) {
			unit = 1 // as the scalers do
		}
		t.units = append(t.units, trialUnit{f.model.Sensors[i], unit})
	}
	slices.SortFunc(t.units, func(a, b trialUnit) int { return strings.Compare(a.name, b.name) })
	b.trial, b.unsaved = t, saveEvery
}

// endTrial forgets a trial: somebody decided.
func (b *book) endTrial() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial != nil {
		b.trial, b.unsaved = nil, saveEvery
	}
}

// troubleBytes is how much of a reason a trial keeps.
const troubleBytes = 160

func (b *book) missed(why error) {
	text := why.Error()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial.missed++
	b.trial.missedFor = strings.ToValidUTF8(text[:min(len(text), troubleBytes)], "")
}

// scorePair lays a step of both forecasts beside what was read.
func (t *trial) scorePair(champion keptSensor, shadow kept, h int, v float64) (scored bool) {
	i := slices.IndexFunc(shadow.sensors, func(s keptSensor) bool { return s.name == champion.name })
	u, known := slices.BinarySearchFunc(t.units, champion.name, func(u trialUnit, name string) int { return strings.Compare(u.name, name) })
	if i < 0 || !known || h >= shadow.steps {
		return false
	}
	unit := t.units[u].unit
	own, theirs := (v-shadow.sensors[i].values[h])/unit, (v-champion.values[h])/unit
	if own, theirs := own*own, theirs*theirs; math.IsInf(own, 0) || math.IsInf(theirs, 0) || math.IsNaN(own) || math.IsNaN(theirs) {
		return false // readings near the largest number there is
	}
	t.own.add(own)
	t.theirs.add(theirs)
	t.pairs++
	return true
}

// shadowAt is what the challenger on trial said when the champion's forecast of
// that origin was made; nothing if it said nothing then. The book's mutex is
// held.
func (e *Engine) shadowAt(m *memory, origin int64) kept {
	t := m.book.trial
	if t == nil || origin <= t.after {
		return kept{}
	}
	value, found, err := e.db.Get(m.shadowKey(origin))
	if err != nil || !found {
		return kept{}
	}
	k, err := readKept(value)
	if err != nil || k.model != t.model {
		return kept{}
	}
	return k
}

func (m *memory) shadowKey(origin int64) []byte {
	return db.AppendMicros(m.recordKey(kindShadow), time.UnixMicro(origin))
}

// saveTrial writes the trial with its book, and removes the shadows that no
// step is to come of.
func (m *memory) saveTrial(batch *db.Batch) {
	b := &m.book
	key := m.recordKey(kindTrial)
	if b.trial == nil {
		batch.Delete(key)
		batch.DeleteRange(m.recordKey(kindShadow), db.After(m.recordKey(kindShadow)))
		return
	}
	batch.Set(key, b.trial.append(nil))
	done := b.oldest
	if done == 0 {
		done = b.newest + 1
	}
	batch.DeleteRange(m.recordKey(kindShadow), m.shadowKey(done))
}

// openTrial reads a trial back. One that cannot be read begins anew.
func (e *Engine) openTrial(m *memory) error {
	value, found, err := e.db.Get(m.recordKey(kindTrial))
	if err != nil || !found {
		return err
	}
	t := &trial{}
	if err := t.read(value); err != nil {
		e.log.Warn("a challenger's trial begins anew", "machine", m.machine, "forecaster", m.plan.Name, "err", err)
		return nil
	}
	m.book.trial, m.book.tried = t, true
	return nil
}

const trialLayout = 1

func (t *trial) append(dst []byte) []byte {
	p := packer{append(dst, trialLayout)}
	p.text(t.model)
	p.text(t.champion)
	p.bool(t.refits)
	for _, v := range []int64{t.began, t.after, t.ticks, t.pairs, t.missed} {
		p.int(v)
	}
	for _, v := range []float64{t.own.squares, t.own.abs, t.theirs.squares, t.theirs.abs} {
		p.float(v)
	}
	p.text(t.missedFor)
	p.uint(uint64(len(t.units)))
	for _, u := range t.units {
		p.text(u.name)
		p.float(u.unit)
	}
	return p.bytes
}

// read reads what append wrote.
func (t *trial) read(value []byte) error {
	u := unpacker{bytes: value}
	if u.byte() != trialLayout {
		return errors.New("it has a layout that this program does not know")
	}
	t.model, t.champion, t.refits = u.text(), u.text(), u.byte() == 1
	for _, v := range []*int64{&t.began, &t.after, &t.ticks, &t.pairs, &t.missed} {
		*v = u.int()
	}
	for _, v := range []*float64{&t.own.squares, &t.own.abs, &t.theirs.squares, &t.theirs.abs} {
		*v = u.float()
	}
	t.missedFor = u.text()
	t.units = make([]trialUnit, u.count(len(u.bytes)))
	for i := range t.units {
		t.units[i] = trialUnit{u.text(), u.float()}
	}
	if u.bad {
		return errors.New("it is damaged")
	}
	return nil
}
