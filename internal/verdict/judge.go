package verdict

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// A Judge gives every row of every machine its verdict. Several machines may be
// judged at once, each by one goroutine at a time; what is known may be asked
// for at any time, and never waits for a judgement or a fit.
type Judge struct {
	db   *db.DB
	rows *readings.Store
	log  *slog.Logger

	// Silenced, if there is one, names further stretches of time from which
	// nothing may be learned, ascending and apart: those in which somebody worked
	// on the machine. It is set before the first rows come.
	Silenced func(machine string, from, to time.Time) []fettle.Interval

	fitting sync.Mutex // one fit at a time: it takes a whole core and some memory

	mu       sync.Mutex // guards machines
	machines map[string]*machine
}

// New makes a judge over the rows of a store. What it knows of each machine is
// read from d when that machine is first asked for.
func New(d *db.DB, rows *readings.Store, log *slog.Logger) (*Judge, error) {
	return &Judge{db: d, rows: rows, log: log, machines: map[string]*machine{}}, nil
}

// A machine is what the judge knows of one machine.
type machine struct {
	name string

	// Used by Judge and Save only.
	live     *watch // nil until the first fit
	course   course
	chunk    chunk
	full     []chunk // complete, not saved yet
	refitted bool    // the model is not saved yet
	renewed  bool    // records of an unreadable former life are to be deleted
	trimmed  time.Time

	quarantine quarantine

	mu     sync.RWMutex // guards what follows, for readers
	latest fettle.Verdict
	cursor time.Time // event time of the newest row judged; zero if none
	saved  time.Time // cursor at the last Save
}

// Judge judges the next rows of a machine, which ascend in time, and returns a
// verdict for each. Rows at or before Cursor have their verdict and are left
// out. The rows must be in the store too: fits read them there.
//
// Nothing counts until it is saved: whoever could not make use of verdicts hands
// the rows over again instead of saving, and gets the same verdicts.
func (j *Judge) Judge(name string, rows []fettle.Reading) ([]fettle.Verdict, error) {
	m, err := j.machine(name, true)
	if err == nil && m.again(rows) {
		j.forget(name)
		m, err = j.machine(name, true)
	}
	if err != nil {
		return nil, err
	}
	verdicts := make([]fettle.Verdict, 0, len(rows))
	cursor := m.cursor
	for _, r := range rows {
		if !r.Time.After(cursor) {
			continue
		}
		v := m.judge(r, cursor)
		m.record(v)
		verdicts = append(verdicts, v)
		cursor = r.Time
		if m.course.due(r.Time, m.live) {
			if err := j.learn(m, r); err != nil {
				j.forget(name)
				return nil, err
			}
		}
	}
	if len(verdicts) > 0 {
		m.publish(verdicts[len(verdicts)-1])
	}
	return verdicts, nil
}

// judge gives one row its verdict; previous is the time of the row before.
func (m *machine) judge(r fettle.Reading, previous time.Time) fettle.Verdict {
	v := fettle.Verdict{Machine: m.name, Time: r.Time, Learning: true}
	spoke, judged := 0, false
	if m.live != nil {
		spoke, judged = m.live.take(r, true)
	}
	if judged {
		v.Learning, v.Score = false, m.live.score()
		if v.Score > named {
			v.Causes = m.live.causes()
		}
	}
	anomalous := v.Score > 1 || m.live != nil && m.live.on
	if anomalous {
		m.quarantine.add(r.Time, previous)
	}
	m.course.count(r, spoke, judged, anomalous)
	return v
}

func (m *machine) record(v fettle.Verdict) {
	if m.chunk.full() {
		m.full = append(m.full, m.chunk)
		m.chunk = chunk{}
	}
	m.chunk.add(v)
}

func (m *machine) publish(latest fettle.Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest, m.cursor = latest, latest.Time
}

// again tells whether rows that were judged and not saved are handed over again.
func (m *machine) again(rows []fettle.Reading) bool {
	for _, r := range rows {
		if r.Time.After(m.saved) {
			return !r.Time.After(m.cursor)
		}
	}
	return false
}

// forget drops what was judged since the last Save.
func (j *Judge) forget(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.machines, name)
}

// Cursor is the event time of the newest row whose verdict is saved; zero if
// there is none.
func (j *Judge) Cursor(name string) time.Time {
	m := j.known(name)
	if m == nil {
		return time.Time{}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.saved
}

// Latest is the verdict on the newest row judged; false if there is none.
func (j *Judge) Latest(name string) (fettle.Verdict, bool) {
	m := j.known(name)
	if m == nil {
		return fettle.Verdict{}, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.latest, !m.cursor.IsZero()
}

// Quarantined returns the stretches of a machine's time that have a part in
// [from, to) and whose rows nothing may be learned from, ascending.
func (j *Judge) Quarantined(name string, from, to time.Time) []fettle.Interval {
	var judged []fettle.Interval
	if m := j.known(name); m != nil {
		judged = m.quarantine.within(from, to)
	}
	return j.withSilences(judged, name, from, to)
}

// withSilences adds to stretches that were judged those that people named.
func (j *Judge) withSilences(judged []fettle.Interval, name string, from, to time.Time) []fettle.Interval {
	if j.Silenced == nil {
		return judged
	}
	silenced := j.Silenced(name, from, to)
	if len(silenced) == 0 {
		return judged
	}
	return fettle.Union(append(judged, silenced...))
}

// known finds a machine for a reader; nil if there is none. A store that cannot
// be read is told of by whoever judges.
func (j *Judge) known(name string) *machine {
	m, err := j.machine(name, false)
	if err != nil {
		return nil
	}
	return m
}

// machine finds a machine, reading what was saved of it. One of which nothing
// was saved is made if create says so, else it is nil: readers may ask for any
// name.
func (j *Judge) machine(name string, create bool) (*machine, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if m := j.machines[name]; m != nil {
		return m, nil
	}
	m, err := j.restore(name)
	if errors.Is(err, errDamaged) {
		j.log.Warn("what was learned of a machine cannot be read, learning anew", "machine", name, "err", err)
		m, err = &machine{name: name, course: newCourse(), renewed: true}, nil
	}
	if err != nil {
		return nil, err
	}
	if m == nil {
		if !create {
			return nil, nil
		}
		m = &machine{name: name, course: newCourse()}
	}
	j.machines[name] = m
	return m, nil
}
