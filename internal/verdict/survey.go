package verdict

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"fettle"
)

// hold is how many rows a sensor's last word is believed to stand, at most.
// Senders that report by exception say nothing while nothing changes.
const hold = 256

// What a sensor must have shown to be judged: enough words to be known by, in
// nearly as many rows as the first fit has, and in a good part of all rows. How
// sensors move together is only learned from rows in which all are known.
const (
	leastWords = 20
	leastKnown = 100
	leastPart  = 0.25
)

// A survey is the first look at a stretch of rows: what each sensor's readings
// are like, and the machine's rhythm. Its size depends on the number of
// sensors, not on that of rows.
type survey struct {
	rows    int
	sensors map[string]*profile
	gaps    gaps
	last    time.Time
}

// A profile is one sensor's readings in numbers. A reading counts once for each
// row that it stood.
type profile struct {
	words        int // rows in which it spoke
	spoke        int // number of the last of them
	value        float64
	known        float64 // rows of which its reading is known
	mean, square float64 // mean, and sum of squared distances from it
	low, high    float64
	silences     [habits + 1]int // rows from word to word, by power of two; the last: longer than hold
}

// habits counts the powers of two up to hold.
const habits = 9

func newSurvey() *survey { return &survey{sensors: map[string]*profile{}} }

func (s *survey) add(r fettle.Reading) {
	if s.rows > 0 {
		s.gaps.add(r.Time.Sub(s.last))
	}
	s.last = r.Time
	for _, v := range r.Values {
		p := s.sensors[v.Sensor]
		if p == nil {
			p = &profile{low: math.Inf(1), high: math.Inf(-1)}
			s.sensors[v.Sensor] = p
		}
		p.say(v.Value, s.rows)
	}
	s.rows++
}

func (p *profile) say(value float64, row int) {
	if p.words > 0 {
		silence := row - p.spoke
		p.silences[min(bits.Len(uint(silence-1)), habits)]++
		p.stood(silence)
	}
	p.words++
	p.value, p.spoke = value, row
	p.low, p.high = min(p.low, value), max(p.high, value)
}

// stood counts the sensor's last reading for the rows it stood (Welford).
func (p *profile) stood(rows int) {
	weight := float64(min(rows, hold))
	p.known += weight
	distance := p.value - p.mean
	p.mean += distance * weight / p.known
	p.square += weight * distance * (p.value - p.mean)
}

// close counts the readings that stand until the end.
func (s *survey) close() {
	for _, p := range s.sensors {
		p.stood(s.rows - p.spoke)
	}
}

func (p *profile) scale() float64 {
	return floorScale(math.Sqrt(p.square/p.known), max(math.Abs(p.low), math.Abs(p.high)))
}

// habit is how many rows the sensor lets pass between two words, 99 times of
// 100.
func (p *profile) habit() int {
	within := 0
	for power := range habits {
		within += p.silences[power]
		if 100*within >= 99*(p.words-1) {
			return 1 << power
		}
	}
	return hold
}

// choose names the sensors to judge together, ascending: at most MaxSensors of
// those known well enough. Those that spoke lately come before those that fell
// silent, those that move before those that never did, and then the first by
// name, so that the choice does not change from fit to fit.
func (s *survey) choose() []string {
	var names []string
	for name, p := range s.sensors {
		known := p.known >= max(leastKnown, leastPart*float64(s.rows))
		if known && p.words >= leastWords && finite(p.mean) && finite(p.scale()) {
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		p := s.sensors[name]
		switch {
		case s.rows-p.spoke > hold:
			return 2
		case p.low == p.high:
			return 1
		default:
			return 0
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	names = names[:min(len(names), MaxSensors)]
	slices.Sort(names)
	return names
}

// gapSteps is how many usual steps may lie between rows that belong together.
const gapSteps = 2.5

// rhythm tells the usual step, and the gap beyond which rows do not belong
// together. That rests on the longer ones of the usual steps, because a machine
// whose sensors send one by one has many short steps and few long ones.
func (s *survey) rhythm() (step, gap time.Duration) {
	if s.gaps.total == 0 {
		return 0, math.MaxInt64
	}
	return s.gaps.quantile(0.5), time.Duration(gapSteps * float64(s.gaps.quantile(0.95)))
}

// gaps counts durations by size, to a sixteenth of their power of two. It counts
// them all: a sample of every so many would see only some of those that take
// turns.
type gaps struct {
	counts [64 * gapParts]uint32
	total  int
}

const gapParts = 16

func (g *gaps) add(d time.Duration) {
	g.total++
	g.counts[gapBin(d)]++
}

func gapBin(d time.Duration) int {
	if d < gapParts { // nanoseconds
		return int(max(d, 0))
	}
	power := bits.Len64(uint64(d)) - 5 // so that five bits are left, the first of them 1
	return power*gapParts + int(d>>power)
}

// quantile is the duration that a part of all does not exceed, a sixteenth at
// most too long.
func (g *gaps) quantile(part float64) time.Duration {
	within := 0
	for bin, count := range g.counts {
		if within += int(count); count > 0 && float64(within) >= part*float64(g.total) {
			return gapEnd(bin)
		}
	}
	return 0
}

// gapEnd is the longest duration in a bin.
func gapEnd(bin int) time.Duration {
	if bin < 2*gapParts {
		return time.Duration(bin)
	}
	power := bin/gapParts - 1
	return time.Duration(bin-power*gapParts+1)<<power - 1
}
