package readings

import (
	"fmt"
	"math"
	"slices"

	"fettle/internal/days"
)

// A rollup says what each sensor did in each minute or hour of a day in which
// it spoke. Buckets begin at whole minutes and hours of UTC. In a file a sensor
// has four columns:
//
//	time  <sensor>_count  <sensor>_max  <sensor>_mean  <sensor>_min
//
// A rollup is made from the rows when the day is sealed, and anew whenever the
// day is; while late rows lie over a day, who asks gets it from the rows.
var measures = [...]string{"_count", "_max", "_mean", "_min"}

const (
	countOf = iota
	maxOf
	meanOf
	minOf
)

// A stat is what one sensor did in one bucket.
type stat struct {
	count    int64 // 0: it was silent
	min, max float64
	mean     float64
}

// add takes one more value in.
func (s *stat) add(v float64) {
	s.count++
	if s.count == 1 {
		s.min, s.max, s.mean = v, v, v
		return
	}
	if v < s.min {
		s.min = v
	}
	if v > s.max {
		s.max = v
	}
	share := 1 / float64(s.count)
	s.mean += v*share - s.mean*share
}

// join takes the values of another stat in. The mean moves by the difference,
// which neither overflows nor loses small values beside a large sum.
func (s *stat) join(o stat) {
	switch {
	case o.count == 0:
		return
	case s.count == 0:
		*s = o
		return
	}
	s.count += o.count
	s.min, s.max = math.Min(s.min, o.min), math.Max(s.max, o.max)
	share := float64(o.count) / float64(s.count)
	s.mean += o.mean*share - s.mean*share
}

// series is stats in buckets of one width, growing at its end.
type series struct {
	width  int64 // microseconds
	origin int64 // buckets begin at multiples of the width from here
	times  []int64
	stats  [][]stat // (sensors, buckets)
}

func newSeries(width int64, sensors int) *series {
	return &series{width: width, stats: make([][]stat, sensors)}
}

// bucket finds or opens the bucket of a time; mostly it is the last one.
func (s *series) bucket(micros int64) int {
	at := s.origin + floorTo(micros-s.origin, s.width)
	n := len(s.times)
	if n > 0 && s.times[n-1] == at {
		return n - 1
	}
	i, found := n, false
	if n > 0 && s.times[n-1] > at {
		i, found = slices.BinarySearch(s.times, at)
	}
	if !found {
		s.times = slices.Insert(s.times, i, at)
		for sensor := range s.stats {
			s.stats[sensor] = slices.Insert(s.stats[sensor], i, stat{})
		}
	}
	return i
}

// addPiece takes rows in.
func (s *series) addPiece(p *piece) {
	for from := 0; from < len(p.times); {
		b := s.bucket(p.times[from])
		to := from + 1
		for to < len(p.times) && p.times[to] < s.times[b]+s.width {
			to++
		}
		for i, column := range p.columns {
			if column == nil {
				continue
			}
			st := &s.stats[i][b]
			for _, v := range column[from:to] {
				if !math.IsNaN(v) {
					st.add(v)
				}
			}
		}
		from = to
	}
}

// addSeries takes narrower buckets in.
func (s *series) addSeries(o *series) {
	for n, micros := range o.times {
		b := s.bucket(micros)
		for i := range s.stats {
			s.stats[i][b].join(o.stats[i][n])
		}
	}
}

// full tells whether the series has more numbers than a piece may have.
func (s *series) full(most int) bool { return len(s.times)*(1+len(measures)*len(s.stats)) > most }

// finished cuts off all buckets but the last, which may still grow.
func (s *series) finished() *series {
	n := len(s.times) - 1
	done := &series{width: s.width, times: s.times[:n], stats: make([][]stat, len(s.stats))}
	s.times = append([]int64(nil), s.times[n:]...)
	for i := range s.stats {
		done.stats[i] = s.stats[i][:n]
		s.stats[i] = append([]stat(nil), s.stats[i][n:]...)
	}
	return done
}

// table is the series as the columns of a file; sensors that were silent
// throughout are left out unless all is set.
func (s *series) table(sensors []string, all bool) days.Table {
	t := days.Table{Times: s.times}
	for i, sensor := range sensors {
		spoke := false
		var columns [len(measures)][]float64
		for m := range columns {
			columns[m] = make([]float64, len(s.times))
		}
		for b, st := range s.stats[i] {
			columns[countOf][b], columns[maxOf][b], columns[meanOf][b], columns[minOf][b] = float64(st.count), st.max, st.mean, st.min
			if st.count == 0 {
				columns[maxOf][b], columns[meanOf][b], columns[minOf][b] = math.NaN(), math.NaN(), math.NaN()
			}
			spoke = spoke || st.count > 0
		}
		if !spoke && !all {
			continue
		}
		for m, name := range measures {
			t.Sensors = append(t.Sensors, sensor+name)
			t.Columns = append(t.Columns, columns[m])
		}
	}
	return t
}

// rollup reads a rollup's file: what the sensors did, in the order asked for.
func (v *view) rollup(file *dayFile, k Kind, sensors []string) (*series, error) {
	s := newSeries(k.width(), len(sensors))
	at := positions(file.Sensors())
	for g := range file.Groups() {
		n := file.Rows(g)
		if n < 0 || int64(n) > dayMicros/k.width() {
			return nil, fmt.Errorf("%w: %d buckets", errBroken, n)
		}
		times, from := make([]int64, n), len(s.times)
		if err := file.Times(g, times); err != nil {
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		s.times = append(s.times, times...)
		column := make([]float64, n)
		for i, sensor := range sensors {
			s.stats[i] = append(s.stats[i], make([]stat, n)...)
			for m, name := range measures {
				place, found := at[sensor+name]
				if !found {
					break
				}
				if err := file.Column(g, place, 0, column); err != nil {
					return nil, fmt.Errorf("%w: %w", errBroken, err)
				}
				setAll(s.stats[i][from:], column, m)
			}
		}
	}
	return s, nil
}

// setAll sets one measure of some stats.
func setAll(stats []stat, values []float64, measure int) {
	for b, v := range values {
		switch measure {
		case countOf:
			stats[b].count = int64(v)
		case maxOf:
			stats[b].max = v
		case meanOf:
			stats[b].mean = v
		case minOf:
			stats[b].min = v
		}
	}
}
