package patchtst

import "math"

// A Schedule says how the learning rate goes over the steps of a training.
type Schedule string

// The schedules. OneCycle is torch's OneCycleLR with its defaults, without the
// changes to momentum: from a 25th of the rate up to it in the first three
// tenths, then down to a ten-thousandth of where it started.
const (
	Constant Schedule = "constant"
	Cosine   Schedule = "cosine"    // from the rate down to 0 in half a wave
	OneCycle Schedule = "one-cycle" // up and then down
)

// rate is the learning rate of a step, of 0..steps-1.
func (s Schedule) rate(highest float64, step, steps int) float64 {
	switch s {
	case Cosine:
		return halfWave(highest, 0, float64(step)/float64(steps))
	case OneCycle:
		const first, last = 1.0 / 25, 1.0 / 25 / 1e4
		top, end, at := 0.3*float64(steps)-1, float64(steps-1), float64(step)
		if at <= top && top > 0 {
			return halfWave(highest*first, highest, at/top)
		}
		return halfWave(highest, highest*last, (at-top)/(end-top))
	default:
		return highest
	}
}

// halfWave goes from one number to another in half a cosine wave.
func halfWave(from, to, share float64) float64 {
	return to + (from-to)/2*(1+math.Cos(math.Pi*share))
}
