package fettle

import (
	"encoding/json"
	"time"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds. Curves (readings, forecasts, verdicts) may be thinned for a slow
// reader, the newest winning; the rest are never dropped.
const (
	EventReadings EventKind = "readings" // Data: a Reading, the machine's newest
	EventForecast EventKind = "forecast" // Data: a Forecast
	EventVerdict  EventKind = "verdict"  // Data: a Verdict, the machine's newest
	EventAlarm    EventKind = "alarm"    // Data: an Alarm
	EventModel    EventKind = "model"    // Data: a Model
	EventTraining EventKind = "training" // Data: a Training
	EventTunnel   EventKind = "tunnel"   // Data: a Tunnel
	EventSettings EventKind = "settings" // Data: a SettingsChange
	EventSilence  EventKind = "silence"  // Data: a Silence that has begun, or was ended
)

// Curve tells whether only the newest event of this kind and machine matters.
func (k EventKind) Curve() bool {
	return k == EventReadings || k == EventForecast || k == EventVerdict
}

// An Event is a change that a person could want to see. Numbers ascend, and
// stay ascending over restarts; they may have gaps.
type Event struct {
	Number  uint64          `json:"number"`
	Time    time.Time       `json:"time" doc:"Wall clock"`
	Kind    EventKind       `json:"kind" enum:"readings,forecast,verdict,alarm,model,training,tunnel,settings,silence"`
	Machine string          `json:"machine,omitempty"`
	Data    json.RawMessage `json:"data"`
}
