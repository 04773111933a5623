package verdict

import "fettle"

// A spread counts how often a sensor's scaled readings fell where, in bins of a
// hundredth of a standard deviation.
type spread struct {
	below, above int
	bins         [2 * spreadReach * spreadFine]uint32
	count        int
}

const (
	spreadReach = 4   // standard deviations to each side
	spreadFine  = 100 // bins in one of them
	// tail is the part of readings on each side that is not called usual.
	tail = 0.01
)

func (s *spread) add(z float64) {
	s.count++
	switch bin := (z + spreadReach) * spreadFine; {
	case bin < 0:
		s.below++
	case bin >= float64(len(s.bins)):
		s.above++
	default:
		s.bins[int(bin)]++
	}
}

// usual is the range that holds nearly all readings, in the sensor's unit, and
// never wider than what it has read.
func (s *spread) usual(m *model, j int, p *profile) fettle.Span {
	allowed := int(tail * float64(s.count))
	edge := func(bin int) float64 {
		z := float64(bin)/spreadFine - spreadReach
		return min(max(m.unscaled(j, z), p.low), p.high)
	}
	span := fettle.Span{Low: p.low, High: p.high}
	for outside, bin := s.below, 0; outside <= allowed && bin < len(s.bins); bin++ {
		span.Low = edge(bin)
		outside += int(s.bins[bin])
	}
	for outside, bin := s.above, len(s.bins)-1; outside <= allowed && bin >= 0; bin-- {
		span.High = edge(bin + 1)
		outside += int(s.bins[bin])
	}
	return span
}
