package readings

import (
	"context"
	"fmt"
	"slices"

	"fettle"
)

// A Report is what Check found.
type Report struct {
	Machines int      `json:"machines"`
	Rows     int64    `json:"rows"`
	Days     int      `json:"days" doc:"Closed days"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes" doc:"Of the files"`
	Lost     int64    `json:"lost" doc:"Days whose file of readings was damaged and set aside"`
	Faults   []string `json:"faults" doc:"What is not as it should be; the first 100"`
}

// mostFaults bounds a report; where there are so many, more do not help.
const mostFaults = 100

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) < mostFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// Check reads everything and compares it with what is known of it: each file
// with its size and checksum in the catalogue, rows with the catalogue's and
// the machines' counts and times, rollups with the rows that they were made
// from. It changes nothing, and can run beside
// everything else. An error says that it could not be done; what it finds is in
// the report.
func (s *Store) Check(ctx context.Context) (Report, error) {
	r := Report{Faults: []string{}}
	if err := s.db.Damage(); err != nil {
		r.fault("%v", err)
	}
	for _, name := range s.names() {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		m, _ := s.machine(name)
		err := s.checkMachine(m, &r)
		if fettle.KindOf(err) == fettle.Unavailable {
			return r, fmt.Errorf("check machine %q: %w", name, err)
		}
		if err != nil {
			r.fault("machine %s: %v", name, err)
		}
	}
	return r, nil
}

// A checkup is the check of one machine.
type checkup struct {
	*view
	report *Report
	sealed map[int64]*day // closed days
	open   map[int64]openDay

	rows        int64
	first, last int64
	bytes       [kinds]int64
	lost        int64
}

func (s *Store) checkMachine(m *machine, r *Report) error {
	v, err := s.lookAt(m)
	if err != nil {
		return err
	}
	defer v.Close()
	c := &checkup{view: v, report: r, sealed: map[int64]*day{}, open: map[int64]openDay{}, first: latest, last: earliest}
	record, found, err := v.Get(keyOf(nil, infoPrefix, m.name))
	if err != nil {
		return err
	}
	info, err := decodeInfo(record)
	if !found || err != nil {
		c.fault("info: %v", errDamaged)
		return nil
	}
	r.Machines++
	if err := c.catalogue(); err != nil {
		return err
	}
	for at := range c.sealed {
		if err := c.day(c.sealed[at]); err != nil {
			return err
		}
	}
	if err := c.stored(); err != nil {
		return err
	}
	c.compare(info)
	r.Rows += c.rows
	r.Lost += c.lost
	for _, b := range c.bytes {
		r.Bytes += b
	}
	return nil
}

func (c *checkup) fault(format string, args ...any) {
	c.report.fault("machine "+c.machine.name+": "+format, args...)
}

// catalogue reads which days are closed and which have rows in the store.
func (c *checkup) catalogue() error {
	err := eachDay(c, c.machine.name, earliest, latest, func(d *day) error {
		c.sealed[d.at] = d
		if d.at != dayOf(d.at) {
			c.fault("catalogue has a day that begins at %s", fromMicros(d.at))
		}
		return nil
	})
	if err != nil {
		return err
	}
	prefix := keyOf(nil, openPrefix, c.machine.name)
	return c.Ascend(prefix, appendMicros(slices.Clone(prefix), latest), func(key, value []byte) error {
		at, err := microsOf(key)
		if err == nil {
			c.open[at], err = decodeOpenDay(value)
		}
		return err
	})
}

// day checks the files of a closed day.
func (c *checkup) day(d *day) error {
	c.report.Days++
	if d.damaged {
		c.lost++
	}
	var times []int64
	sensors := c.sensors()
	made := [kinds]*series{Minute: newSeries(minuteMicros, len(sensors)), Hour: newSeries(hourMicros, len(sensors))}
	for k := range Kind(kinds) {
		c.bytes[k] += d.files[k].size
		if !d.has(k) {
			continue
		}
		c.report.Files++
		file, err := c.store.openFile(c.machine.name, d, k)
		if err != nil {
			c.fault("%s of %s: %v", k, dayName(d.at), err)
			continue
		}
		if k == Raw {
			times, err = c.raw(d, file, sensors, made[Minute].addPiece)
			made[Hour].addSeries(made[Minute])
		} else if times != nil {
			err = c.rollups(d, file, k, sensors, made[k])
		}
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			c.fault("%s of %s: %v", k, dayName(d.at), err)
		}
	}
	return c.over(d, times)
}

// raw checks a file of readings against its record and returns its times.
func (c *checkup) raw(d *day, file *dayFile, sensors []string, each func(*piece)) (times []int64, err error) {
	places := placesOf(sensors, file.Sensors())
	for g := range file.Groups() {
		p, err := c.readGroup(file, g, places, nil)
		if err != nil {
			return nil, err
		}
		times = append(times, p.times...)
		each(p)
	}
	n := int64(len(times))
	want := *file.version
	if n == 0 || n != want.rows || times[0] != want.first || times[n-1] != want.last {
		c.fault("raw of %s: %d rows, the catalogue says %d from %s to %s", dayName(d.at), n, want.rows, fromMicros(want.first), fromMicros(want.last))
		return times, nil
	}
	if times[0] < d.at || times[n-1] >= d.end() || !slices.IsSorted(times) || len(slices.Compact(slices.Clone(times))) != len(times) {
		c.fault("raw of %s: times are not of the day, or not ascending", dayName(d.at))
	}
	c.rows += d.rows // while files are replaced those of the next version are noted as over
	c.first, c.last = min(c.first, times[0]), max(c.last, times[n-1])
	return times, nil
}

// rollups compares a rollup's file with what the rows say.
func (c *checkup) rollups(d *day, file *dayFile, k Kind, sensors []string, made *series) error {
	if d.next != nil {
		return nil // its rows may be in the other version; it is made anew
	}
	got, err := c.rollup(file, k, sensors)
	if err != nil {
		return err
	}
	if !slices.Equal(got.times, made.times) {
		c.fault("%s of %s: %d buckets, its rows make %d", k, dayName(d.at), len(got.times), len(made.times))
		return nil
	}
	for i, sensor := range sensors {
		for b := range made.times {
			if g, w := got.stats[i][b], made.stats[i][b]; w.count != g.count || w.count > 0 && g != w {
				c.fault("%s of %s: sensor %s at %s is %+v, its rows make %+v", k, dayName(d.at), sensor, fromMicros(made.times[b]), g, w)
				return nil
			}
		}
	}
	return nil
}

// over checks what lies over a day's file: how many of its rows are new.
func (c *checkup) over(d *day, times []int64) error {
	open, found := c.open[d.at]
	if !d.has(Raw) || !found || times == nil {
		return nil
	}
	var over int64
	err := c.rowPieces(d.at, d.end(), nil, func(p *piece) error {
		for _, micros := range p.times {
			if _, inFile := slices.BinarySearch(times, micros); !inFile {
				over++
			}
		}
		return nil
	})
	if err == nil && over != open.over && d.next == nil {
		c.fault("%s: %d late rows are new, %d are noted", dayName(d.at), over, open.over)
	}
	return err
}

// stored reads all rows that are in the store.
func (c *checkup) stored() error {
	missing := map[int64]bool{}
	return c.rowPieces(earliest, latest, c.sensors(), func(p *piece) error {
		for _, micros := range p.times {
			at := dayOf(micros)
			if _, noted := c.open[at]; !noted && !missing[at] {
				missing[at] = true
				c.fault("%s has rows in the store that are not noted", dayName(at))
			}
			if d := c.sealed[at]; d == nil || !d.has(Raw) {
				c.rows++
			}
			c.first, c.last = min(c.first, micros), max(c.last, micros)
		}
		return nil
	})
}

// compare holds what was found against what is known.
func (c *checkup) compare(info *state) {
	for at, d := range c.sealed {
		if d.has(Raw) {
			c.rows += c.open[at].over
		}
	}
	if c.rows != info.rows {
		c.fault("%d rows, %d are noted", c.rows, info.rows)
	}
	if info.rows > 0 && (c.first != info.first || c.last != info.last) {
		c.fault("rows from %s to %s, noted are %s to %s", fromMicros(c.first), fromMicros(c.last), fromMicros(info.first), fromMicros(info.last))
	}
	if c.bytes != info.bytes {
		c.fault("files of %v bytes, noted are %v", c.bytes, info.bytes)
	}
	if c.lost != info.lost {
		c.fault("%d days are lost, %d are noted", c.lost, info.lost)
	}
}
