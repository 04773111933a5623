package train

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"fettle"
	"fettle/internal/db"
)

// checkSchedule refuses what is no cron expression, or never comes.
func checkSchedule(expression string) error {
	if expression == "" {
		return nil
	}
	expected := "a cron expression of five fields (minute, hour, day of month, month, day of week), such as 0 0 1 * *; empty: none"
	if len(strings.Fields(expression)) != 5 || !gronx.IsValid(expression) { // it knows seconds, too
		return fettle.BadField("bad schedule", "training.schedule", expression, expected)
	}
	if _, err := gronx.NextTickAfter(expression, time.Now(), false); err != nil {
		return fettle.BadField("bad schedule", "training.schedule", expression, expected+"; this one never comes")
	}
	return nil
}

// Comes is when a schedule comes next after a time; zero if it never does.
func Comes(expression string, after time.Time) time.Time {
	next, err := gronx.NextTickAfter(expression, after, false)
	if err != nil {
		return time.Time{}
	}
	return next
}

// stagger is how much later than the schedule a machine is trained: the same
// each time, and spread over machines.
func stagger(machine string, over time.Duration) time.Duration {
	if over <= 0 {
		return 0
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(machine)) // a hash takes everything
	return time.Duration(hash.Sum64() % uint64(over)).Truncate(time.Second)
}

// keepSchedule asks for runs of all machines whenever the schedule comes. What
// came while no server ran is made up for, once.
func (m *Manager) keepSchedule(ctx context.Context) {
	for ctx.Err() == nil {
		next := m.LookAtSchedule()
		if next.IsZero() {
			return
		}
		timer := time.NewTimer(min(max(next.Sub(m.Now()), time.Millisecond), lookAgain)) // the clock may be set meanwhile
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// LookAtSchedule asks for runs of all machines if the schedule has come since it
// was last looked at, and returns when it comes next; zero if it never does. Run
// does so when it is time to; whoever moves the clock by hand does it then.
func (m *Manager) LookAtSchedule() (next time.Time) {
	if m.cfg.Schedule == "" {
		return time.Time{}
	}
	m.looking.Lock()
	defer m.looking.Unlock()
	seen, now := m.scheduleSeen(), m.Now()
	if seen.After(now) { // the clock was ahead, and has been set back
		seen = now
		m.keepScheduleSeen(seen)
	}
	due := Comes(m.cfg.Schedule, seen)
	if due.IsZero() || due.After(now) {
		return due
	}
	m.keepScheduleSeen(now)
	started, refused, err := m.Start(Request{Trigger: BySchedule})
	m.log.Info("training by schedule", "queued", len(started), "not", len(refused), "err", err)
	return Comes(m.cfg.Schedule, now)
}

// scheduleSeen is up to when the schedule was looked at; now, if it never was.
func (m *Manager) scheduleSeen() time.Time {
	value, found, err := m.db.Get([]byte(schedulePos))
	if seen, _, ok := db.CutMicros(value); found && err == nil && ok {
		return seen.In(m.Now().Location())
	}
	now := m.Now()
	m.keepScheduleSeen(now)
	return now
}

func (m *Manager) keepScheduleSeen(seen time.Time) {
	batch := m.db.NewBatch()
	batch.Set([]byte(schedulePos), db.AppendMicros(nil, seen))
	if err := m.db.Commit(batch, db.Synced); err != nil {
		m.log.Warn("cannot note that the training schedule was looked at", "err", fmt.Errorf("write %s: %w", schedulePos, err))
	}
}
