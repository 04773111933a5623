package forecast

import (
	"context"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// Swapped has a model that serves since the newest forecast of a machine make
// that forecast anew, so that nobody is shown the one of its predecessor until
// the next tick. It consumes no tick, and what is scored is what was said first.
// It returns what was made; like Forecast it is for whoever brings the machine
// up to date.
func (e *Engine) Swapped(ctx context.Context, machine string) []Made {
	info, found := e.rows.Info(machine)
	if !found {
		return nil
	}
	var all []Made
	for _, m := range e.memoriesOf(machine) {
		if !e.isSwapped(m) {
			continue
		}
		made, err := e.again(ctx, m, info)
		if err != nil {
			e.log.Debug("no forecast of a model that serves now", "machine", machine, "forecaster", m.plan.Name, "err", err)
			continue
		}
		all = append(all, made)
	}
	return all
}

// isSwapped tells, once for each champion, whether another model made the newest
// forecast.
func (e *Engine) isSwapped(m *memory) bool {
	champion, found := e.models.Champion(m.machine, m.plan.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !found || m.Made == nil || m.Made.Model == champion.Name || m.swapped == champion.Name {
		return false
	}
	m.swapped = champion.Name
	return true
}

// again makes a memory's newest forecast anew.
func (e *Engine) again(ctx context.Context, m *memory, info readings.Info) (Made, error) {
	m.mu.Lock()
	at := m.Ticked
	m.mu.Unlock()
	made, err := e.make(ctx, m, info, at)
	if err != nil {
		return Made{}, err
	}
	shown := made
	if !m.plan.own() {
		shown.Window = fettle.Window{}
	}
	m.watching.Lock()
	m.fresh = Made{}
	m.watching.Unlock()
	m.mu.Lock()
	m.Made = &shown
	value, err := m.pack()
	m.mu.Unlock()
	if err != nil {
		return Made{}, err
	}
	batch := e.db.NewBatch()
	batch.Set(m.key(), value)
	return made, e.db.Commit(batch, db.Lazy)
}
