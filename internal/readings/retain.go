package readings

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/db"
)

// expire removes the files of a machine that are older than their kind is kept.
func (s *Store) expire(m *machine, ages Ages) error {
	for k, age := range ages {
		if age <= 0 {
			continue
		}
		until := dayOf(m.state.Load().last - age.Microseconds())
		for {
			done, err := s.expireOne(m, Kind(k), until)
			if err != nil {
				return err
			}
			if done {
				break
			}
		}
	}
	return nil
}

// expireOne removes the oldest file of a kind, if its day is over before a time;
// done if there is none.
func (s *Store) expireOne(m *machine, k Kind, until int64) (done bool, err error) {
	if m.state.Load().floor[k] >= until {
		return true, nil
	}
	oldest, err := s.oldest(m, k)
	if err != nil || oldest == nil || oldest.end() > until {
		return true, err
	}
	return false, s.remove(m, oldest.at, k)
}

// oldest finds a machine's oldest file of a kind.
func (s *Store) oldest(m *machine, k Kind) (found *day, err error) {
	from := m.state.Load().floor[k]
	err = eachDay(s.db, m.name, from, latest, func(d *day) error {
		if !d.has(k) {
			return nil
		}
		found = d
		return Stop
	})
	return found, err
}

// shrink removes the oldest files of all machines, counted back from their
// watermarks, until the rest is within a budget: readings first, then the finer
// rollups, then the coarser.
func (s *Store) shrink(ctx context.Context, budget int64) error {
	for k := range Kind(kinds) {
		for s.Files().Bytes > budget && ctx.Err() == nil {
			var loser *machine
			var day int64
			age := int64(-1)
			for _, name := range s.names() {
				m, _ := s.machine(name)
				d, err := s.oldest(m, k)
				if err != nil {
					return err
				}
				if d != nil && m.state.Load().last-d.at > age {
					loser, day, age = m, d.at, m.state.Load().last-d.at
				}
			}
			if loser == nil {
				break
			}
			if err := s.remove(loser, day, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove lets go of a file, and, if it holds readings, of those that lie over
// it. First the catalogue forgets it, then it goes; one that a crash leaves
// behind goes with sweep. A full disk does not hold it up, if it is not full to
// the last.
func (s *Store) remove(m *machine, at int64, k Kind) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	if err := s.forget(m, at, k); err != nil {
		return err
	}
	if err := s.files.Remove(s.fileOf(k, m.name, at)); err != nil {
		return fettle.Errorf(fettle.Unavailable, "remove %s: %w", s.fileOf(k, m.name, at), err)
	}
	s.log.Debug("file removed", "machine", m.name, "kind", k.String(), "day", dayName(at))
	return nil
}

// sweep removes files of before what is kept: a crash came between the catalogue
// and them.
func (s *Store) sweep(ctx context.Context) error {
	for _, name := range s.names() {
		m, _ := s.machine(name)
		for k, floor := range m.state.Load().floor {
			if floor <= earliest {
				continue
			}
			if err := s.sweepFolder(s.folderOf(Kind(k), name), dayName(floor)); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

func (s *Store) sweepFolder(dir, floor string) error {
	files, err := s.files.List(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		day, isOurs := strings.CutSuffix(file, fileSuffix)
		if _, err := time.Parse(time.DateOnly, day); !isOurs || err != nil || day >= floor {
			continue
		}
		if err := s.files.Remove(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forget(m *machine, at int64, k Kind) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	d, err := readDay(s.db, m.name, at)
	if err != nil || d == nil || !d.has(k) {
		return err
	}
	batch := s.db.NewBatch()
	c := s.newChange(m.name)
	c.other = true
	c.state.bytes[k] -= d.files[k].size
	c.state.floor[k] = max(c.state.floor[k], d.end())
	d.files[k], d.next = sum{}, nil
	if k == Raw {
		if open := m.open[at]; open != nil {
			c.state.rows -= open.over
			if err := s.deleteRows(batch, m.name, d); err != nil {
				return err
			}
			batch.Delete(openDayKey(m.name, at))
			c.days = map[int64]*openDay{at: nil}
		}
		c.state.rows -= d.rows
		d.rows = 0
		if d.damaged {
			c.state.lost--
			d.damaged = false
		}
		if c.state.first < d.end() {
			if c.state.first, err = s.firstRow(m.name, at, true); err != nil {
				return err
			}
		}
	}
	if d.files == ([kinds]sum{}) {
		batch.Delete(dayKey(m.name, at))
	} else {
		batch.Set(dayKey(m.name, at), appendDay(nil, d))
	}
	c.save(batch)
	return s.commitAs(db.Freeing, batch, []*change{c})
}

// FileStats sums up the files of closed days.
type FileStats struct {
	Bytes  int64
	ByKind [kinds]int64
	Lost   int64 // days whose readings were in a file that was damaged and set aside
}

// Files sums up the files of all machines.
func (s *Store) Files() FileStats {
	var f FileStats
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.machines {
		state := m.state.Load()
		for k, bytes := range state.bytes {
			f.Bytes += bytes
			f.ByKind[k] += bytes
		}
		f.Lost += state.lost
	}
	return f
}
