package readings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"fettle/internal/days"
	"fettle/internal/db"
)

// Sealed tells what became of a day that was to be sealed.
type Sealed struct {
	Done  bool  // false: late rows came meanwhile, or there was nothing to do
	Anew  bool  // the day had a file before
	Rows  int64 // in the file
	Bytes int64 // of all its files

	worked time.Duration // that a core was taken for; the rest was waiting for the disk
}

// Seal makes the files of a machine's day from its rows, whole or not at all,
// and takes the rows out of the store. It makes them anew if there are rows
// that lie over them. The day is not to get many more rows: its watermark has
// left it.
//
// The order is such that a crash at any moment loses nothing and leaves nothing
// to be repaired but by settle:
//
//	drafts written and synced      a crash leaves drafts, which are overwritten
//	first time: files renamed      files that the catalogue does not list yet
//	anew: catalogue lists both     either file is right
//	anew: files replaced
//	catalogue lists the new ones,  in one synced commit
//	  rows are gone
func (s *Store) Seal(machine string, when time.Time) (Sealed, error) {
	m, found := s.machine(machine)
	if !found {
		return Sealed{}, unknown(machine)
	}
	return s.seal(m, dayOf(when.UnixMicro()))
}

func (s *Store) seal(m *machine, at int64) (Sealed, error) {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	touched, found := s.touchedOf(m, at)
	if !found {
		return Sealed{}, nil
	}
	next, worked, err := s.drafts(m, at)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal %s of machine %q: %w", dayName(at), m.name, err)
	}
	s.filing.Lock()
	defer s.filing.Unlock()
	done, err := s.install(m, at, touched, next)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal %s of machine %q: %w", dayName(at), m.name, err)
	}
	done.worked = worked
	return done, nil
}

// touchedOf tells how often a day with rows in the store was touched.
func (s *Store) touchedOf(m *machine, at int64) (touched uint64, found bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	open := m.open[at]
	if open == nil {
		return 0, false
	}
	return open.touched, true
}

// drafts writes the files of a day under names that nobody reads, and tells for
// how long that took a core.
func (s *Store) drafts(m *machine, at int64) (next *version, worked time.Duration, err error) {
	v, err := s.lookAt(m)
	if err != nil {
		return nil, 0, err
	}
	defer v.Close()
	for k := range Kind(kinds) {
		if err := s.files.MakeFolder(s.folderOf(k, m.name)); err != nil {
			return nil, 0, err
		}
	}
	w := &dayWriter{view: v, at: at, sensors: v.sensors()}
	for k := range w.files {
		if k != int(Raw) {
			w.series[k] = newSeries(Kind(k).width(), len(w.sensors))
		}
	}
	var names []string
	for k := range Kind(kinds) {
		names = append(names, s.draftOf(k, m.name, at))
	}
	err = s.files.Draft(names, func(outs []io.Writer) error {
		begin := time.Now()
		defer func() { worked = time.Since(begin) }()
		return w.fill(outs)
	})
	return &w.version, worked, err
}

// A dayWriter writes the files of a day in one pass over its rows.
type dayWriter struct {
	view    *view
	at      int64
	sensors []string
	version version
	files   [kinds]*tableFile
	series  [kinds]*series // of the rollups, what is not written yet
	waiting *piece         // rows that are not written yet: the file's columns depend on whether more follow
}

// fill writes the files, by kind.
func (w *dayWriter) fill(outs []io.Writer) error {
	var meters [kinds]meter
	for k, out := range outs {
		meters[k].out = out
		w.files[k] = &tableFile{press: w.view.store.press, out: &meters[k]}
	}
	if err := w.write(); err != nil {
		return err
	}
	for k, file := range w.files {
		if err := file.close(); err != nil {
			return err
		}
		w.version.files[k] = meters[k].sum
	}
	return nil
}

// write passes all rows of the day on to the files.
func (w *dayWriter) write() error {
	err := w.view.eachPiece(w.at, w.at+dayMicros, w.sensors, func(p *piece) error {
		if w.waiting != nil {
			if err := w.rows(w.waiting, true); err != nil {
				return err
			}
		}
		w.waiting = p
		return nil
	})
	if err != nil {
		return err
	}
	if w.waiting == nil {
		return fmt.Errorf("no rows left")
	}
	if err := w.rows(w.waiting, false); err != nil {
		return err
	}
	w.series[Hour].addSeries(w.series[Minute])
	for k := Minute; k <= Hour; k++ {
		more := w.files[k].begun()
		if err := w.files[k].write(w.series[k].table(w.sensors, more), more); err != nil {
			return err
		}
	}
	return nil
}

// rows writes a piece, and the buckets of the rollups that are finished by it.
func (w *dayWriter) rows(p *piece, more bool) error {
	more = more || w.files[Raw].begun()
	if err := w.files[Raw].write(w.view.table(p, w.sensors, more), more); err != nil {
		return err
	}
	if w.version.rows == 0 {
		w.version.first = p.times[0]
	}
	w.version.last = p.times[len(p.times)-1]
	w.version.rows += int64(len(p.times))
	w.series[Minute].addPiece(p)
	if !w.series[Minute].full(w.view.store.mostNumbers) {
		return nil
	}
	minutes := w.series[Minute].finished()
	w.series[Hour].addSeries(minutes)
	return w.files[Minute].write(minutes.table(w.sensors, true), true)
}

// table is a piece as the columns of a file; sensors that were silent
// throughout are left out unless all is set.
func (v *view) table(p *piece, sensors []string, all bool) days.Table {
	t := days.Table{Times: p.times}
	for i, column := range p.columns {
		if column == nil && all {
			column = silence(len(p.times))
		}
		if column != nil {
			t.Sensors, t.Columns = append(t.Sensors, sensors[i]), append(t.Columns, column)
		}
	}
	if p.tags != nil {
		t.Tags = make([]string, len(p.times))
		for row, tag := range p.tags {
			if tag != 0 {
				t.Tags[row] = v.tags.texts[tag-1]
			}
		}
	}
	return t
}

// A tableFile is a Parquet file that begins with its first table.
type tableFile struct {
	press  *days.Press
	out    io.Writer
	writer *days.Writer
}

func (f *tableFile) begun() bool { return f.writer != nil }

func (f *tableFile) write(t days.Table, more bool) (err error) {
	if f.writer == nil {
		if f.writer, err = f.press.NewWriter(f.out, t, more); err != nil {
			return err
		}
	}
	return f.writer.Write(t)
}

func (f *tableFile) close() error { return f.writer.Close() }

// install puts drafts in the place of a day's rows, if no late row came while
// they were written. Rows come in while the disk renames.
func (s *Store) install(m *machine, at int64, touched uint64, next *version) (Sealed, error) {
	anew, due, err := s.announce(m, at, touched, next)
	if err != nil || !due {
		return Sealed{}, err
	}
	renamed := s.rename(m, at)
	s.writing.Lock()
	defer s.writing.Unlock()
	d, err := readDay(s.db, m.name, at)
	if err != nil {
		return Sealed{}, errors.Join(renamed, err)
	}
	listed := d != nil && d.next != nil && *d.next == *next
	switch {
	case listed != anew: // a file was found to be damaged meanwhile, and set aside
		return Sealed{}, renamed
	case renamed == nil && m.open[at].touched == touched:
		return s.close(m, at, d, next)
	case listed:
		return Sealed{}, errors.Join(renamed, s.settle(m, d))
	default:
		return Sealed{}, renamed
	}
}

// announce lists the files that are about to replace a day's. Where there are
// none yet it need not: nobody looks for files before the catalogue lists them.
func (s *Store) announce(m *machine, at int64, touched uint64, next *version) (anew, due bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if open := m.open[at]; open == nil || open.touched != touched {
		return false, false, nil
	}
	d, err := readDay(s.db, m.name, at)
	if d == nil || err != nil {
		return false, err == nil, err
	}
	if d.next != nil { // left by a disk that failed in between
		if err := s.settle(m, d); err != nil {
			return true, false, err
		}
	}
	d.next = next
	batch := s.db.NewBatch()
	batch.Set(dayKey(m.name, at), appendDay(nil, d))
	return true, true, s.db.Commit(batch, db.Synced)
}

func (s *Store) rename(m *machine, at int64) error {
	var renames []db.Rename
	for k := range Kind(kinds) {
		renames = append(renames, db.Rename{From: s.draftOf(k, m.name, at), To: s.fileOf(k, m.name, at)})
	}
	return s.files.Move(renames...)
}

// close lists the new files in the catalogue and takes the day's rows out of
// the store.
func (s *Store) close(m *machine, at int64, before *day, next *version) (Sealed, error) {
	done := Sealed{Done: true, Anew: before != nil, Rows: next.rows}
	batch := s.db.NewBatch()
	c := s.newChange(m.name)
	c.other = true
	for k, f := range next.files {
		c.state.bytes[k] += f.size
		done.Bytes += f.size
		if before != nil {
			c.state.bytes[k] -= before.files[k].size
		}
	}
	d := &day{at: at, version: *next, damaged: before != nil && before.damaged}
	batch.Set(dayKey(m.name, at), appendDay(nil, d))
	if err := s.deleteRows(batch, m.name, d); err != nil {
		return Sealed{}, err
	}
	batch.Delete(openDayKey(m.name, at))
	c.days = map[int64]*openDay{at: nil}
	c.save(batch)
	m.sealedTo.Store(max(m.sealedTo.Load(), d.end()))
	return done, s.commit(batch, []*change{c})
}

// fewRows are deleted one by one: reads in all of the store step over deleted
// ranges, which are for many rows.
const fewRows = 256

// deleteRows takes the rows of a day out of the store.
func (s *Store) deleteRows(batch *db.Batch, machine string, d *day) error {
	prefix := rowsOf(nil, machine)
	from, to := appendMicros(slices.Clone(prefix), d.at), appendMicros(prefix, d.end())
	var keys [][]byte
	err := s.db.Ascend(from, to, func(key, _ []byte) error {
		if keys = append(keys, bytes.Clone(key)); len(keys) > fewRows {
			return Stop
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(keys) > fewRows {
		batch.DeleteRange(from, to)
		return nil
	}
	for _, key := range keys {
		batch.Delete(key)
	}
	return nil
}
