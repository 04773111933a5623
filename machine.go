package fettle

import "time"

// MachineState says in one word how a machine is doing.
type MachineState string

// The states, the one that needs people most first.
const (
	StateAlarm    MachineState = "alarm"    // an alarm is open
	StateNoData   MachineState = "no data"  // silent for longer than its rhythm allows
	StateLearning MachineState = "learning" // too few readings to judge it
	StateNormal   MachineState = "normal"
)

// Rank orders states: 0 needs people most.
func (s MachineState) Rank() int {
	switch s {
	case StateAlarm:
		return 0
	case StateNoData:
		return 1
	case StateLearning:
		return 2
	default:
		return 3
	}
}

// A Machine is the summary of one machine: what is known of it now.
type Machine struct {
	Name        string       `json:"name"`
	State       MachineState `json:"state" enum:"alarm,no data,learning,normal"`
	Sensors     []string     `json:"sensors"`
	Rows        int64        `json:"rows" doc:"Readings stored"`
	First       time.Time    `json:"first" doc:"Event time of the oldest reading"`
	Last        time.Time    `json:"last" doc:"Event time of the newest reading: the machine's watermark"`
	Arrived     time.Time    `json:"arrived" doc:"Wall clock of the last arrival since the start; zero if none"`
	StepSeconds float64      `json:"step_seconds" doc:"Its usual time between readings; 0 while unknown"`
	Latest      []Value      `json:"latest" doc:"The newest value of each sensor"`
	Score       float64      `json:"score"`
	Sentence    string       `json:"sentence" doc:"Why it is in this state, in words"`
	Model       string       `json:"model,omitempty" doc:"The champion's name; absent while it has none"`
	Alarms      []Alarm      `json:"alarms,omitempty" doc:"Its open alarms, worst first"`
	Silence     *Silence     `json:"silence,omitempty" doc:"In force: nobody is told of its alarms"`
}
