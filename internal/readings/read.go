package readings

import (
	"errors"
	"math"
	"slices"
	"time"

	"fettle"
)

// Range yields a machine's rows with from <= time < to, ascending; a zero to
// has no end. An error of yield ends it and is returned, but for Stop. The
// tags of a row are shared and not to be changed. NotFound: no such machine.
func (s *Store) Range(machine string, from, to time.Time, yield func(fettle.Reading) error) error {
	end := latest
	if !to.IsZero() {
		end = microsFrom(to)
	}
	v, err := s.look(machine)
	if err != nil {
		return err
	}
	defer v.Close()
	if err := v.eachRow(microsFrom(from), end, yield); !errors.Is(err, Stop) {
		return err
	}
	return nil
}

// microsFrom is the first whole microsecond that is not before t.
func microsFrom(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

// eachRow yields rows as readings, as eachPiece yields pieces. What is in the
// store only goes straight from its record into a reading.
func (v *view) eachRow(from, to int64, yield func(fettle.Reading) error) error {
	closed, err := v.closedDays(from, to)
	if err != nil {
		return err
	}
	sensors := v.sensors()
	for _, d := range closed {
		if err := v.eachStored(from, min(d.at, to), yield); err != nil {
			return err
		}
		err := v.dayPieces(d, max(from, d.at), min(d.end(), to), sensors, func(p *piece) error {
			return p.eachRow(v.machine.name, sensors, &v.tags, yield)
		})
		if err != nil {
			return err
		}
		from = max(from, d.end())
	}
	return v.eachStored(from, to, yield)
}

func (v *view) eachStored(from, to int64, yield func(fettle.Reading) error) error {
	if from >= to {
		return nil
	}
	var ended error
	prefix := rowsOf(nil, v.machine.name)
	err := v.Ascend(appendMicros(slices.Clone(prefix), from), appendMicros(prefix, to), func(key, value []byte) error {
		r, err := v.reading(key, value)
		if err != nil {
			return err
		}
		if ended = yield(r); ended != nil {
			return Stop
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ended
}

// sensors lists all sensors that the machine ever had, sorted.
func (v *view) sensors() []string { return slices.Sorted(slices.Values(v.words.sensors)) }

// reading decodes a record.
func (v *view) reading(key, value []byte) (fettle.Reading, error) {
	micros, err := microsOf(key)
	if err != nil {
		return fettle.Reading{}, damage(v.machine.name, "row", err)
	}
	values, tags, err := v.words.row(value, nil)
	if err != nil {
		return fettle.Reading{}, damage(v.machine.name, "row at "+fromMicros(micros).Format(time.RFC3339Nano), err)
	}
	return fettle.Reading{Machine: v.machine.name, Time: fromMicros(micros), Values: values, Tags: tags}, nil
}

// Last returns a machine's newest n rows with time <= until, ascending; a zero
// until is no bound. NotFound: no such machine.
func (s *Store) Last(machine string, until time.Time, n int) ([]fettle.Reading, error) {
	v, err := s.look(machine)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var rows []fettle.Reading // newest first
	sensors := v.sensors()
	err = v.backwards(endOf(until), func() int { return n - len(rows) }, stretches{
		stored: func(key, value []byte) error {
			r, err := v.reading(key, value)
			rows = append(rows, r)
			return err
		},
		closed: func(d *day, to int64) error {
			return v.dayBackwards(d, to, sensors, func() int { return n - len(rows) }, func(p *piece) error {
				begin := len(rows)
				p = p.cut(max(0, len(p.times)-(n-begin)), len(p.times))
				err := p.eachRow(machine, sensors, &v.tags, func(r fettle.Reading) error {
					rows = append(rows, r)
					return nil
				})
				slices.Reverse(rows[begin:])
				return err
			})
		},
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	return rows, nil
}

// endOf is the end of the stretch that until is the last moment of.
func endOf(until time.Time) int64 {
	if until.IsZero() {
		return latest
	}
	return until.UnixMicro() + 1
}

// stretches is what a walk back through time does with what it comes through.
type stretches struct {
	stored func(key, value []byte) error // one row, where no file is
	closed func(d *day, to int64) error  // the rows of a closed day before a time
}

// backwards walks from a time back, until nothing is missing any more.
func (v *view) backwards(to int64, missing func() int, do stretches) error {
	prefix := rowsOf(nil, v.machine.name)
	for missing() > 0 {
		d, err := v.closedBefore(to)
		if err != nil {
			return err
		}
		from := prefix
		if d != nil {
			from = appendMicros(slices.Clone(prefix), d.end())
		}
		if d == nil || d.end() < to {
			err := v.Descend(from, appendMicros(slices.Clone(prefix), to), func(key, value []byte) error {
				if err := do.stored(key, value); err != nil || missing() > 0 {
					return err
				}
				return Stop
			})
			if err != nil {
				return err
			}
		}
		if d == nil || missing() <= 0 {
			return nil
		}
		if err := do.closed(d, min(to, d.end())); err != nil {
			return err
		}
		to = d.at
	}
	return nil
}

func (v *view) closedBefore(to int64) (*day, error) {
	if v.machine.sealedTo.Load() <= earliest {
		return nil, nil
	}
	return lastDay(v, v.machine.name, to)
}

// Window returns a machine's newest n rows with time <= until as columns, one
// for each of the sensors; nil sensors stand for all of the machine's. Where a
// sensor was silent, also one never heard of, there is NaN. A zero until is no
// bound. NotFound: no such machine.
func (s *Store) Window(machine string, until time.Time, n int, sensors []string) (fettle.Window, error) {
	v, err := s.look(machine)
	if err != nil {
		return fettle.Window{}, err
	}
	defer v.Close()
	v.tagless = true
	state := v.machine.state.Load()
	if sensors == nil {
		sensors = state.sensors
	}
	w := newColumns(v, sensors, max(0, min(n, int(state.rows))))
	err = v.backwards(endOf(until), func() int { return w.free }, stretches{stored: w.addStored, closed: w.addDay})
	if err != nil {
		return fettle.Window{}, err
	}
	filled := w.Window.Slice(w.free, w.Rows())
	filled.Machine = machine
	return filled, nil
}

// columns is a Window that is filled from its end.
type columns struct {
	fettle.Window
	view   *view
	places []int // of the machine's sensors, by number; -1: not asked for
	free   int   // rows that are still empty, at the front
}

// newColumns makes columns of n rows in one piece of memory.
func newColumns(v *view, sensors []string, n int) *columns {
	c := &columns{view: v, places: placesOf(v.words.sensors, sensors), free: n}
	c.Window = fettle.Window{Sensors: sensors, TimesMicros: make([]int64, n), Columns: make([][]float64, len(sensors))}
	all := make([]float64, len(sensors)*n)
	for i := range c.Columns {
		c.Columns[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return c
}

// addStored decodes a record into the last free row.
func (c *columns) addStored(key, value []byte) error {
	c.free--
	for _, column := range c.Columns {
		column[c.free] = math.NaN()
	}
	if err := c.fill(key, value); err != nil {
		return damage(c.view.machine.name, "rows", err)
	}
	return nil
}

func (c *columns) fill(key, value []byte) (err error) {
	c.TimesMicros[c.free], err = microsOf(key)
	if err != nil {
		return err
	}
	d := decode(value)
	d.uvarint() // tag set
	for range d.count(9) {
		id, v := d.below(len(c.places)), d.float()
		if d.damaged {
			break
		}
		if i := c.places[id]; i >= 0 {
			c.Columns[i][c.free] = v
		}
	}
	return d.err()
}

// addDay takes the newest rows of a closed day before a time, as many as are
// free. A whole day that nothing lies over goes straight from its file into
// place.
func (c *columns) addDay(d *day, to int64) error {
	v := c.view
	_, dirty, err := v.Get(openDayKey(v.machine.name, d.at))
	if err != nil {
		return err
	}
	if !dirty && to == d.end() && d.rows <= int64(c.free) {
		done, err := c.addWhole(d)
		if done || err != nil {
			return err
		}
	}
	return v.dayBackwards(d, to, c.Sensors, func() int { return c.free }, c.addPiece)
}

func (c *columns) addPiece(p *piece) error {
	n := min(c.free, len(p.times))
	c.free -= n
	copy(c.TimesMicros[c.free:], p.times[len(p.times)-n:])
	for i, column := range p.columns {
		dst := c.Columns[i][c.free : c.free+n]
		if column != nil {
			copy(dst, column[len(p.times)-n:])
			continue
		}
		for row := range dst {
			dst[row] = math.NaN()
		}
	}
	return nil
}

// addWhole decodes a whole file into place; false if it must be read otherwise.
func (c *columns) addWhole(d *day) (done bool, err error) {
	file, err := c.view.openRaw(d)
	if file == nil || err != nil {
		return false, err
	}
	defer file.Close()
	if file.version.rows > int64(c.free) {
		return false, nil // made anew meanwhile, with more rows
	}
	places := placesOf(c.Sensors, file.Sensors())
	at := c.free - int(file.version.rows)
	for g := range file.Groups() {
		n := file.Rows(g)
		if at+n > c.free {
			return false, nil // the slow way finds out what is wrong
		}
		if err := file.Times(g, c.TimesMicros[at:at+n]); err != nil {
			return false, nil
		}
		for i, place := range places {
			dst := c.Columns[i][at : at+n]
			if place < 0 {
				for row := range dst {
					dst[row] = math.NaN()
				}
			} else if err := file.Column(g, place, 0, dst); err != nil {
				return false, nil
			}
		}
		at += n
	}
	if at != c.free {
		return false, nil
	}
	c.free -= int(file.version.rows)
	return true, nil
}
