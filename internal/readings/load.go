package readings

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fettle/internal/days"
	"fettle/internal/db"
)

// Open loads what is known of the machines; dir is the data folder, in which
// the closed days are, or will be. It reads no rows but the few that came after
// a machine's newest values were last written, and no files but those that were
// being replaced when the last process ended. A nil log is silent.
func Open(d *db.DB, dir string, log *slog.Logger) (*Store, error) {
	return open(d, dir, foldsCase(), log)
}

func open(d *db.DB, dir string, foldsCase bool, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{db: d, dir: dir, foldsCase: foldsCase, files: d.Files(), press: days.NewPress(), log: log, mostNumbers: mostNumbers, machines: map[string]*machine{}}
	load := []struct {
		prefix string
		record func(m *machine, rest, value []byte) error
	}{
		{infoPrefix, loadInfo},
		{sensorPrefix, loadSensor},
		{tagSetPrefix, loadTagSet},
		{latestPrefix, loadLatest},
		{openPrefix, loadOpenDay},
	}
	for _, kind := range load {
		if err := s.scan(kind.prefix, kind.record); err != nil {
			return nil, fmt.Errorf("open readings: %w", err)
		}
	}
	if err := s.adoptFolders(); err != nil {
		return nil, fmt.Errorf("open readings: %w", err)
	}
	for _, m := range s.machines {
		err := s.catchUp(m)
		if err == nil {
			err = s.loadDays(m)
		}
		if err != nil {
			return nil, fmt.Errorf("open readings: %w", err)
		}
	}
	return s, nil
}

// scan hands out all records of a kind with their machine, which the info
// records, scanned first, bring in.
func (s *Store) scan(prefix string, record func(m *machine, rest, value []byte) error) error {
	return s.db.Ascend([]byte(prefix), db.After([]byte(prefix)), func(key, value []byte) error {
		name, rest, ok := db.CutString(key[len(prefix):])
		if !ok {
			return fmt.Errorf("key %x: %w", key, errDamaged)
		}
		m, found := s.machines[name]
		if !found {
			m = newMachine(name)
			s.machines[name] = m
		}
		if err := record(m, rest, value); err != nil {
			return damage(name, "record "+prefix, err)
		}
		return nil
	})
}

func loadInfo(m *machine, _, value []byte) error {
	state, err := decodeInfo(value)
	m.state.Store(state)
	return err
}

func loadSensor(m *machine, rest, value []byte) error {
	number, _, _ := db.CutUint64(rest)
	words, name := m.words.Load(), string(value)
	if number != uint64(len(words.sensors)) {
		return errDamaged
	}
	words.sensors = append(words.sensors, name)
	m.ids[name] = uint32(number)
	return nil
}

func loadTagSet(m *machine, rest, value []byte) error {
	number, _, _ := db.CutUint64(rest)
	words := m.words.Load()
	tags, err := decodeTagSet(value)
	if err != nil || number != uint64(len(words.tagSets)) {
		return errDamaged
	}
	words.tagSets = append(words.tagSets, tags)
	m.tagIDs[string(value)] = uint32(len(words.tagSets))
	return nil
}

func loadLatest(m *machine, _, value []byte) (err error) {
	m.savedAt, m.state.Load().latest, err = decodeLatest(value)
	return err
}

func loadOpenDay(m *machine, rest, value []byte) error {
	at, err := microsOf(rest)
	if err != nil {
		return err
	}
	open, err := decodeOpenDay(value)
	m.open[at] = &open
	return err
}

// loadDays finds out what is closed, and finishes what a crash has left.
func (s *Store) loadDays(m *machine) error {
	newest, err := lastDay(s.db, m.name, latest)
	if err != nil {
		return err
	}
	if newest != nil {
		m.sealedTo.Store(newest.end())
	}
	if len(m.open) == 0 && m.state.Load().rows > 0 {
		return s.findOpenDays(m)
	}
	for at := range m.open {
		d, err := readDay(s.db, m.name, at)
		if err == nil && d != nil && d.next != nil {
			err = s.settle(m, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findOpenDays is for a folder from before days were closed, which says nothing
// of them: it looks from each day with rows on to the next.
func (s *Store) findOpenDays(m *machine) error {
	batch := s.db.NewBatch()
	prefix := rowsOf(nil, m.name)
	for from := earliest; ; {
		at := latest
		err := s.db.Ascend(appendMicros(slices.Clone(prefix), from), db.After(prefix), func(key, _ []byte) error {
			micros, err := microsOf(key)
			if err != nil {
				return damage(m.name, "row", err)
			}
			at = dayOf(micros)
			return Stop
		})
		if err != nil {
			return err
		}
		if at == latest {
			return s.db.Commit(batch, db.Lazy)
		}
		m.open[at] = &openDay{}
		batch.Set(openDayKey(m.name, at), appendOpenDay(nil, openDay{}))
		from = at + dayMicros
	}
}

// catchUp completes the newest values from the rows since they were written.
func (s *Store) catchUp(m *machine) error {
	words, state := m.words.Load(), m.state.Load()
	if len(state.latest) > len(words.sensors) {
		return damage(m.name, "newest values", errDamaged)
	}
	state.sensors = slices.Sorted(slices.Values(words.sensors))
	for len(state.latest) < len(words.sensors) {
		state.latest = append(state.latest, never)
	}
	rows := rowsOf(nil, m.name)
	from := appendMicros(slices.Clone(rows), m.savedAt)
	return s.db.Ascend(from, db.After(rows), func(key, value []byte) error {
		micros, err := microsOf(key)
		if err != nil {
			return damage(m.name, "row", err)
		}
		values, _, err := words.row(value, nil)
		if err != nil {
			return damage(m.name, "row at "+fromMicros(micros).Format(time.RFC3339Nano), err)
		}
		for _, v := range values {
			state.note(m.ids[v.Sensor], micros, v.Value)
		}
		m.unsaved += len(value)
		return nil
	})
}

func fromMicros(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
