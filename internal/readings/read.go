package readings

import (
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/db"
)

// Range yields a machine's rows with from <= time < to, ascending; a zero to
// has no end. An error of yield ends it and is returned, but for Stop. The
// tags of a row are shared and not to be changed. NotFound: no such machine.
func (s *Store) Range(machine string, from, to time.Time, yield func(fettle.Reading) error) error {
	m, found := s.machine(machine)
	if !found {
		return unknown(machine)
	}
	rows := rowsOf(nil, machine)
	end := db.After(rows)
	if !to.IsZero() {
		if !from.Before(to) {
			return nil
		}
		end = appendMicros(slices.Clone(rows), microsFrom(to))
	}
	return s.db.Ascend(appendMicros(rows, microsFrom(from)), end, func(key, value []byte) error {
		r, err := m.reading(key, value)
		if err != nil {
			return err
		}
		return yield(r)
	})
}

// microsFrom is the first whole microsecond that is not before t.
func microsFrom(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

// Last returns a machine's newest n rows with time <= until, ascending; a zero
// until is no bound. NotFound: no such machine.
func (s *Store) Last(machine string, until time.Time, n int) ([]fettle.Reading, error) {
	m, found := s.machine(machine)
	if !found {
		return nil, unknown(machine)
	}
	var rows []fettle.Reading
	err := s.descend(m, until, n, func(key, value []byte) error {
		r, err := m.reading(key, value)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	return rows, nil
}

// Window returns a machine's newest n rows with time <= until as columns, one
// for each of the sensors; nil sensors stand for all of the machine's. Where a
// sensor was silent, also one never heard of, there is NaN. A zero until is no
// bound. NotFound: no such machine.
func (s *Store) Window(machine string, until time.Time, n int, sensors []string) (fettle.Window, error) {
	m, found := s.machine(machine)
	if !found {
		return fettle.Window{}, unknown(machine)
	}
	state := m.state.Load()
	if sensors == nil {
		sensors = state.sensors
	}
	n = max(0, min(n, int(state.rows)))
	w := newColumns(sensors, n)
	at := n // rows come newest first, and fill the columns from their ends
	columns := w.columnOf(m.words.Load())
	err := s.descend(m, until, n, func(key, value []byte) error {
		at--
		words := m.words.Load()
		if len(columns) < len(words.sensors) {
			columns = w.columnOf(words)
		}
		return w.fill(at, key, value, columns)
	})
	if err != nil {
		return fettle.Window{}, damage(machine, "rows", err)
	}
	filled := fettle.Window(w).Slice(at, n)
	filled.Machine = machine
	return filled, nil
}

// descend yields the records of a machine's newest n rows until a time.
func (s *Store) descend(m *machine, until time.Time, n int, yield func(key, value []byte) error) error {
	if n <= 0 {
		return nil
	}
	rows := rowsOf(nil, m.name)
	end := db.After(rows)
	if !until.IsZero() {
		end = appendMicros(slices.Clone(rows), until.UnixMicro()+1)
	}
	return s.db.Descend(rows, end, func(key, value []byte) error {
		if err := yield(key, value); err != nil {
			return err
		}
		if n--; n == 0 {
			return Stop
		}
		return nil
	})
}

// reading decodes a record. It takes the words anew each time: they are at
// least as new as any record that a reader sees.
func (m *machine) reading(key, value []byte) (fettle.Reading, error) {
	micros, err := microsOf(key)
	if err != nil {
		return fettle.Reading{}, damage(m.name, "row", err)
	}
	values, tags, err := m.words.Load().row(value, nil)
	if err != nil {
		return fettle.Reading{}, damage(m.name, "row at "+fromMicros(micros).Format(time.RFC3339Nano), err)
	}
	return fettle.Reading{Machine: m.name, Time: fromMicros(micros), Values: values, Tags: tags}, nil
}

// columns is a Window being filled.
type columns fettle.Window

// newColumns makes columns of n rows, NaN throughout, in one piece of memory.
func newColumns(sensors []string, n int) columns {
	all := make([]float64, len(sensors)*n)
	for i := range all {
		all[i] = math.NaN()
	}
	c := columns{Sensors: sensors, TimesMicros: make([]int64, n), Columns: make([][]float64, len(sensors))}
	for i := range c.Columns {
		c.Columns[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return c
}

// columnOf maps sensor numbers to columns, -1 for a sensor that has none.
func (c columns) columnOf(w *words) []int {
	byName := make(map[string]int, len(c.Sensors))
	for i, name := range c.Sensors {
		byName[name] = i
	}
	columnOf := make([]int, len(w.sensors))
	for id, name := range w.sensors {
		i, wanted := byName[name]
		if !wanted {
			i = -1
		}
		columnOf[id] = i
	}
	return columnOf
}

// fill decodes a record into one row of the columns.
func (c columns) fill(at int, key, value []byte, columnOf []int) (err error) {
	c.TimesMicros[at], err = microsOf(key)
	if err != nil {
		return err
	}
	d := decode(value)
	d.uvarint() // tag set
	for range d.count(9) {
		id, v := d.below(len(columnOf)), d.float()
		if d.damaged {
			break
		}
		if i := columnOf[id]; i >= 0 {
			c.Columns[i][at] = v
		}
	}
	return d.err()
}
