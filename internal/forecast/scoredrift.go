package forecast

import (
	"slices"
	"time"
)

const (
	// driftOver is how much time a drift is told from, and driftHours the hours
	// of it that must have scores.
	driftOver  = 24 * time.Hour
	driftHours = 12
	// driftLimit is how many times its error on what was held out from its fit a
	// model's error may be, in the median hour.
	driftLimit = 1.5
)

// A Drift compares what the model that serves leaves unexplained now with what
// it left unexplained on what was held out from its fit.
//
// The error of each of the last 24 hours is divided by the held-out error of the
// same sensor and steps, and the median of the hours is taken: a fault of some
// hours is not a drift, and neither is an outlier. A model has drifted when that
// is above 1.5 for a sensor.
type Drift struct {
	Model   string        `json:"model"`
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to"`
	Hours   int           `json:"hours" doc:"Of these that have scores"`
	Limit   float64       `json:"limit"`
	Drifted bool          `json:"drifted" doc:"The ratio of a sensor is above the limit"`
	Sensors []SensorDrift `json:"sensors" doc:"Worst first"`
}

// A SensorDrift is one sensor's part.
type SensorDrift struct {
	Sensor string  `json:"sensor"`
	Ratio  float64 `json:"ratio" doc:"Median over the hours of error / held-out error"`
}

// Drift tells whether a machine's champion forecasts worse than it should.
// False if that cannot be told: the model has no band with its held-out error,
// or fewer than 12 of the last 24 hours were scored.
func (e *Engine) Drift(machine, forecaster string) (Drift, bool) {
	m, info, err := e.find(machine, forecaster)
	if err != nil {
		return Drift{}, false
	}
	f, err := e.champion(m, info)
	if err != nil {
		return Drift{}, false
	}
	m.book.mu.Lock()
	to := time.UnixMicro(m.book.scored).UTC()
	m.book.mu.Unlock()
	d := Drift{Model: f.model.Name, From: to.Add(-driftOver), To: to, Limit: driftLimit}
	reference := heldOutErrors(f)
	ratios := map[string][]float64{}
	err = e.eachBucket(m, d.From, d.To, func(_ bucketKey, b *bucket) error {
		hour := false
		for _, sensor := range f.model.Sensors {
			if ratio, found := b.ratio(f.model.Name, sensor, reference[sensor]); found {
				ratios[sensor] = append(ratios[sensor], ratio)
				hour = true
			}
		}
		if hour {
			d.Hours++
		}
		return nil
	})
	if err != nil {
		e.log.Warn("cannot tell whether the champion drifts", "machine", machine, "forecaster", forecaster, "err", err)
		return Drift{}, false
	}
	for sensor, hours := range ratios {
		if len(hours) >= driftHours {
			d.Sensors = append(d.Sensors, SensorDrift{sensor, quantiles(hours, 0.5)[0]})
		}
	}
	slices.SortFunc(d.Sensors, func(a, b SensorDrift) int {
		switch {
		case a.Ratio != b.Ratio && a.Ratio > b.Ratio:
			return -1
		case a.Ratio != b.Ratio:
			return 1
		case a.Sensor < b.Sensor:
			return -1
		default:
			return 1
		}
	})
	if len(d.Sensors) == 0 {
		return Drift{}, false
	}
	d.Drifted = d.Sensors[0].Ratio > driftLimit
	return d, true
}

// heldOutErrors are a model's mean absolute errors on what was held out from its
// fit, by sensor and group of steps.
func heldOutErrors(f *predictor) map[string][]float64 {
	errors := map[string][]float64{}
	for i, b := range f.bandsNow() {
		if len(b.Error) == 0 || i >= len(f.model.Sensors) {
			continue
		}
		var sum, n [64]float64
		for h, v := range b.Error {
			sum[groupOf(h)] += v
			n[groupOf(h)]++
		}
		var means []float64
		for group := range groupOf(len(b.Error)-1) + 1 {
			means = append(means, sum[group]/n[group])
		}
		errors[f.model.Sensors[i]] = means
	}
	return errors
}

// ratio is the error of a model's forecasts of a sensor in a bucket, as a
// multiple of its held-out errors by group.
func (b *bucket) ratio(model, sensor string, heldOut []float64) (ratio float64, found bool) {
	var error, expected float64
	for group, v := range heldOut {
		if t := b.entries[entry{model, sensor, group}]; t != nil {
			error += t.abs
			expected += v * float64(t.steps)
		}
	}
	return error / expected, expected > 0
}
