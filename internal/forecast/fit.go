package forecast

import (
	"math"
	"time"

	"fettle"
)

const (
	// heldOutShare of a fit's rows, the newest, are held out: the penalty is
	// chosen on them, and the band measured.
	heldOutShare = 0.2
	// quantileValues is how many values of a sensor its median and
	// inter-quartile range are taken from, and steps the machine's step.
	quantileValues = 4096
	// bandWindows is how many held-out windows of a sensor its band is taken
	// from, evenly spread; bandResiduals bounds the residuals of all sensors
	// together (16 MB).
	bandWindows   = 2000
	bandResiduals = 1 << 21
	// bandLeast is how many windows a band must be taken from.
	bandLeast = 10
	// farthest is how far from its median a scaled value may lie in a fit. It
	// only keeps the sums finite, whatever a broken sensor says.
	farthest = 1e6
)

// A fitter fits one ridge to one machine's rows in three passes: what the
// sensors look like, the sums over all windows, and the band. It holds one
// block of rows at a time, however many there are.
type fitter struct {
	context, horizon int
	sensors          []string      // sorted
	step             time.Duration // of the rows; 0: their median is taken

	// rows yields the rows to fit from, ascending, from a time on. One without a
	// value stands where history is cut.
	rows func(from time.Time, yield func(fettle.Reading) error) error
}

func (f fitter) width() int { return f.context + f.horizon }

// fit does it. Rows that are not enough, or nowhere 60 in a row, are an error
// of kind Unavailable.
func (f fitter) fit() (*ridge, error) {
	seen, err := f.survey()
	if err != nil {
		return nil, err
	}
	if need := 2 * f.width(); seen.rows < need {
		return nil, notEnough(NotEnough{Have: seen.rows, Need: need, What: "rows to fit from"})
	}
	s, err := f.sums(seen)
	if err != nil {
		return nil, err
	}
	if s.fitted.windows == 0 || s.heldOut.windows == 0 {
		return nil, notEnough(NotEnough{Have: s.longest, Need: f.width(), What: "rows without a gap to fit from"})
	}
	chosen, err := choosePenalty(s.fitted.centred(), s.heldOut.centred())
	if err != nil {
		return nil, err
	}
	bands, err := f.bands(seen, s, chosen.weights)
	if err != nil {
		return nil, err
	}
	r := &ridge{
		Format: ridgeFormat, Context: f.context, Horizon: f.horizon,
		StepSeconds: (time.Duration(seen.step) * time.Microsecond).Seconds(),
		FittedRows:  int64(seen.rows), From: seen.first, Until: seen.last,
		HeldOut: heldOutReport{Windows: s.heldOut.windows, MSE: chosen.heldOut, yardsticks: yardsticksOf(s.fitted, s.heldOut)},
		Sensors: f.describe(seen, s, bands),
	}
	all := s.fitted
	all.merge(s.border)
	all.merge(s.heldOut)
	r.Weights, r.Penalty, err = refit(all.centred(), chosen.penalty)
	return r, err
}

// A survey is what the first pass found.
type survey struct {
	rows        int // those that say nothing not counted
	first, last time.Time
	step        int64 // median time between rows, microseconds
	sensors     []scaling
}

// A scaling is where a sensor's values lie.
type scaling struct {
	values    *sample
	low, high float64 // least and greatest
	median    float64
	scale     float64 // inter-quartile range, never 0
}

// survey is the first pass.
func (f fitter) survey() (*survey, error) {
	s := &survey{sensors: make([]scaling, len(f.sensors))}
	for i := range s.sensors {
		s.sensors[i] = scaling{values: newSample(quantileValues), low: math.Inf(1), high: math.Inf(-1)}
	}
	steps := newSample(quantileValues)
	err := f.rows(time.Time{}, func(r fettle.Reading) error {
		if len(r.Values) == 0 {
			return nil
		}
		if s.rows > 0 {
			steps.add(float64(r.Time.Sub(s.last).Microseconds()))
		} else {
			s.first = r.Time
		}
		s.rows, s.last = s.rows+1, r.Time
		values := r.Values
		for i, name := range f.sensors {
			for len(values) > 0 && values[0].Sensor < name {
				values = values[1:]
			}
			if len(values) > 0 && values[0].Sensor == name {
				s.sensors[i].add(values[0].Value)
			}
		}
		return nil
	})
	if err != nil || s.rows < 2 {
		return s, err
	}
	if s.step = f.step.Microseconds(); s.step == 0 {
		s.step = int64(quantiles(steps.values, 0.5)[0])
	}
	for i := range s.sensors {
		s.sensors[i].settle()
	}
	return s, nil
}

func (s *scaling) add(v float64) {
	if math.IsNaN(v) {
		return
	}
	s.values.add(v)
	s.low, s.high = min(s.low, v), max(s.high, v)
}

// settle takes the scale once all values are known. A sensor that rests most of
// the time has no inter-quartile range: the whole range stands in, and 1 for a
// constant.
func (s *scaling) settle() {
	if len(s.values.values) == 0 {
		return
	}
	q := quantiles(s.values.values, 0.25, 0.5, 0.75)
	s.median, s.scale = q[1], q[2]-q[0]
	if s.scale == 0 {
		s.scale = s.high - s.low
	}
	if s.scale == 0 {
		s.scale = 1
	}
	s.scale = min(s.scale, math.MaxFloat64) // a range of -1e308..1e308 is infinite
	s.values = nil
}

// scaled appends a sensor's values, scaled, to dst.
func (s *scaling) scaled(dst, values []float64) []float64 {
	for _, v := range values {
		dst = append(dst, max(-farthest, min(farthest, (v-s.median)/s.scale)))
	}
	return dst
}

// sums is what the second pass found: the grams of the windows in the older
// part, of those with all targets in the part held out, and of those between.
type sums struct {
	fitted, border, heldOut *gram

	heldFrom time.Time // the oldest row that a held-out window looks back to
	longest  int       // rows of the longest run seen, at most a block
	windows  []int     // (sensors) windows of each, in all three grams
	heldOf   []int     // (sensors) held-out windows of each
}

// sums is the second pass.
func (f fitter) sums(seen *survey) (*sums, error) {
	s := &sums{
		fitted: newGram(f.context, f.horizon), border: newGram(f.context, f.horizon), heldOut: newGram(f.context, f.horizon),
		windows: make([]int, len(f.sensors)), heldOf: make([]int, len(f.sensors)),
	}
	split := int(float64(seen.rows) * (1 - heldOutShare)) // number of the first row held out
	var z []float64
	c := f.cutter(seen, func(sensor, first int, values []float64) {
		z = seen.sensors[sensor].scaled(z[:0], values)
		// Windows by the row they start with: from each border up to the next.
		windows := len(values) - f.width() + 1
		toBorder := min(max(split-f.width()+1-first, 0), windows)
		toHeldOut := min(max(split-f.context-first, 0), windows)
		s.fitted.add(windowsOf(z, 0, toBorder, f.width()))
		s.border.add(windowsOf(z, toBorder, toHeldOut, f.width()))
		s.heldOut.add(windowsOf(z, toHeldOut, windows, f.width()))
		s.windows[sensor] += windows
		s.heldOf[sensor] += windows - toHeldOut
	})
	err := f.rows(time.Time{}, func(r fettle.Reading) error {
		if c.row <= split-f.context {
			s.heldFrom = r.Time
		}
		c.add(r)
		return nil
	})
	c.end()
	s.longest = c.longest
	return s, err
}

// windowsOf is the stretch of a series that holds its windows from..to-1.
func windowsOf(series []float64, from, to, width int) []float64 {
	if to <= from {
		return nil
	}
	return series[from : to-1+width]
}

func (f fitter) cutter(seen *survey, emit func(sensor, first int, values []float64)) *cutter {
	return &cutter{sensors: f.sensors, width: f.width(), step: seen.step, emit: emit}
}

// bands is the third pass: what the weights fitted without the held-out part
// leave unexplained there.
func (f fitter) bands(seen *survey, s *sums, weights [][]float64) ([]band, error) {
	limit := max(1, min(bandWindows, bandResiduals/(f.horizon*max(1, len(f.sensors)))))
	residuals := make([]residuals, len(f.sensors))
	met := make([]int, len(f.sensors))
	c := f.cutter(seen, func(sensor, _ int, values []float64) {
		every := (s.heldOf[sensor] + limit - 1) / limit
		for at := 0; at+f.width() <= len(values); at++ {
			if met[sensor]++; (met[sensor]-1)%max(1, every) != 0 {
				continue
			}
			window := values[at : at+f.width()]
			residuals[sensor].add(extrapolate(weights, window[:f.context]), window[f.context:])
		}
	})
	err := f.rows(s.heldFrom, func(r fettle.Reading) error { c.add(r); return nil })
	c.end()
	bands := make([]band, len(f.sensors))
	for i, r := range residuals {
		bands[i] = r.band(bandLeast)
	}
	return bands, err
}

// describe lists the sensors that were part of the fit; one without a single
// whole window was not, and is picked up by a later fit.
func (f fitter) describe(seen *survey, s *sums, bands []band) []ridgeSensor {
	var sensors []ridgeSensor
	for i, name := range f.sensors {
		if s.windows[i] == 0 {
			continue
		}
		of := seen.sensors[i]
		sensors = append(sensors, ridgeSensor{
			Name: name, Median: of.median, Scale: of.scale,
			Span: fettle.Span{Low: of.low, High: of.high}, band: bands[i],
		})
	}
	return sensors
}
