package fettle

import "time"

// SilenceKind says why nobody wants to hear of a machine.
type SilenceKind string

// The kinds of silences.
const (
	SilenceNotices SilenceKind = "silence" // people know of its alarms already, or can do nothing
	SilenceService SilenceKind = "service" // somebody works on it: what its sensors say is not the machine's doing
)

// A Silence is a stretch of time in which nobody is told of a machine's alarms,
// and from whose readings nothing is learned. Alarms are raised, listed and
// cleared as ever; one that lasts when it is over is told then. No silence is for
// ever.
type Silence struct {
	ID      uint64      `json:"id"`
	Machine string      `json:"machine"`
	Kind    SilenceKind `json:"kind" enum:"silence,service"`
	From    time.Time   `json:"from" doc:"Wall clock, and event time of the readings that are not learned from"`
	Until   time.Time   `json:"until" doc:"When it is over, or was ended"`
	Why     string      `json:"why"`
	By      string      `json:"by"`
	Created time.Time   `json:"created" doc:"Wall clock"`
	EndedBy string      `json:"ended_by,omitempty" doc:"Who ended it before its time"`
}

// At tells whether the silence is in force at a time.
func (s Silence) At(t time.Time) bool { return !t.Before(s.From) && t.Before(s.Until) }

// Interval is the event time from which nothing is learned.
func (s Silence) Interval() Interval { return Interval{From: s.From, To: s.Until} }
