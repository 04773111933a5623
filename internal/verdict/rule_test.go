package verdict

import (
	"math"
	"reflect"
	"testing"
	"time"

	"fettle"
)

func TestRangeRule(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name     string
		past     []float64 // of current; the span is 0..20
		steps    []float64
		risk     bool
		score    float64
		severity string
	}{
		{"inside", []float64{8, 12, 10}, []float64{8, 9, 10, 11, 12, 8, 9, 10, 11, 12}, false, 0, ""},
		{"2 of 10 above", []float64{8, 12, 10}, []float64{10, 10, 10, 10, 10, 10, 10, 10, 13, 13}, false, 0, ""},
		{"3 of 10 above", []float64{8, 12, 10}, []float64{10, 10, 10, 10, 10, 10, 10, 13, 13, 13}, true, 0, "low"},
		{"above and below count together", []float64{8, 12, 10}, []float64{10, 10, 10, 10, 10, 10, 10, 7, 7, 13}, true, 0, "low"},
		{"0.25 is low", []float64{8, 12, 12.5}, []float64{10, 14, 14, 14, 10, 10, 10, 10, 10, 10}, true, 0.25, "low"},
		{"medium above 0.3", []float64{8, 12, 14}, []float64{10, 15, 15, 15, 10, 10, 10, 10, 10, 10}, true, 0.4, "medium"},
		{"0.5 is still medium", []float64{8, 15}, []float64{10, 16, 16, 16, 10, 10, 10, 10, 10, 10}, true, 0.5, "medium"},
		{"high above 0.5", []float64{8, 16}, []float64{10, 17, 17, 17, 10, 10, 10, 10, 10, 10}, true, 0.6, "high"},
		{"the look-back is cut to 0..1, the forecast is not", []float64{-5, 25}, []float64{21, 21, 21, 10, 10, 10, 10, 10, 10, 10}, true, 1 - 1/1.05, "low"},
		{"step 1 of zero divides by 1e-8", []float64{8, 10}, []float64{0, 0, 0, 9, 9, 9, 9, 9, 9, 9}, true, 0.5 / 1e-8, "high"},
		{"rows without the sensor are left out", []float64{nan, 8, nan, 12.5, nan}, []float64{10, 14, 14, 14, 10, 10, 10, 10, 10, 10}, true, 0.25, "low"},
		{"never said", []float64{nan, nan}, []float64{9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, false, 0, ""},
	} {
		f := fettle.Forecast{Machine: "m", Origin: at(0), Sensors: []fettle.SensorForecast{{Sensor: "current", Values: c.steps}}}
		w := fettle.Window{Sensors: []string{"current"}, TimesMicros: make([]int64, len(c.past)), Columns: [][]float64{c.past}}
		a, risk := RangeRule(f, w, []fettle.Span{{Low: 0, High: 20}})
		if risk != c.risk || math.Abs(a.Score-c.score) > 1e-9*max(1, c.score) || a.Severity != c.severity {
			t.Errorf("%s: at risk %v, score %g, severity %q; expected %v, %g, %q", c.name, risk, a.Score, a.Severity, c.risk, c.score, c.severity)
		}
	}
}

func TestRangeRuleTellsEverySensorInItsUnit(t *testing.T) {
	steps := func(v float64) []float64 { return []float64{v, v, v, v} }
	f := fettle.Forecast{Machine: "cnc", Origin: at(0), Sensors: []fettle.SensorForecast{
		{Sensor: "current", Values: steps(16)}, {Sensor: "accX", Values: steps(0.1)}, {Sensor: "tempA", Values: steps(80)},
	}}
	w := fettle.Window{
		Sensors: []string{"current", "accX", "tempA"}, TimesMicros: []int64{0, 1},
		Columns: [][]float64{{12, 12}, {0, 0.2}, {60, 60}},
	}
	a, _ := RangeRule(f, w, []fettle.Span{{Low: 0, High: 20}, {Low: -1, High: 1}, {Low: 40, High: 120}})
	want := fettle.Anomaly{
		Machine: "cnc", Time: at(0), Type: "tempA", Severity: "medium", Score: 0.5,
		Message:  "Machine at Risk: Stay alert on current, tempA (Checked at: 2026-01-01T00:00:00.000000Z)",
		Affected: []string{"current", "tempA"},
		Sensors: []fettle.AnomalySensor{
			{Sensor: "current", Actual: 12, Predicted: 16, AtRisk: true, Deviation: -4, DeviationPercent: 25},
			{Sensor: "accX", Actual: 0.2, Predicted: 0.1},
			{Sensor: "tempA", Actual: 60, Predicted: 80, AtRisk: true, Deviation: -20, DeviationPercent: 25},
		},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("anomaly is\n%+v\nexpected\n%+v", a, want)
	}
}

func TestAlertText(t *testing.T) {
	zone := time.FixedZone("CEST", 2*60*60)
	checked := time.Date(2025, 11, 25, 6, 20, 0, 123456000, zone)
	for _, c := range []struct {
		affected []string
		want     string
	}{
		{nil, "Machine Condition Normal (Checked at: 2025-11-25T04:20:00.123456Z)"},
		{[]string{"current", "tempA"}, "Machine at Risk: Stay alert on current, tempA (Checked at: 2025-11-25T04:20:00.123456Z)"},
	} {
		if got := AlertText(c.affected, checked); got != c.want {
			t.Errorf("got %q, expected %q", got, c.want)
		}
	}
}

func TestAnomaliesAreKept(t *testing.T) {
	r := newRoom(t)
	day := 24 * time.Hour
	for _, days := range []int{0, 1, 85, 95, 95, 120} {
		for _, machine := range []string{"m", "m2"} {
			if err := r.AddAnomaly(fettle.Anomaly{Machine: machine, Time: at(0).Add(time.Duration(days) * day), Type: "tempA"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.reopen()
	for _, c := range []struct {
		n    int
		days []int
	}{{0, nil}, {2, []int{120, 95}}, {100, []int{120, 95, 85}}} {
		got, err := r.LastAnomalies("m", c.n)
		if err != nil || len(got) != len(c.days) {
			t.Fatalf("last %d are %v, err %v; expected those of days %v", c.n, got, err, c.days)
		}
		for i, days := range c.days {
			if !got[i].Time.Equal(at(0).Add(time.Duration(days) * day)) {
				t.Errorf("anomaly %d is of %v, expected day %d", i, got[i].Time, days)
			}
		}
	}
}
