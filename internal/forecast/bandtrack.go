package forecast

import "math"

// How a band follows what its sensor does. Chosen on simulated machines and on
// synthetic series that are not those of any goal, among fixed bands, quantile
// tracking with several step sizes, with an integral term, with steps as large
// as the miss, and this with other gains: the gain is the least at which nearly
// all series keep 87..93 % over 500 steps, also when each forecast is scored ten
// steps late.
const (
	// edgeGain is how far an edge moves for one miss too many, in scales.
	edgeGain = 0.07
	// scaleGain is the weight of the newest residual in the scale.
	scaleGain = 0.03
	// outlier is how many scales a residual counts at most: a sensor that says
	// 1e9 once must not have a band of 1e7 for an hour.
	outlier = 6
	// narrowest and widest bound a band, in scales: it gets out of there within
	// some dozens of misses.
	narrowest, widest = 0.2, 50
	// leastScale is the part of its scale on what was held out that a sensor's
	// scale does not fall below.
	leastScale = 0.05
)

// A tracked is the band of one step of one sensor as it is followed online, in
// 12 bytes: its edges are multiples of a scale.
//
//	scale  mean |residual|, forgetting: follows noise that doubles within some
//	       thirty forecasts, whatever shape it has
//	edges  quantiles of residual/scale: each moves out by edgeGain*(1-a) when a
//	       reading lies beyond it and in by edgeGain*a when none does, a = 5 %, so
//	       it comes to rest where that is as often as promised
//
// That is adaptive conformal inference (Gibbs and Candès 2021) in the form of
// quantile tracking (Angelopoulos, Candès and Tibshirani 2023) on scaled
// residuals. What counts as a miss is judged by the edges that the forecast was
// given, however late: then misses too many and too few add up to nothing over
// time, whatever the readings do. The edges are tracked apart, since residuals
// are often lopsided.
type tracked struct {
	scale        float32 // in the sensor's unit
	below, above float32 // in scales
}

// track begins where the held-out part of the fit leaves off.
func track(b band) []tracked {
	steps := make([]tracked, len(b.Below))
	for h := range steps {
		scale := (b.Above[h] - b.Below[h]) / 4 // as of normal residuals
		if len(b.Error) > 0 {
			scale = b.Error[h]
		}
		steps[h].scale = float32(scale)
		if steps[h].scale > 0 {
			steps[h].below = bounded(b.Below[h] / scale)
			steps[h].above = bounded(b.Above[h] / scale)
		} else {
			steps[h].below, steps[h].above = -2, 2
		}
	}
	return steps
}

// least is the scale that the steps of a sensor do not fall below.
func least(steps []tracked) float32 {
	var sum float32
	for _, t := range steps {
		sum += t.scale
	}
	return leastScale * sum / float32(max(1, len(steps)))
}

// edges are how far below and above a forecast the readings will stay.
func (t tracked) edges() (below, above float64) {
	return float64(t.scale) * float64(t.below), float64(t.scale) * float64(t.above)
}

// learn takes in what a forecast left unexplained, and whether the reading lay
// under or over the band that the forecast had. Exactly nothing is what a sensor
// leaves that stands still, and says nothing of the time when it moves again.
func (t *tracked) learn(residual float64, under, over bool, least float32) {
	if residual == 0 && !under && !over {
		return
	}
	below := bounded(float64(t.below) - edgeGain*(miss(under)-beyond))
	above := bounded(float64(t.above) + edgeGain*(miss(over)-beyond))
	if above-below >= narrowest || above-below > t.above-t.below {
		t.below, t.above = below, above
	}
	size, usual := math.Abs(residual), float64(max(t.scale, least))
	if usual == 0 {
		t.scale = float32(min(size, math.MaxFloat32))
		return
	}
	size = min(size, outlier*usual)
	t.scale = max(least, float32(min(usual+scaleGain*(size-usual), math.MaxFloat32)))
}

func miss(missed bool) float64 {
	if missed {
		return 1
	}
	return 0
}

func bounded(edge float64) float32 { return float32(max(-widest, min(widest, edge))) }

// bandOf is the band of all steps; empty if nothing is tracked.
func bandOf(steps []tracked) band {
	var b band
	for _, t := range steps {
		below, above := t.edges()
		b.Below, b.Above = append(b.Below, below), append(b.Above, above)
	}
	return b
}

// A ledger counts how often the readings lay within a band, of one step of one
// sensor: over the last 500 to 524 scored, in blocks, so that it takes 29 bytes.
type ledger struct {
	scored uint32
	blocks [ledgerBlocks + 1]uint8 // readings within, in a ring; the open one is scored/blockSteps
	width  float32                 // mean of the band, forgetting what is older than 500
}

const (
	blockSteps   = 25
	ledgerBlocks = 500 / blockSteps
)

// book counts a reading.
func (l *ledger) book(inside bool, width float64) {
	open := func() *uint8 { return &l.blocks[l.scored/blockSteps%uint32(len(l.blocks))] }
	if inside {
		*open()++
	}
	if l.scored++; l.scored%blockSteps == 0 {
		*open() = 0 // of 525 and more before
	}
	l.width += (float32(min(width, math.MaxFloat32)) - l.width) / float32(min(l.scored, blockSteps*ledgerBlocks))
}

// count is how many readings lay within the band, and of how many.
func (l *ledger) count() (inside, of int) {
	for _, n := range l.blocks {
		inside += int(n)
	}
	return inside, int(min(l.scored, ledgerBlocks*blockSteps+l.scored%blockSteps))
}

// sameLength makes a list of ledgers as long as a horizon, keeping those there.
func sameLength(all []ledger, steps int) []ledger {
	if len(all) >= steps {
		return all[:steps]
	}
	return append(all, make([]ledger, steps-len(all))...)
}
