package readings

import (
	"errors"
	"slices"

	"fettle/internal/db"
)

// asideSuffix is added to the name of a damaged file. Nobody reads or removes
// it but people.
const asideSuffix = ".damaged"

// setAside takes a damaged file out of service, if it still is what a reader
// found: the rest serves on.
func (s *Store) setAside(m *machine, found *day, k Kind, why error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.setAsideLocked(m, found, k, why); err != nil {
		s.log.Error("damaged file cannot be set aside", "machine", m.name, "file", s.fileOf(k, m.name, found.at), "err", err)
	}
}

func (s *Store) setAsideLocked(m *machine, found *day, k Kind, why error) error {
	d, err := readDay(s.db, m.name, found.at)
	if err != nil || d == nil || !d.same(found) {
		return err
	}
	batch := s.db.NewBatch()
	c := s.newChange(m.name)
	c.today = &touchedDay{at: d.at}
	if open := m.open[d.at]; open != nil {
		c.today.open = *open
	}
	if err := s.drop(batch, c, d, k, why); err != nil {
		return err
	}
	c.leaveDay(batch)
	c.save(batch)
	return s.commit(batch, []*change{c})
}

// dropFile is setAside for the raw file of the day that an Append is at.
func (s *Store) dropFile(batch *db.Batch, c *change, t *touchedDay, why error) error {
	d := t.file
	t.file = nil
	return s.drop(batch, c, d, Raw, why)
}

// drop puts into the batch that a file is not there any more, and renames it.
// If the batch is not committed after all, the file is missing, and this comes
// round again.
func (s *Store) drop(batch *db.Batch, c *change, d *day, k Kind, why error) error {
	name := s.fileOf(k, c.machine.name, d.at)
	if err := s.files.Move(db.Rename{From: name, To: name + asideSuffix}); err != nil {
		s.log.Warn("damaged file keeps its name", "file", name, "err", err)
	}
	s.log.Error("damaged file set aside", "machine", c.machine.name, "kind", k.String(), "day", dayName(d.at), "file", name+asideSuffix, "err", why)
	c.state.bytes[k] -= d.files[k].size
	d.files[k], d.next = sum{}, nil
	c.today.dirty = true
	if k == Raw {
		d.damaged = true
		left, err := s.countStored(c.machine.name, d)
		if err != nil {
			return err
		}
		c.state.rows += left - d.rows - c.today.open.over
		c.state.lost++
		d.rows, c.today.open.over = 0, 0
		if c.state.first >= d.at && c.state.first < d.end() {
			if c.state.first, err = s.firstRow(c.machine.name, d.at, false); err != nil {
				return err
			}
		}
	}
	batch.Set(dayKey(c.machine.name, d.at), appendDay(nil, d))
	c.other = true
	return nil
}

// countStored counts the rows of a day that are in the store.
func (s *Store) countStored(machine string, d *day) (rows int64, err error) {
	prefix := rowsOf(nil, machine)
	err = s.db.Ascend(appendMicros(slices.Clone(prefix), d.at), appendMicros(prefix, d.end()), func(_, _ []byte) error {
		rows++
		return nil
	})
	return rows, err
}

// firstRow finds a machine's first time, looking past the file of one day, and,
// if gone is set, past the day's rows in the store too.
func (s *Store) firstRow(machine string, past int64, gone bool) (int64, error) {
	first := latest
	err := eachDay(s.db, machine, earliest, latest, func(d *day) error {
		if !d.has(Raw) || d.at == past {
			return nil
		}
		first = d.first
		return Stop
	})
	look := func(from, to int64) error {
		if from >= to {
			return nil
		}
		prefix := rowsOf(nil, machine)
		return s.db.Ascend(appendMicros(slices.Clone(prefix), from), appendMicros(prefix, to), func(key, _ []byte) (err error) {
			if first, err = microsOf(key); err != nil {
				return damage(machine, "row", err)
			}
			return Stop
		})
	}
	if !gone {
		err = errors.Join(err, look(earliest, first))
		return first, err
	}
	err = errors.Join(err, look(past+dayMicros, first), look(earliest, min(past, first)))
	return first, err
}

// settle finishes the replacement of a day's files that a crash or a failing
// disk broke off: each is either the old one or the new one, and the catalogue
// now says which.
func (s *Store) settle(m *machine, d *day) error {
	now := d.version
	for k := range Kind(kinds) {
		if !d.has(k) && (d.next == nil || d.next.files[k].size == 0) {
			continue
		}
		file, err := s.openFile(m.name, d, k)
		if errors.Is(err, errBroken) {
			continue // who reads it sets it aside
		}
		if err != nil {
			return err
		}
		now.files[k] = file.version.files[k]
		if k == Raw {
			now.rows, now.first, now.last = file.version.rows, file.version.first, file.version.last
		} else if file.version.files[Raw] != now.files[Raw] {
			now.files[k] = sum{} // of rows that the raw file does not hold; it comes anew
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	batch := s.db.NewBatch()
	c := s.newChange(m.name)
	c.today = &touchedDay{at: d.at, open: *m.open[d.at], dirty: true}
	c.today.open.over -= now.rows - d.rows // they are in the file now
	for k := range now.files {
		c.state.bytes[k] += now.files[k].size - d.files[k].size
	}
	d.version, d.next = now, nil
	batch.Set(dayKey(m.name, d.at), appendDay(nil, d))
	c.other = true
	c.leaveDay(batch)
	c.save(batch)
	return s.commit(batch, []*change{c})
}
