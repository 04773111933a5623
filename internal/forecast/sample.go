package forecast

import (
	"math/rand/v2"
	"slices"
)

// A sample keeps a bounded number of values out of any number, each with the
// same chance (Vitter's algorithm R), so that quantiles of a month of readings
// need no month of memory. The same values in the same order give the same
// sample. Picking evenly would be simpler, but readings have periods, and a
// period that agrees with the pick would show only one of its phases.
type sample struct {
	values []float64
	limit  int
	seen   uint64
	random *rand.Rand
}

func newSample(limit int) *sample {
	return &sample{limit: limit, random: rand.New(rand.NewPCG(1, 2))}
}

func (s *sample) add(v float64) {
	s.seen++
	if len(s.values) < s.limit {
		s.values = append(s.values, v)
		return
	}
	if at := s.random.Uint64N(s.seen); at < uint64(s.limit) {
		s.values[at] = v
	}
}

// quantiles sorts values and returns the given quantiles (0..1) of them,
// between two values by linear interpolation; there must be a value.
func quantiles(values []float64, at ...float64) []float64 {
	slices.Sort(values)
	found := make([]float64, len(at))
	for i, q := range at {
		place := q * float64(len(values)-1)
		below := int(place)
		part := place - float64(below)
		found[i] = values[below]
		if part > 0 {
			found[i] = values[below]*(1-part) + values[below+1]*part
		}
	}
	return found
}
