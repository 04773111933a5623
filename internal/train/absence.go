package train

import (
	"context"
	"fmt"
	"time"

	"fettle"
)

const (
	// lookForCluster is how often it is tried to reach a cluster that could not
	// be reached, and awaitCluster for how long its runs wait for it.
	lookForCluster = 15 * time.Second
	awaitCluster   = time.Hour
)

// An absence is since when a cluster cannot be reached, and until when nobody
// tries again.
type absence struct{ since, until time.Time }

// reach sees to it that the cluster of a run can be reached, before anything is
// made for it. underWay: its worker was started before, and may be at work.
func (m *Manager) reach(ctx context.Context, t fettle.Training) (underWay bool, err error) {
	if t.On == "" {
		return false, nil
	}
	underWay, err = m.cluster.ready(ctx, m.folder(t.ID))
	if err == nil {
		m.mu.Lock()
		delete(m.gone, t.On)
		m.mu.Unlock()
	}
	return underWay, err
}

// waitFor has all runs of a cluster wait until it can be reached. One that
// somebody has just asked for by hand fails at once: it may be a wrong address.
func (m *Manager) waitFor(id uint64, why *absentError) {
	t, err := m.Get(id)
	if err != nil {
		return
	}
	now := m.Now()
	m.mu.Lock()
	a := m.gone[t.On]
	if a.since.IsZero() {
		a.since = now
	}
	a.until = now.Add(lookForCluster)
	m.gone[t.On] = a
	m.mu.Unlock()
	advice := fmt.Sprintf("see whether its Connect server runs: fettle spark check %s; then train again", t.On)
	switch waited := now.Sub(a.since); {
	case t.Trigger == ByHand && t.Attempts == 0:
		m.fail(id, &lostError{reason: why.Error(), advice: advice})
	case waited >= awaitCluster:
		m.fail(id, &lostError{reason: fmt.Sprintf("%v, for %s", why, waited.Round(time.Minute)), advice: advice})
	default:
		m.log.Warn("cluster cannot be reached, its trainings wait", "cluster", t.On, "run", id, "err", why)
		m.change(id, func(t *fettle.Training) {
			if t.State.Over() || t.State == fettle.TrainingPaused {
				return
			}
			t.State = fettle.TrainingQueued
			t.Reason = fmt.Sprintf("%v; it is tried again until %s", why, a.since.Add(awaitCluster).Format("15:04"))
		})
	}
}
