package readings

import (
	"errors"
	"fmt"
	"slices"

	"fettle"
	"fettle/internal/db"
)

// A touchedDay is a day while an Append stages rows of it.
type touchedDay struct {
	at    int64
	open  openDay
	file  *day    // its catalogue record, if it has a raw file
	times []int64 // of the file; nil until they are needed
	isNew bool    // there were no rows of it in the store
	dirty bool    // its record must be written
}

func (t *touchedDay) newRow() {
	if t.file != nil {
		t.open.over++
		t.dirty = true
	}
}

// enterDay begins with the rows of a day, which come one day after the other.
func (s *Store) enterDay(batch *db.Batch, c *change, at int64) error {
	if c.today != nil && c.today.at == at {
		return nil
	}
	c.leaveDay(batch)
	t := &touchedDay{at: at, isNew: true}
	if open := c.machine.open[at]; open != nil {
		t.open, t.isNew = *open, false
	}
	t.open.touched++
	if at < c.machine.sealedTo.Load() {
		d, err := readDay(s.db, c.machine.name, at)
		if err != nil {
			return err
		}
		if d != nil && d.has(Raw) {
			t.file = d
		}
	}
	c.today = t
	return nil
}

// leaveDay notes that there are rows of the day.
func (c *change) leaveDay(batch *db.Batch) {
	t := c.today
	if t == nil {
		return
	}
	if t.isNew || t.dirty {
		batch.Set(openDayKey(c.machine.name, t.at), appendOpenDay(nil, t.open))
	}
	if c.days == nil {
		c.days = map[int64]*openDay{}
	}
	c.days[t.at] = &t.open
	c.today = nil
}

// inFile tells whether a row's time is in the file of its day.
func (s *Store) inFile(batch *db.Batch, c *change, micros int64) (bool, error) {
	t := c.today
	if t.file == nil || t.file.next == nil && (micros < t.file.first || micros > t.file.last) {
		return false, nil
	}
	if t.times == nil {
		times, err := s.timesOf(c.machine, t.file)
		if errors.Is(err, errBroken) {
			// Nothing of the day is staged yet: rows that are merged need the
			// times, and rows that are not found in the store need them too.
			return false, s.dropFile(batch, c, t, err)
		}
		if err != nil {
			return false, err
		}
		t.times = times
	}
	_, found := slices.BinarySearch(t.times, micros)
	return found, nil
}

// refuseOld refuses rows of a time that is not kept any more.
func (a *Appended) refuseOld(rows []fettle.Reading, which []int, machine string, from int64) {
	for _, i := range which {
		rows[i].Values = nil
		a.Refused = append(a.Refused, Refusal{i, fettle.BadField("older than what is kept", "timestamp",
			rows[i].Time.Format("2006-01-02T15:04:05.999999Z07:00"),
			fmt.Sprintf("%s or later: older readings of machine %q are not kept any more", dayName(from), fettle.Shorten(machine)))})
	}
}

// cachedDays is of how many files the times are remembered: senders that
// deliver a day again do so in rows of one day after the other.
const cachedDays = 4

// A timesCache remembers the times in the files that late rows were looked up in.
type timesCache struct {
	days []cachedTimes // the last used first
}

type cachedTimes struct {
	machine string
	at      int64
	sum     sum
	times   []int64
}

// timesOf reads the times of a raw file. errBroken: it is not as it should be.
func (s *Store) timesOf(m *machine, d *day) ([]int64, error) {
	cache := s.times.days
	i := slices.IndexFunc(cache, func(c cachedTimes) bool {
		return c.machine == m.name && c.at == d.at && (c.sum == d.files[Raw] || d.next != nil && c.sum == d.next.files[Raw])
	})
	if i >= 0 {
		hit := cache[i]
		copy(cache[1:], cache[:i])
		cache[0] = hit
		return hit.times, nil
	}
	file, err := s.openFile(m.name, d, Raw)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	times := make([]int64, file.version.rows)
	at := 0
	for g := range file.Groups() {
		n := file.Rows(g)
		if n < 0 || at+n > len(times) {
			return nil, fmt.Errorf("%w: more than %d rows", errBroken, len(times))
		}
		if err := file.Times(g, times[at:at+n]); err != nil {
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		at += n
	}
	if at != len(times) || !slices.IsSorted(times) {
		return nil, fmt.Errorf("%w: %d rows, expected %d, ascending", errBroken, at, len(times))
	}
	s.times.days = slices.Insert(cache[:min(len(cache), cachedDays-1)], 0, cachedTimes{m.name, d.at, file.version.files[Raw], times})
	return times, nil
}
