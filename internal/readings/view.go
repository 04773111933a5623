package readings

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"fettle/internal/db"
)

// A view is one machine as it stood at one moment: rows in the store, closed
// days in their files, and late rows that lie over these.
type view struct {
	store *Store
	*db.Snapshot
	machine *machine
	words   *words // at least as new as any row of the snapshot
	tags    tagBook
	tagless bool // tags are not wanted
}

// look takes a view of a machine. NotFound: it has no readings.
func (s *Store) look(name string) (*view, error) {
	m, found := s.machine(name)
	if !found {
		return nil, unknown(name)
	}
	return s.lookAt(m)
}

func (s *Store) lookAt(m *machine) (*view, error) {
	snapshot, err := s.db.Snapshot()
	if err != nil {
		return nil, err
	}
	return &view{store: s, Snapshot: snapshot, machine: m, words: m.words.Load()}, nil
}

// The bounds of time, far enough from the ends of int64 to calculate with.
const (
	earliest int64 = math.MinInt64 / 4
	latest   int64 = math.MaxInt64 / 4
)

// eachPiece yields the rows with from <= time < to as pieces, ascending. A raw
// file that turns out to be damaged is set aside, and the rest goes on. An error
// of yield, Stop among them, ends it and is returned.
func (v *view) eachPiece(from, to int64, sensors []string, yield func(*piece) error) error {
	closed, err := v.closedDays(from, to)
	if err != nil {
		return err
	}
	for _, d := range closed {
		if err := v.rowPieces(from, min(d.at, to), sensors, yield); err != nil {
			return err
		}
		if err := v.dayPieces(d, max(from, d.at), min(d.end(), to), sensors, yield); err != nil {
			return err
		}
		from = max(from, d.end())
	}
	return v.rowPieces(from, to, sensors, yield)
}

// closedDays lists the days with a raw file that have a part in [from, to).
func (v *view) closedDays(from, to int64) (closed []*day, err error) {
	if from >= v.machine.sealedTo.Load() {
		return nil, nil
	}
	err = eachDay(v, v.machine.name, dayOf(max(from, earliest)), to, func(d *day) error {
		if d.has(Raw) {
			closed = append(closed, d)
		}
		return nil
	})
	return closed, err
}

// rowPieces yields what is in the store.
func (v *view) rowPieces(from, to int64, sensors []string, yield func(*piece) error) error {
	if from >= to {
		return nil
	}
	var ended error
	p := v.newPiece(len(sensors), to)
	places := placesOf(v.words.sensors, sensors)
	prefix := rowsOf(nil, v.machine.name)
	err := v.Ascend(appendMicros(slices.Clone(prefix), from), appendMicros(prefix, to), func(key, value []byte) error {
		if !p.fits() {
			if ended = yield(p.whole()); ended != nil {
				return Stop
			}
			p = v.newPiece(len(sensors), to)
		}
		return v.addRow(p, key, value, places)
	})
	if err == nil && ended == nil && len(p.times) > 0 {
		ended = yield(p.whole())
	}
	if err != nil {
		return err
	}
	return ended
}

// addRow decodes a record to a new row of a piece.
func (v *view) addRow(p *piece, key, value []byte, places []int) error {
	micros, err := microsOf(key)
	if err != nil {
		return damage(v.machine.name, "row", err)
	}
	d := decode(value)
	tagSet := d.below(len(v.words.tagSets) + 1)
	p.grow(micros, v.tags.ofSet(v.words, tagSet))
	for range d.count(9) {
		id, value := d.below(len(places)), d.float()
		if d.damaged {
			break
		}
		if i := places[id]; i >= 0 {
			p.set(i, value)
		}
	}
	if d.damaged {
		return damage(v.machine.name, "row at "+fromMicros(micros).Format(time.RFC3339Nano), errDamaged)
	}
	return nil
}

// dayPieces yields a part of a closed day: its file, and what lies over it.
func (v *view) dayPieces(d *day, from, to int64, sensors []string, yield func(*piece) error) error {
	file, err := v.openRaw(d)
	if err != nil {
		return err
	}
	if file == nil {
		return v.rowPieces(from, to, sensors, yield)
	}
	defer file.Close()
	_, dirty, err := v.Get(openDayKey(v.machine.name, d.at))
	if err != nil {
		return err
	}
	places := placesOf(sensors, file.Sensors())
	for g := range file.Groups() {
		end := to
		p, err := v.readGroup(file, g, places, func(times []int64) (i, j int) {
			if g < file.Groups()-1 {
				end = min(to, times[len(times)-1]+1)
			}
			return between(times, from, end)
		})
		if errors.Is(err, errBroken) {
			v.store.setAside(v.machine, d, Raw, err)
			return v.rowPieces(from, to, sensors, yield)
		}
		if err != nil {
			return err
		}
		if dirty && from < end {
			if p, err = v.overlay(p, from, end, sensors); err != nil {
				return err
			}
		}
		if len(p.times) > 0 {
			if err := yield(p); err != nil {
				return err
			}
		}
		from = max(from, end)
	}
	return nil
}

// dayBackwards yields the newest rows of a closed day before a time, as
// dayPieces does, but the newest piece first, and only until nothing is missing
// any more. Most of a day is not even decoded for the few rows of its end.
func (v *view) dayBackwards(d *day, to int64, sensors []string, missing func() int, yield func(*piece) error) error {
	file, err := v.openRaw(d)
	if err != nil {
		return err
	}
	if file == nil {
		return v.rowsBackwards(d.at, to, sensors, yield)
	}
	defer file.Close()
	_, dirty, err := v.Get(openDayKey(v.machine.name, d.at))
	if err != nil {
		return err
	}
	places := placesOf(sensors, file.Sensors())
	for g := file.Groups() - 1; g >= 0 && missing() > 0; g-- {
		begin, from := d.at, d.at // of the group's stretch, and of what is taken of it
		p, err := v.readGroup(file, g, places, func(times []int64) (i, j int) {
			if g > 0 {
				begin = times[0]
			}
			i, j = between(times, begin, to)
			if from = begin; j-i > missing() {
				i = j - missing()
				from = times[i]
			}
			return i, j
		})
		if errors.Is(err, errBroken) {
			v.store.setAside(v.machine, d, Raw, err)
			return v.rowsBackwards(d.at, to, sensors, yield)
		}
		if err != nil {
			return err
		}
		if dirty && from < to {
			if p, err = v.overlay(p, from, to, sensors); err != nil {
				return err
			}
		}
		if len(p.times) > 0 {
			if err := yield(p); err != nil {
				return err
			}
		}
		to = min(to, begin)
	}
	return nil
}

// rowsBackwards is rowPieces with the newest piece first.
func (v *view) rowsBackwards(from, to int64, sensors []string, yield func(*piece) error) error {
	var pieces []*piece
	err := v.rowPieces(from, to, sensors, func(p *piece) error {
		pieces = append(pieces, p)
		return nil
	})
	for i := len(pieces) - 1; i >= 0 && err == nil; i-- {
		err = yield(pieces[i])
	}
	return err
}

// overlay lays the store's rows of a stretch over those of a file.
func (v *view) overlay(p *piece, from, to int64, sensors []string) (*piece, error) {
	err := v.rowPieces(from, to, sensors, func(newer *piece) error {
		p = laidOver(p, newer)
		return nil
	})
	return p, err
}

// openRaw opens the raw file of a day. Nil: there is none any more, because it
// was damaged and set aside, or because its time to be kept was over.
func (v *view) openRaw(d *day) (*dayFile, error) { return v.open(d, Raw) }

func (v *view) open(d *day, k Kind) (*dayFile, error) {
	for {
		file, err := v.store.openFile(v.machine.name, d, k)
		if !errors.Is(err, errBroken) {
			return file, err
		}
		// The snapshot's file may have been replaced or removed since.
		now, readErr := readDay(v.store.db, v.machine.name, d.at)
		if readErr != nil {
			return nil, readErr
		}
		if now == nil || !now.has(k) {
			return nil, nil
		}
		if now.same(d) {
			v.store.setAside(v.machine, d, k, err)
			return nil, nil
		}
		d = now
	}
}

// readGroup decodes those rows of a row group of a raw file that pick takes by
// their times; all of them if it is nil. places are where in the file the sensors
// are.
func (v *view) readGroup(file *dayFile, group int, places []int, pick func(times []int64) (i, j int)) (*piece, error) {
	n := file.Rows(group)
	if n < 1 || int64(n) > file.version.rows {
		return nil, fmt.Errorf("%w: %d rows", errBroken, n)
	}
	p := &piece{times: make([]int64, n), columns: make([][]float64, len(places))}
	if err := file.Times(group, p.times); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	i, j := 0, n
	if pick != nil {
		i, j = pick(p.times)
	}
	if p.times = p.times[i:j]; i == j {
		return p, nil
	}
	for n, place := range places {
		if place < 0 {
			continue
		}
		p.columns[n] = make([]float64, j-i)
		if err := file.Column(group, place, i, p.columns[n]); err != nil {
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	if v.tagless {
		return p, nil
	}
	texts, err := file.Tags(group, i, j)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if texts != nil {
		p.tags = make([]int32, j-i)
		for row, text := range texts {
			if p.tags[row], err = v.tags.ofText(text); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// count counts the rows with from <= time < to, up to a limit.
func (v *view) count(from, to int64, limit int) (rows int, err error) {
	closed, err := v.closedDays(from, to)
	if err != nil {
		return 0, err
	}
	add := func(p *piece) error {
		if rows += len(p.times); rows > limit {
			return Stop
		}
		return nil
	}
	part := func(err error) error {
		if errors.Is(err, Stop) {
			return nil
		}
		return err
	}
	for _, d := range closed {
		if err = part(v.rowPieces(from, min(d.at, to), nil, add)); err != nil || rows > limit {
			return rows, err
		}
		_, dirty, err := v.Get(openDayKey(v.machine.name, d.at))
		if err != nil {
			return 0, err
		}
		if !dirty && from <= d.at && d.end() <= to {
			rows += int(d.rows)
		} else if err := part(v.dayPieces(d, max(from, d.at), min(d.end(), to), nil, add)); err != nil {
			return 0, err
		}
		if rows > limit {
			return rows, nil
		}
		from = max(from, d.end())
	}
	return rows, part(v.rowPieces(from, to, nil, add))
}
