package train

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fettle"
	"fettle/internal/db"
)

// The records of this package; FORMAT.md has them too.
const (
	runPrefix   = "t/r/" // id: a fettle.Training, as JSON
	schedulePos = "t/s"  // microseconds: up to when the schedule was looked at
)

const (
	maxQueued = 20_000 // runs that wait
	maxEnded  = 1_000  // runs that are remembered; the oldest go first
)

func runKey(id uint64) []byte { return db.AppendUint64([]byte(runPrefix), id) }

// loadRuns reads all runs. What was running when the last server ended waits
// again: its worker is gone, and its checkpoint is not.
func loadRuns(d *db.DB) (map[uint64]*fettle.Training, error) {
	runs := map[uint64]*fettle.Training{}
	err := d.Ascend([]byte(runPrefix), db.After([]byte(runPrefix)), func(key, value []byte) error {
		t := new(fettle.Training)
		if err := json.Unmarshal(value, t); err != nil {
			return fmt.Errorf("run %x: %w", key[len(runPrefix):], err)
		}
		if t.State == fettle.TrainingRunning {
			t.State = fettle.TrainingQueued
		}
		runs[t.ID] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read training runs: %w", err)
	}
	return runs, nil
}

// save writes a run down, and forgets the oldest of too many that have ended.
// The mutex is held, so that records come in order.
func (m *Manager) save(t *fettle.Training) {
	value, err := json.Marshal(t)
	batch := m.db.NewBatch()
	if err == nil {
		batch.Set(runKey(t.ID), value)
		if t.State.Over() {
			for _, old := range m.surplus() {
				batch.Delete(runKey(old))
				delete(m.runs, old)
			}
		}
		err = m.db.Commit(batch, db.Synced)
	}
	if err != nil {
		// The run goes on: a full disk must not stop what needs none.
		m.log.Error("training run is not written down", "machine", t.Machine, "run", t.ID, "err", err)
	}
}

// surplus are the oldest runs that ended, beyond those that are remembered.
func (m *Manager) surplus() []uint64 {
	var ended []uint64
	for id, t := range m.runs {
		if t.State.Over() {
			ended = append(ended, id)
		}
	}
	slices.Sort(ended)
	return ended[:max(0, len(ended)-maxEnded)]
}

// A Filter chooses runs.
type Filter struct {
	Machine string               // "": any
	State   fettle.TrainingState // "": any
	Limit   int                  // 0: all
}

// List returns runs, the newest first.
func (m *Manager) List(f Filter) []fettle.Training {
	list := m.list(f)
	for i := range list {
		m.addShadow(&list[i])
	}
	return list
}

func (m *Manager) list(f Filter) []fettle.Training {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []fettle.Training{}
	for _, t := range m.runs {
		if (f.Machine == "" || f.Machine == t.Machine) && (f.State == "" || f.State == t.State) {
			list = append(list, *t)
		}
	}
	slices.SortFunc(list, func(a, b fettle.Training) int { return cmp.Compare(b.ID, a.ID) })
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list
}

// Get returns a run; NotFound if there is none, or it is so old that it was
// forgotten.
func (m *Manager) Get(id uint64) (fettle.Training, error) {
	m.mu.Lock()
	t, known := m.runs[id]
	if !known {
		m.mu.Unlock()
		return fettle.Training{}, unknownRun(id)
	}
	run := *t
	m.mu.Unlock()
	m.addShadow(&run)
	return run, nil
}

func unknownRun(id uint64) error {
	return fettle.Errorf(fettle.NotFound, "no training run %d; fettle train status lists them", id)
}

// change changes a run, writes it down and tells about it. What change leaves
// in its state is only told now and then.
func (m *Manager) change(id uint64, do func(*fettle.Training)) {
	m.mu.Lock()
	t, known := m.runs[id]
	if !known {
		m.mu.Unlock()
		return
	}
	next := *t
	do(&next)
	m.runs[id] = &next
	m.save(&next)
	m.mu.Unlock()
	m.changed(next)
}

// tellEvery is how much of a run has to be done between two events about it:
// whoever wants to know more closely asks.
const tellEvery = 0.05

// progress notes how far a run is. It is not written down: after a restart the
// worker tells it anew.
func (m *Manager) progress(id uint64, p fettle.TrainingProgress) {
	m.mu.Lock()
	t, known := m.runs[id]
	if !known || t.State != fettle.TrainingRunning {
		m.mu.Unlock()
		return
	}
	next := *t
	next.Progress = p
	m.runs[id] = &next
	tell := p.Share() >= m.told[id]+tellEvery || p.Epoch != t.Progress.Epoch
	if tell {
		m.told[id] = p.Share()
	}
	m.mu.Unlock()
	if tell {
		m.changed(next)
	}
}

// take returns the run that has waited longest of those that may start, here or
// elsewhere; else when one may, zero if none waits.
func (m *Manager) take(now time.Time, elsewhere bool) (t fettle.Training, ready bool, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *fettle.Training
	for _, t := range m.runs {
		if t.State != fettle.TrainingQueued || m.active[t.ID] != nil || (t.On != "") != elsewhere {
			continue
		}
		from := m.gone[t.On].until
		if t.NotBefore != nil && t.NotBefore.After(from) {
			from = *t.NotBefore
		}
		switch {
		case from.After(now):
			if next.IsZero() || from.Before(next) {
				next = from
			}
		case best == nil || t.ID < best.ID:
			best = t
		}
	}
	if best == nil {
		return fettle.Training{}, false, next
	}
	m.active[best.ID] = &active{}
	return *best, true, time.Time{}
}
