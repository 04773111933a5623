package train

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/readings"
)

// What starts a run.
const (
	ByHand     = "hand"
	BySchedule = "schedule"
	ByDrift    = "drift"
	ByDemo     = "demo"
)

// A Request asks for runs.
type Request struct {
	Machines   []string // none: all
	Forecaster string   // "": each for which a machine has the data
	Preset     string   // "": the configuration's
	Trigger    string
	By         string            // who asks
	On         string            // "": the configured engine; Here, OnSpark, or a cluster's address
	Confs      map[string]string // of a session at that cluster, beside the configured ones

	where destination
}

// A Refusal says why there is no run of a machine.
type Refusal struct {
	Machine    string `json:"machine"`
	Forecaster string `json:"forecaster,omitempty"`
	Reason     string `json:"reason"`
}

// Start puts runs into the queue, as many as were asked for and are possible,
// and says why the others are not. It is an error if none is.
func (m *Manager) Start(r Request) (started []fettle.Training, refused []Refusal, err error) {
	r.Preset = cmp.Or(r.Preset, m.cfg.Preset)
	recipe, err := FindRecipe(r.Preset)
	if err != nil {
		return nil, nil, err
	}
	forecasters, err := m.forecasters(r.Forecaster)
	if err != nil {
		return nil, nil, err
	}
	if r.where, err = m.destinationOf(r); err != nil {
		return nil, nil, err
	}
	if len(r.Machines) == 0 {
		for _, info := range m.Rows.Machines() {
			r.Machines = append(r.Machines, info.Machine)
		}
	}
	var first error
	for _, machine := range r.Machines {
		for _, f := range forecasters {
			t, err := m.enqueue(r, recipe, machine, f)
			if err == nil {
				started = append(started, t)
				continue
			}
			if fettle.KindOf(err) == fettle.Busy {
				return started, refused, err
			}
			first = cmp.Or(first, err)
			refused = append(refused, Refusal{machine, f.Name, err.Error()})
		}
	}
	m.stir()
	if len(started) > 0 {
		return started, refused, nil
	}
	return nil, refused, cmp.Or(first, fettle.Errorf(fettle.Unavailable, "no machine has sent anything yet"))
}

// forecasters are those of a name, or all.
func (m *Manager) forecasters(name string) ([]forecast.Forecaster, error) {
	if name == "" {
		return m.cfg.Forecasters, nil
	}
	var names []string
	for _, f := range m.cfg.Forecasters {
		if f.Name == name {
			return []forecast.Forecaster{f}, nil
		}
		names = append(names, f.Name)
	}
	return nil, fettle.BadField("unknown forecaster", "forecaster", name, fmt.Sprintf("one of %q, as forecast.forecasters has them", names))
}

// suit is the recipe for a forecaster. The short one takes the preset as it is;
// the others say themselves how far they look.
func (r Recipe) suit(f forecast.Forecaster) Recipe {
	if f.Name != fettle.ShortForecaster {
		r.Network.ContextLength, r.Network.PredictionLength = f.Context, f.Steps
	}
	return r
}

// enqueue puts one run into the queue, with a plan, if the machine has the data
// for it and there is none yet.
func (m *Manager) enqueue(r Request, recipe Recipe, machine string, f forecast.Forecaster) (fettle.Training, error) {
	info, known := m.Rows.Info(machine)
	if !known {
		return fettle.Training{}, fettle.Errorf(fettle.NotFound, "no machine %q", fettle.Shorten(machine))
	}
	recipe = m.bounded(recipe.suit(f), r.where.elsewhere())
	need := leastRows(recipe)
	have, err := m.rowsOf(info, f, need)
	if err != nil {
		return fettle.Training{}, fmt.Errorf("train %s: %w", machine, err)
	}
	if have < need {
		return fettle.Training{}, fettle.Errorf(fettle.Unavailable, "%s has too few readings to train the forecaster %s: %d, needs %d", machine, f.Name, have, need)
	}
	t := fettle.Training{Machine: machine, Forecaster: f.Name, Preset: r.Preset, Trigger: r.Trigger, By: r.By, State: fettle.TrainingQueued, QueuedAt: m.Now().UTC()}
	if r.Trigger == BySchedule {
		later := t.QueuedAt.Add(stagger(machine, m.cfg.Stagger))
		t.NotBefore = &later
	} else {
		plan, err := PlanRun(recipe, have, len(info.Sensors))
		if err == nil {
			err = refuseMemory(plan, m.cfg.Memory)
		}
		if err != nil {
			return fettle.Training{}, fmt.Errorf("train %s: %w", machine, err)
		}
		t.Plan = &plan
	}
	t.On = r.where.on
	if err := m.add(&t, r.where); err != nil {
		return fettle.Training{}, err
	}
	m.log.Info("training queued", "machine", machine, "forecaster", f.Name, "run", t.ID, "trigger", t.Trigger, "preset", t.Preset)
	m.changed(t)
	return t, nil
}

// add gives a run its number, and writes down where it is to be done.
func (m *Manager) add(t *fettle.Training, where destination) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting := 0
	for _, other := range m.runs {
		if other.State.Over() {
			continue
		}
		if waiting++; other.Machine == t.Machine && other.Forecaster == t.Forecaster {
			return fettle.Errorf(fettle.Conflict, "run %d trains the forecaster %s of %s already (%s)", other.ID, t.Forecaster, t.Machine, other.State)
		}
	}
	if waiting >= maxQueued {
		return fettle.Errorf(fettle.Busy, "%d training runs wait already, which is the most; wait, or cancel some", waiting)
	}
	m.last++
	t.ID = m.last
	if err := where.keep(m.folder(t.ID)); err != nil {
		return err
	}
	run := *t
	m.runs[t.ID] = &run
	m.save(&run)
	return nil
}

// bounded is a recipe within the configuration's windows. On a cluster each
// training has one slot of many on a computer: one thread, unless it is said
// otherwise.
func (m *Manager) bounded(r Recipe, elsewhere bool) Recipe {
	if w := m.cfg.Windows; w > 0 && (r.Options.WindowsPerEpoch == 0 || r.Options.WindowsPerEpoch > w) {
		r.Options.WindowsPerEpoch = w
	}
	if r.Options.Threads = m.cfg.Threads; elsewhere {
		r.Options.Threads = max(1, m.cfg.Threads)
	}
	return r
}

// rowsOf estimates how many rows a forecaster of a machine can learn from, as if
// they came evenly. Where that is less than needed, as one stray reading from
// long ago makes it, the newest are counted.
func (m *Manager) rowsOf(info readings.Info, f forecast.Forecaster, need int) (int, error) {
	from, to := rangeOf(info.First, info.Last, m.history(f))
	if f.Step > 0 {
		return int(to.Sub(from) / f.Step), nil
	}
	whole := info.Last.Sub(info.First)
	if whole <= 0 {
		return int(info.Rows), nil
	}
	if even := int(min(1, float64(to.Sub(from))/float64(whole)) * float64(info.Rows)); even >= need || int64(even) == info.Rows {
		return even, nil
	}
	newest, err := m.Rows.Last(info.Machine, time.Time{}, need)
	counted := 0
	for _, r := range newest {
		if !r.Time.Before(from) {
			counted++
		}
	}
	return counted, err
}

// longSteps is how many steps of a forecaster are learned from at most, if they
// reach further back than the configured history: a year of hours.
const longSteps = 365 * 24

func (m *Manager) history(f forecast.Forecaster) time.Duration {
	return max(m.cfg.History, longSteps*f.Step)
}

// An Action is what can be done to a run.
type Action string

// The actions.
const (
	Cancel Action = "cancel" // ends it, and its worker with it
	Pause  Action = "pause"  // takes it out of the queue, or stops its worker, which goes on later from where it was
	Resume Action = "resume" // puts a paused one back into the queue
)

// Control does something to a run.
func (m *Manager) Control(id uint64, what Action, by string) (fettle.Training, error) {
	switch what {
	case Cancel:
		return m.stop(id, errCancelled, by)
	case Pause:
		return m.stop(id, errPaused, by)
	case Resume:
		return m.resume(id)
	default:
		return fettle.Training{}, fettle.BadField("unknown action", "action", string(what), "cancel, pause or resume")
	}
}

// stop ends a run's work for a cause.
func (m *Manager) stop(id uint64, cause error, by string) (fettle.Training, error) {
	state := fettle.TrainingCancelled
	if errors.Is(cause, errPaused) {
		state = fettle.TrainingPaused
	}
	m.mu.Lock()
	t, known := m.runs[id]
	switch {
	case !known:
		m.mu.Unlock()
		return fettle.Training{}, unknownRun(id)
	case t.State.Over():
		m.mu.Unlock()
		return *t, fettle.Errorf(fettle.Conflict, "run %d is over: it %s", id, t.State)
	case t.State == state:
		m.mu.Unlock()
		return *t, nil
	}
	a := m.active[id]
	if a != nil {
		if a.cause = cause; a.cancel != nil {
			a.cancel(cause)
		}
	}
	m.mu.Unlock()
	m.change(id, func(t *fettle.Training) { m.halt(t, state, by) })
	if a == nil && state.Over() {
		m.discard(id)
	}
	return m.Get(id)
}

// halt writes into a run that it is stopped. Its worker may take a moment more.
func (m *Manager) halt(t *fettle.Training, state fettle.TrainingState, by string) {
	if t.State.Over() { // it ended meanwhile
		return
	}
	t.State = state
	t.Reason = string(state)
	if by != "" {
		t.Reason += " by " + by
	}
	if state.Over() {
		now := m.Now().UTC()
		t.EndedAt = &now
	}
}

// resume puts a paused run back into the queue.
func (m *Manager) resume(id uint64) (fettle.Training, error) {
	t, err := m.Get(id)
	if err != nil {
		return t, err
	}
	if t.State != fettle.TrainingPaused {
		return t, fettle.Errorf(fettle.Conflict, "run %d is not paused: it is %s", id, t.State)
	}
	m.change(id, func(t *fettle.Training) {
		if t.State == fettle.TrainingPaused {
			t.State, t.Reason = fettle.TrainingQueued, ""
		}
	})
	m.stir()
	return m.Get(id)
}

// Drifted asks for a run of a machine whose forecasts are no longer as good as
// they were. It happens at most once in a while, so that a machine that cannot
// be forecast does not keep the computer busy, and not while a challenger waits
// in the shadow, or that one would never be judged.
func (m *Manager) Drifted(machine, forecaster, why string) {
	const rest = 24 * time.Hour
	if _, waits := m.Models.Waiting(machine, forecaster); waits {
		return
	}
	for _, t := range m.List(Filter{Machine: machine}) {
		if t.Forecaster == forecaster && (!t.State.Over() || t.EndedAt != nil && m.Now().Sub(*t.EndedAt) < rest) {
			return
		}
	}
	if _, refused, err := m.Start(Request{Machines: []string{machine}, Forecaster: forecaster, Trigger: ByDrift, By: why}); err != nil {
		m.log.Warn("cannot train after a drift", "machine", machine, "forecaster", forecaster, "err", err, "refused", len(refused))
	}
}

// Active counts runs that wait and run, for whoever shows them.
func (m *Manager) Active() (waiting, running int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.runs {
		switch t.State {
		case fettle.TrainingQueued, fettle.TrainingPaused:
			waiting++
		case fettle.TrainingRunning:
			running++
		}
	}
	return waiting, running
}
