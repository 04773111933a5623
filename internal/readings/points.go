package readings

import (
	"errors"
	"math"
	"strconv"
	"time"

	"fettle"
)

// Points is what sensors did over a stretch of time, in no more points than
// asked for. A point is a reading, or what the sensor did in a bucket of Step.
type Points struct {
	Machine    string
	Resolution Kind          // what the points were made from: readings, or rollups
	Step       time.Duration // width of a bucket; 0: each point is a reading as it is
	Sensors    []string
	Times      []time.Time // begin of the bucket, or the time of the reading; ascending
	Min        [][]float64 // (sensors, points); NaN where the sensor was silent
	Max        [][]float64
	Mean       [][]float64
}

// MaxPoints bounds what Points may be asked for.
const MaxPoints = 10_000

// Points answers for a range of any length, from <= time < to; a zero from or
// to is the machine's first or newest reading. It gives readings as they are if
// that are not more than most, else buckets of a round width: of seconds, made
// from readings; of minutes or hours, made from the rollups. Buckets are whole,
// so the first and the last may reach beyond the range by their source's width.
// Where readings are not kept any more, there are only rollups. nil sensors
// stand for all of the machine's. NotFound: no such machine.
func (s *Store) Points(machine string, sensors []string, from, to time.Time, most int) (Points, error) {
	if most < 1 || most > MaxPoints {
		return Points{}, fettle.BadField("wrong number of points", "points", strconv.Itoa(most), "1 to "+strconv.Itoa(MaxPoints))
	}
	v, err := s.look(machine)
	if err != nil {
		return Points{}, err
	}
	defer v.Close()
	v.tagless = true
	state := v.machine.state.Load()
	if sensors == nil {
		sensors = state.sensors
	}
	begin, end, err := v.bounds(state, from, to)
	if err != nil {
		return Points{}, err
	}
	a := &answer{view: v, sensors: sensors, from: begin, to: end, most: most}
	if err := a.choose(); err != nil {
		return Points{}, err
	}
	if a.series == nil {
		return a.readings()
	}
	if err := a.gather(); err != nil {
		return Points{}, err
	}
	return a.points(), nil
}

// bounds completes a range. Where there is nothing it is empty.
func (v *view) bounds(state *state, from, to time.Time) (begin, end int64, err error) {
	begin, end = microsFrom(from), microsFrom(to)
	if from.IsZero() {
		begin = state.first
		err := eachDay(v, v.machine.name, earliest, latest, func(d *day) error {
			begin = min(begin, max(d.at, d.first)) // rollups may reach further back
			return Stop
		})
		if err != nil {
			return 0, 0, err
		}
	}
	if to.IsZero() {
		end = state.last + 1
	}
	return begin, max(begin, end), nil
}

// An answer is Points in the making.
type answer struct {
	view     *view
	sensors  []string
	from, to int64
	most     int
	source   Kind
	series   *series // nil: readings as they are
	closed   []*day
}

// choose decides what the points are made from.
func (a *answer) choose() error {
	// Where data can be: a range of a thousand years has no more points.
	state := a.view.machine.state.Load()
	a.to = min(a.to, floorTo(state.last, hourMicros)+hourMicros)
	least := Raw
	err := eachDay(a.view, a.view.machine.name, dayOf(max(a.from, earliest)), a.to, func(d *day) error {
		a.closed = append(a.closed, d)
		switch {
		case d.has(Raw) || d.damaged && !d.has(Minute) && !d.has(Hour):
		case d.has(Minute):
			least = max(least, Minute)
		case d.has(Hour):
			least = Hour
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(a.closed) > 0 {
		a.from = max(a.from, min(a.closed[0].at, state.first))
	} else {
		a.from = max(a.from, state.first)
	}
	a.to = max(a.to, a.from)
	if least == Raw {
		rows, err := a.view.count(a.from, a.to, a.most)
		if err != nil || rows <= a.most {
			return err
		}
	}
	a.series = a.buckets(least)
	return nil
}

// buckets finds the narrowest buckets of a round width that are not too many,
// and sets what they are made from: least, or something coarser.
func (a *answer) buckets(least Kind) *series {
	const second = 1_000_000
	for {
		unit := int64(second)
		if a.source = least; least != Raw {
			unit = least.width()
		}
		begin := floorTo(a.from, unit)
		width := unit
		if a.most > 1 { // one less, since buckets at multiples of their width may stand out on both sides
			width = max(unit, roundUp((a.to-begin)/int64(a.most-1)+1, unit))
			begin = 0
		} else {
			width = max(unit, roundUp(a.to-begin, unit))
		}
		switch {
		case least < Hour && width >= hourMicros:
			least = Hour
		case least < Minute && width >= minuteMicros:
			least = Minute
		default:
			return &series{width: width, origin: begin, stats: make([][]stat, len(a.sensors))}
		}
	}
}

func roundUp(x, unit int64) int64 { return floorTo(x+unit-1, unit) }

// readings answers with the readings as they are.
func (a *answer) readings() (Points, error) {
	p := Points{Machine: a.view.machine.name, Sensors: a.sensors, Times: []time.Time{}, Mean: make([][]float64, len(a.sensors))}
	err := a.view.eachPiece(a.from, a.to, a.sensors, func(rows *piece) error {
		for _, micros := range rows.times {
			p.Times = append(p.Times, fromMicros(micros))
		}
		for i, column := range rows.columns {
			if column == nil {
				column = silence(len(rows.times))
			}
			p.Mean[i] = append(p.Mean[i], column...)
		}
		return nil
	})
	p.Min, p.Max = p.Mean, p.Mean
	return p, err
}

// gather fills the buckets.
func (a *answer) gather() error {
	from, to := a.from, a.to
	if a.source != Raw {
		from, to = floorTo(from, a.source.width()), roundUp(to, a.source.width())
	}
	add := func(p *piece) error {
		a.series.addPiece(p)
		return nil
	}
	for _, d := range a.closed {
		if err := a.view.rowPieces(from, min(d.at, to), a.sensors, add); err != nil {
			return err
		}
		if err := a.day(d, max(from, d.at), min(to, d.end()), add); err != nil {
			return err
		}
		from = max(from, d.end())
	}
	return a.view.rowPieces(from, to, a.sensors, add)
}

// day takes in a part of a closed day: from its rollup, or, where that does not
// tell all, from its rows.
func (a *answer) day(d *day, from, to int64, add func(*piece) error) error {
	if from >= to {
		return nil
	}
	v := a.view
	_, dirty, err := v.Get(openDayKey(v.machine.name, d.at))
	if err != nil {
		return err
	}
	if a.source == Raw || d.has(Raw) && dirty {
		return v.dayPieces(d, from, to, a.sensors, add)
	}
	k := a.source
	if !d.has(k) && d.has(Minute) {
		k = Minute
	}
	if d.has(k) {
		done, err := a.rollup(d, k, from, to)
		if err != nil {
			return err
		}
		if done && d.has(Raw) {
			return nil
		}
		if done { // rows that came after the raw file was lost
			return v.rowPieces(from, to, a.sensors, add)
		}
	}
	if d.has(Raw) {
		return v.dayPieces(d, from, to, a.sensors, add)
	}
	return v.rowPieces(from, to, a.sensors, add)
}

// rollup takes in a part of a rollup's file; false if it cannot be read.
func (a *answer) rollup(d *day, k Kind, from, to int64) (done bool, err error) {
	file, err := a.view.open(d, k)
	if file == nil || err != nil {
		return false, err
	}
	defer file.Close()
	s, err := a.view.rollup(file, k, a.sensors)
	if errors.Is(err, errBroken) {
		a.view.store.setAside(a.view.machine, d, k, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	i, j := between(s.times, from, to)
	for n := i; n < j; n++ {
		b := a.series.bucket(s.times[n])
		for sensor := range a.sensors {
			a.series.stats[sensor][b].join(s.stats[sensor][n])
		}
	}
	return true, nil
}

// points is what the buckets say.
func (a *answer) points() Points {
	n := len(a.sensors)
	p := Points{
		Machine: a.view.machine.name, Resolution: a.source, Step: time.Duration(a.series.width) * time.Microsecond, Sensors: a.sensors,
		Times: make([]time.Time, len(a.series.times)), Min: make([][]float64, n), Max: make([][]float64, n), Mean: make([][]float64, n),
	}
	for b, micros := range a.series.times {
		p.Times[b] = fromMicros(micros)
	}
	for i, stats := range a.series.stats {
		for _, s := range stats {
			if s.count == 0 {
				s.min, s.max, s.mean = math.NaN(), math.NaN(), math.NaN()
			}
			p.Min[i], p.Max[i], p.Mean[i] = append(p.Min[i], s.min), append(p.Max[i], s.max), append(p.Mean[i], s.mean)
		}
	}
	return p
}
