package fettle

import "time"

// Priority ranks alarms by how soon a person should act.
type Priority string

// The priorities, most urgent first.
const (
	High   Priority = "high"
	Medium Priority = "medium"
	Low    Priority = "low"
)

// Rank orders priorities: 0 is the most urgent.
func (p Priority) Rank() int {
	switch p {
	case High:
		return 0
	case Medium:
		return 1
	default:
		return 2
	}
}

// AlarmState is where an alarm stands in its life (ISA-18.2).
type AlarmState string

// An alarm is raised, then acknowledged or cleared in either order. It is open
// while its condition lasts; one that cleared without ever being acknowledged
// stays listed until somebody has seen it.
const (
	Raised       AlarmState = "raised"       // condition true, nobody answered
	Acknowledged AlarmState = "acknowledged" // condition true, somebody saw it
	Cleared      AlarmState = "cleared"      // condition over
)

// An Alarm tells people that a machine needs them. There is at most one open
// alarm for each machine and cause.
type Alarm struct {
	ID             uint64     `json:"id"`
	Machine        string     `json:"machine"`
	Cause          string     `json:"cause" doc:"Sensor that explained most when it was raised"`
	Priority       Priority   `json:"priority" enum:"high,medium,low" doc:"The highest it reached"`
	State          AlarmState `json:"state" enum:"raised,acknowledged,cleared"`
	RaisedAt       time.Time  `json:"raised_at" doc:"Event time"`
	ClearedAt      *time.Time `json:"cleared_at,omitempty" doc:"Event time"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty" doc:"Wall clock"`
	AcknowledgedBy string     `json:"acknowledged_by,omitempty"`
	AcceptedBy     string     `json:"accepted_by,omitempty" doc:"Who said that what it told of is normal now, which ended it"`
	Note           string     `json:"note,omitempty" doc:"What people wrote who acknowledged or accepted it, a line each"`
	Score          float64    `json:"score" doc:"The newest score while open, the last one after"`
	PeakScore      float64    `json:"peak_score"`
	Causes         []Cause    `json:"causes" doc:"Sensors behind it, largest share first"`
	Sentence       string     `json:"sentence" doc:"Why, in words"`
}

// Open tells whether the alarm's condition still lasts.
func (a Alarm) Open() bool { return a.State != Cleared }

// Unanswered tells whether nobody has acknowledged the alarm yet.
func (a Alarm) Unanswered() bool { return a.AcknowledgedAt == nil }
