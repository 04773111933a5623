package readings

import (
	"fmt"
	"slices"
	"time"

	"fettle/internal/db"
)

// Open loads what is known of the machines. It reads no rows but the few that
// came after a machine's newest values were last written.
func Open(d *db.DB) (*Store, error) {
	s := &Store{db: d, machines: map[string]*machine{}}
	load := []struct {
		prefix string
		record func(m *machine, number uint64, value []byte) error
	}{
		{infoPrefix, loadInfo},
		{sensorPrefix, loadSensor},
		{tagSetPrefix, loadTagSet},
		{latestPrefix, loadLatest},
	}
	for _, kind := range load {
		if err := s.scan(kind.prefix, kind.record); err != nil {
			return nil, fmt.Errorf("open readings: %w", err)
		}
	}
	for _, m := range s.machines {
		if err := s.catchUp(m); err != nil {
			return nil, fmt.Errorf("open readings: %w", err)
		}
	}
	return s, nil
}

// scan hands out all records of a kind with their machine, which the info
// records, scanned first, bring in.
func (s *Store) scan(prefix string, record func(m *machine, number uint64, value []byte) error) error {
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
		number, _, _ := db.CutUint64(rest)
		if err := record(m, number, value); err != nil {
			return damage(name, "record "+prefix, err)
		}
		return nil
	})
}

func loadInfo(m *machine, _ uint64, value []byte) error {
	state, err := decodeInfo(value)
	m.state.Store(state)
	return err
}

func loadSensor(m *machine, number uint64, value []byte) error {
	words, name := m.words.Load(), string(value)
	if number != uint64(len(words.sensors)) {
		return errDamaged
	}
	words.sensors = append(words.sensors, name)
	m.ids[name] = uint32(number)
	return nil
}

func loadTagSet(m *machine, number uint64, value []byte) error {
	words := m.words.Load()
	tags, err := decodeTagSet(value)
	if err != nil || number != uint64(len(words.tagSets)) {
		return errDamaged
	}
	words.tagSets = append(words.tagSets, tags)
	m.tagIDs[string(value)] = uint32(len(words.tagSets))
	return nil
}

func loadLatest(m *machine, _ uint64, value []byte) (err error) {
	m.savedAt, m.state.Load().latest, err = decodeLatest(value)
	return err
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
