package verdict

import (
	"fmt"
	"time"

	"fettle"
	"fettle/internal/db"
)

// Accept takes a person's word that what a machine has been like at a time, and
// since, is normal now: another product, or a part that was exchanged. It
// returns when that began, as far as the judge noticed.
//
// From then on nothing is in quarantine any more, and the machine's life begins
// anew: no fit looks farther back. Until there is enough of it to learn from,
// the model goes on with the difference taken for normal; if that does not
// explain how the machine is now, it is fitted at once on what there is.
//
// It counts from the next row on, and is on disk when Accept returns. Like
// Judge it is for one goroutine at a time for each machine. Conflict: nothing is
// known of the machine yet, so there is nothing to be different from.
func (j *Judge) Accept(name string, at time.Time) (since time.Time, err error) {
	m, err := j.machine(name, false)
	if m != nil && !m.cursor.Equal(m.saved) { // whoever judges will come back with those rows
		j.forget(name)
		m, err = j.machine(name, false)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("accept how %s is: %w", name, err)
	}
	if m == nil || m.live == nil {
		return time.Time{}, fettle.Errorf(fettle.Conflict, "%s is still being learned: whatever it does counts as normal", name)
	}
	since = m.quarantine.startOf(at)
	if m.course.renewing() && m.course.joined.Before(since) { // said once more: it was not enough
		since = m.course.joined
	}
	err = j.accept(m, since)
	if err == nil {
		err = j.save(name, db.Synced)
	}
	if err != nil {
		j.forget(name)
		return time.Time{}, fmt.Errorf("accept how %s is: %w", name, err)
	}
	return since, nil
}

func (j *Judge) accept(m *machine, since time.Time) error {
	rows := 0
	count := func(fettle.Reading) error { rows++; return nil }
	if err := j.rows.Range(m.name, since, m.cursor.Add(time.Microsecond), count); err != nil {
		return err
	}
	explained, err := j.shift(m, since)
	if err != nil {
		return err
	}
	m.quarantine.release(since)
	m.course.renew(since, rows, explained, m.live)
	if !m.course.welcome(m.live) {
		return nil
	}
	newest, err := j.rows.Last(m.name, m.cursor, 1)
	if err != nil || len(newest) == 0 {
		return err
	}
	return j.learn(m, newest[0])
}

// shift takes how far a machine is from what its model expects for normal, and
// tells whether that explains how it is now: with only its level another, the
// model still says how it moves.
func (j *Judge) shift(m *machine, since time.Time) (explained bool, err error) {
	rows, err := j.rows.Last(m.name, m.cursor, warmUp+lags)
	if err != nil {
		return false, err
	}
	for len(rows) > 0 && rows[0].Time.Before(since) {
		rows = rows[1:]
	}
	measured, _ := m.live.replay(rows)
	weight := 0.0 // of the rows that could be predicted in the moving average
	for range len(rows) - lags {
		weight += forget * (1 - weight)
	}
	if weight > 0 {
		for i, y := range measured.average {
			m.live.accepted[i] += y / weight
		}
	}
	shifted, worst := m.live.replay(rows)
	m.live = shifted
	if worst <= release && weight > 0 {
		return true, nil
	}
	clear(m.live.average) // counts no more, whatever it is
	m.live.measure()
	m.live.on = false
	return false, nil
}

// replay is a watch with the same model, and with what is accepted, that has
// seen only these rows. worst is its highest score in the newer half of them,
// in which what it began with no longer matters.
func (w *watch) replay(rows []fettle.Reading) (next *watch, worst float64) {
	next = newWatch(w.model)
	copy(next.accepted, w.accepted)
	for i, row := range rows {
		if next.take(row, false); i >= len(rows)/2 {
			worst = max(worst, next.score())
		}
	}
	return next, worst
}
