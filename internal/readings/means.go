package readings

import (
	"fmt"
	"time"

	"fettle"
)

// MaxMeans bounds what Means answers at once, in cells times sensors: 8 MB of
// them, beside the rows of one open day.
const MaxMeans = 1 << 18

// Means returns what sensors said on average in each cell of time, as a window
// whose rows are the cells that hold a reading, at the time at which the cell
// begins. Cells are whole: they begin at multiples of their width (counted
// from midnight UTC, so that a day has a whole number of them), none before
// from, and none ends after to. nil sensors stand for all of the machine's.
//
// Cells of minutes and hours come from the rollups of closed days, which are not
// read again reading by reading. NotFound: no such machine.
func (s *Store) Means(machine string, sensors []string, from, to time.Time, width time.Duration) (fettle.Window, error) {
	cell := width.Microseconds()
	if cell < 1 || dayMicros%cell != 0 {
		return fettle.Window{}, fettle.BadField("wrong width", "width", width.String(), "a part of a day, such as 1m")
	}
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
	a := &answer{view: v, sensors: sensors, series: newSeries(cell, len(sensors)), source: sourceOf(cell)}
	a.from, a.to = roundUp(microsFrom(from), cell), floorTo(to.UnixMicro(), cell)
	a.to = max(a.from, min(a.to, floorTo(state.last, cell)+cell))
	if cells := (a.to - a.from) / cell * int64(max(1, len(sensors))); cells > MaxMeans {
		return fettle.Window{}, fettle.BadField("too many cells", "cells", fmt.Sprint(cells), fmt.Sprintf("at most %d, cells times sensors", MaxMeans))
	}
	err = eachDay(v, machine, dayOf(max(a.from, earliest)), a.to, func(d *day) error {
		a.closed = append(a.closed, d)
		return nil
	})
	if err == nil {
		err = a.gather()
	}
	if err != nil {
		return fettle.Window{}, err
	}
	return a.means(), nil
}

// sourceOf is what cells of a width are made from.
func sourceOf(cell int64) Kind {
	switch {
	case cell%hourMicros == 0:
		return Hour
	case cell%minuteMicros == 0:
		return Minute
	default:
		return Raw
	}
}

// means is the cells as a window.
func (a *answer) means() fettle.Window {
	p := a.points()
	w := fettle.Window{Machine: p.Machine, Sensors: p.Sensors, TimesMicros: a.series.times, Columns: p.Mean}
	if w.TimesMicros == nil {
		w.TimesMicros = []int64{}
	}
	return w
}
