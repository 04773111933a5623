package fettle

import "time"

// A Verdict is what the detector says of one machine at one reading. A score
// of at most 1 is normal, above 1 anomalous.
type Verdict struct {
	Machine  string    `json:"machine"`
	Time     time.Time `json:"time" doc:"Event time of the judged reading"`
	Learning bool      `json:"learning,omitempty" doc:"Too few readings to judge by; the score is 0"`
	Score    float64   `json:"score" doc:"At most 1 is normal, above 1 anomalous"`
	Causes   []Cause   `json:"causes,omitempty" doc:"Sensors behind the score, largest share first, at most five"`
}

// MaxCauses bounds the causes that a verdict names.
const MaxCauses = 5

// A Cause is one sensor's part in a score, with what was expected of it.
type Cause struct {
	Sensor string  `json:"sensor"`
	Share  float64 `json:"share" doc:"Part of the score, 0..1"`
	Value  float64 `json:"value" doc:"What it read"`
	Low    float64 `json:"low" doc:"Lower end of what was usual while learning"`
	High   float64 `json:"high" doc:"Upper end of what was usual while learning"`
}

// Severities of an Anomaly, in the words of the old system.
const (
	SeverityLow    = "low"
	SeverityMedium = "medium"
	SeverityHigh   = "high"
)

// An Anomaly is the old min..max rule's finding about one forecast: a machine
// with at least one sensor whose forecast leaves the look-back's range in 30 %
// of its steps. Numbers of sensors are in their own units; the score is taken
// on scaled values, as the old system did.
type Anomaly struct {
	Machine  string          `json:"workspace_id"`
	Time     time.Time       `json:"time" doc:"Event time of the newest reading of the look-back"`
	Type     string          `json:"anomaly_type" doc:"The worst sensor"`
	Severity string          `json:"severity_level" enum:"low,medium,high"`
	Score    float64         `json:"severity_score"`
	Message  string          `json:"alert_message"`
	Affected []string        `json:"affected_features"`
	Sensors  []AnomalySensor `json:"sensors"`
}

// An AnomalySensor compares one sensor's last reading with the first forecast
// step. The deviation fields are set for sensors at risk only.
type AnomalySensor struct {
	Sensor           string  `json:"sensor"`
	Actual           float64 `json:"actual"`
	Predicted        float64 `json:"predicted"`
	AtRisk           bool    `json:"at_risk"`
	Deviation        float64 `json:"deviation,omitempty"`
	DeviationPercent float64 `json:"deviation_pct,omitempty"`
}
