package verdict

import (
	"math"
	"strings"
	"time"

	"fettle"
)

// The old system's rule, kept as it was because old clients know its answers.
const (
	riskPercent    = 30   // share of forecast steps outside the range that puts a sensor at risk
	severityHigh   = 0.5  // above it
	severityMedium = 0.3  // above it
	leastDivisor   = 1e-8 // of a relative difference
)

// RangeRule is the old system's judgement of a forecast: a sensor is at risk if
// at least 30 % of its steps lie outside the range of its look-back, the
// window. Range and severity are taken on values scaled to 0..1 by each
// sensor's span (in the window's order), the look-back's cut to 0..1. False: no
// sensor is at risk.
func RangeRule(f fettle.Forecast, window fettle.Window, scale []fettle.Span) (fettle.Anomaly, bool) {
	a := fettle.Anomaly{Machine: f.Machine, Time: f.Origin}
	for _, forecast := range f.Sensors {
		past, span, found := lookedBack(window, scale, forecast.Sensor)
		if !found || len(forecast.Values) == 0 {
			continue
		}
		actual, predicted := past[len(past)-1], forecast.Values[0]
		sensor := fettle.AnomalySensor{Sensor: forecast.Sensor, Actual: actual, Predicted: predicted}
		if atRisk(forecast.Values, past, span) {
			sensor.AtRisk = true
			sensor.Deviation = actual - predicted
			sensor.DeviationPercent = 100 * relative(actual, predicted)
			a.Affected = append(a.Affected, forecast.Sensor)
			severity := relative(cut(scaleTo(span, actual)), scaleTo(span, predicted))
			if severity > a.Score || a.Type == "" {
				a.Score, a.Type = severity, forecast.Sensor
			}
		}
		a.Sensors = append(a.Sensors, sensor)
	}
	if len(a.Affected) == 0 {
		return fettle.Anomaly{}, false
	}
	a.Severity = severityOf(a.Score)
	a.Message = AlertText(a.Affected, a.Time)
	return a, true
}

// lookedBack finds what a sensor said in the window, and its span.
func lookedBack(window fettle.Window, scale []fettle.Span, sensor string) (past []float64, span fettle.Span, found bool) {
	for i, name := range window.Sensors {
		if name != sensor || i >= len(scale) {
			continue
		}
		for _, value := range window.Columns[i] {
			if !math.IsNaN(value) {
				past = append(past, value)
			}
		}
		return past, scale[i], len(past) > 0
	}
	return nil, fettle.Span{}, false
}

func atRisk(steps, past []float64, span fettle.Span) bool {
	low, high := math.Inf(1), math.Inf(-1)
	for _, value := range past {
		scaled := cut(scaleTo(span, value))
		low, high = min(low, scaled), max(high, scaled)
	}
	outside := 0
	for _, step := range steps {
		if scaled := scaleTo(span, step); scaled < low || scaled > high {
			outside++
		}
	}
	return 100*outside >= riskPercent*len(steps)
}

// scaleTo maps the span to 0..1. One without width only moves, as the old
// system's scaler does.
func scaleTo(span fettle.Span, value float64) float64 {
	if span.High == span.Low {
		return value - span.Low
	}
	return (value - span.Low) / (span.High - span.Low)
}

func cut(scaled float64) float64 { return min(max(scaled, 0), 1) }

func relative(actual, predicted float64) float64 {
	return math.Abs(actual-predicted) / max(math.Abs(predicted), leastDivisor)
}

func severityOf(score float64) string {
	switch {
	case score > severityHigh:
		return fettle.SeverityHigh
	case score > severityMedium:
		return fettle.SeverityMedium
	default:
		return fettle.SeverityLow
	}
}

// AlertText is the old system's sentence about a machine, with the sensors at
// risk, if any.
func AlertText(affected []string, checked time.Time) string {
	at := checked.UTC().Format("2006-01-02T15:04:05.000000Z")
	if len(affected) == 0 {
		return "Machine Condition Normal (Checked at: " + at + ")"
	}
	return "Machine at Risk: Stay alert on " + strings.Join(affected, ", ") + " (Checked at: " + at + ")"
}
