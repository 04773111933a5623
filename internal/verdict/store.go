package verdict

import (
	"fmt"
	"time"

	"fettle"
	"fettle/internal/db"
)

// What is kept of a machine, and under which key. Everything that Save writes
// is one commit, so a crash leaves a state and the cursor that belongs to it.
const (
	modelPrefix      = "v/m/" // machine             the last fit
	statePrefix      = "v/s/" // machine             detector, course, cursor, newest verdict
	quarantinePrefix = "v/q/" // machine             stretches of time not to learn from
	chunkPrefix      = "v/r/" // machine, first time verdicts
)

// keep is how far back from a machine's newest row verdicts and anomalies are
// kept.
const keep = 90 * 24 * time.Hour

func key(prefix, machine string) []byte { return db.AppendString([]byte(prefix), machine) }

func chunkKey(machine string, first time.Time) []byte {
	return db.AppendMicros(key(chunkPrefix, machine), first)
}

// Save keeps what was judged since the last Save. The commit is lazy: after a
// crash that lost it, judging resumes at the cursor that was saved before, and
// gives the same verdicts again.
func (j *Judge) Save(name string) error { return j.save(name, db.Lazy) }

func (j *Judge) save(name string, durability db.Durability) error {
	m, err := j.machine(name, false)
	if err != nil || m == nil {
		return err
	}
	batch := j.db.NewBatch()
	if m.renewed {
		all := key(chunkPrefix, name)
		batch.DeleteRange(all, db.After(all))
		batch.Delete(key(modelPrefix, name))
		batch.Delete(key(quarantinePrefix, name))
	}
	for _, c := range append(m.full, m.chunk) {
		if c.rows > 0 {
			batch.Set(chunkKey(name, c.first), c.bytes)
		}
	}
	batch.Set(key(statePrefix, name), m.packState())
	if m.refitted {
		batch.Set(key(modelPrefix, name), m.live.pack())
	}
	trim := m.cursor.Sub(m.trimmed) >= daily
	if trim {
		if err := j.trim(batch, name, m.cursor.Add(-keep)); err != nil {
			return fmt.Errorf("save verdicts of %s: %w", name, err)
		}
		m.quarantine.forget(m.cursor.Add(-lookBack))
	}
	quarantine, changed := m.quarantine.pack()
	if changed {
		batch.Set(key(quarantinePrefix, name), quarantine)
	}
	if err := j.db.Commit(batch, durability); err != nil {
		return fmt.Errorf("save verdicts of %s: %w", name, err)
	}
	m.full, m.refitted, m.renewed = nil, false, false
	m.mu.Lock()
	m.saved = m.cursor
	m.mu.Unlock()
	if trim {
		m.trimmed = m.cursor
	}
	if changed {
		m.quarantine.saved()
	}
	return nil
}

// trim deletes the chunks that lie before a time as a whole, one by one: ranges
// deleted from thousands of machines would slow every read in the store down.
func (j *Judge) trim(batch *db.Batch, name string, before time.Time) error {
	oldest, err := j.chunkAt(name, before)
	if err != nil {
		return err
	}
	return j.db.Ascend(key(chunkPrefix, name), oldest, func(k, _ []byte) error {
		batch.Delete(k)
		return nil
	})
}

// restore reads what was saved of a machine; nil if nothing was.
func (j *Judge) restore(name string) (*machine, error) {
	state, found, err := j.db.Get(key(statePrefix, name))
	if err != nil || !found {
		return nil, err
	}
	learned, found, err := j.db.Get(key(modelPrefix, name))
	if err != nil {
		return nil, err
	}
	m := &machine{name: name}
	if found {
		model, err := unpackModel(learned)
		if err != nil {
			return nil, fmt.Errorf("read model of %s: %w", name, err)
		}
		m.live = newWatch(model)
	}
	if err := m.unpackState(state); err != nil {
		return nil, fmt.Errorf("read state of %s: %w", name, err)
	}
	intervals, _, err := j.db.Get(key(quarantinePrefix, name))
	if err != nil {
		return nil, err
	}
	if err := m.quarantine.unpack(intervals); err != nil {
		return nil, fmt.Errorf("read quarantine of %s: %w", name, err)
	}
	return m, nil
}

// Range yields the saved verdicts of a machine with from <= time < to, in
// ascending order. Scores and shares are kept to a thousandth.
func (j *Judge) Range(name string, from, to time.Time, yield func(fettle.Verdict) error) error {
	start, err := j.chunkAt(name, from)
	if err != nil {
		return fmt.Errorf("read verdicts of %s: %w", name, err)
	}
	return j.db.Ascend(start, chunkKey(name, to), func(k, record []byte) error {
		first, _, _ := db.CutMicros(k[len(key(chunkPrefix, name)):])
		return readChunk(name, first, record, func(v fettle.Verdict) error {
			if v.Time.Before(from) || !v.Time.Before(to) {
				return nil
			}
			return yield(v)
		})
	})
}

// chunkAt returns the key of the chunk that holds a time, or else the key where
// one that begins then would be.
func (j *Judge) chunkAt(name string, t time.Time) ([]byte, error) {
	at := chunkKey(name, t)
	err := j.db.Descend(key(chunkPrefix, name), chunkKey(name, t.Add(time.Microsecond)), func(k, _ []byte) error {
		at = append(at[:0], k...)
		return db.Stop
	})
	return at, err
}
