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
	p := newPiece(len(sensors), to)
	places := placesOf(v.words.sensors, sensors)
	prefix := rowsOf(nil, v.machine.name)
	err := v.Ascend(appendMicros(slices.Clone(prefix), from), appendMicros(prefix, to), func(key, value []byte) error {
		if !p.fits() {
			if ended = yield(p.whole()); ended != nil {
				return Stop
			}
			p = newPiece(len(sensors), to)
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
		p, err := v.readGroup(file, g, places)
		if err == nil && len(p.times) == 0 {
			err = errBroken
		}
		if errors.Is(err, errBroken) {
			v.store.setAside(v.machine, d, Raw, err)
			return v.rowPieces(from, to, sensors, yield)
		}
		if err != nil {
			return err
		}
		end := to
		if g < file.Groups()-1 {
			end = min(to, p.times[len(p.times)-1]+1)
		}
		i, j := between(p.times, from, end)
		p = p.cut(i, j)
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

// readGroup decodes a row group of a raw file. places are where in the file the
// sensors are.
func (v *view) readGroup(file *dayFile, group int, places []int) (*piece, error) {
	n := file.Rows(group)
	if n < 0 || int64(n) > file.version.rows {
		return nil, fmt.Errorf("%w: %d rows", errBroken, n)
	}
	p := &piece{times: make([]int64, n), columns: make([][]float64, len(places))}
	err := file.Times(group, p.times)
	for i, place := range places {
		if err != nil {
			break
		}
		if place >= 0 {
			p.columns[i] = make([]float64, n)
			err = file.Column(group, place, p.columns[i])
		}
	}
	var texts []string
	if err == nil && !v.tagless {
		texts, err = file.Tags(group)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if texts != nil {
		p.tags = make([]int32, n)
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
