package alarm

import (
	"cmp"
	"slices"
	"time"

	"fettle"
)

// The rule's numbers.
const (
	raiseRows  = 3   // rows above Limits.RaiseAbove of the last window rows
	window     = 5   // judged rows
	clearRows  = 5   // judged rows in a row
	leastShare = 0.1 // of a sensor that belongs to an alarm
	// maxOpen bounds the open alarms of a machine. Trouble that moves through
	// more sensors than that is one trouble.
	maxOpen = 8
	// refreshEvery is how often an open alarm's newest score is told, in event
	// time.
	refreshEvery = 30 * time.Second
)

// Limits are the scores at which the rule acts. Scores above 1 are anomalous.
type Limits struct {
	RaiseAbove float64 // a row above it speaks for an alarm
	HighAbove  float64 // the alarm is of high priority
	ClearBelow float64 // a row below it speaks for the end
}

// DefaultLimits are those of a Book that nobody gave others.
func DefaultLimits() Limits { return Limits{RaiseAbove: 1, HighAbove: 2, ClearBelow: 0.9} }

// A rule follows the verdicts on one machine. It is kept with its cursor, so
// that after a restart it goes on where it was.
type rule struct {
	Cursor time.Time `json:"cursor"` // event time of the newest verdict followed
	Last   []row     `json:"last"`   // the newest judged rows, at most window of them, oldest first
	Below  int       `json:"below"`  // judged rows in a row below Limits.ClearBelow
}

// A row is what the rule remembers of a judged row.
type row struct {
	Over   bool   `json:"over"`             // above Limits.RaiseAbove
	Leader string `json:"leader,omitempty"` // the sensor that explained most, of a row above it
}

// An entry is an alarm with what the rule must know of it. Once it can be seen
// by others an entry never changes: a changed one takes its place.
type entry struct {
	Alarm  fettle.Alarm `json:"alarm"`
	Owns   []string     `json:"owns"`   // sensors that belong to the alarm, its cause first
	ToldAt time.Time    `json:"toldAt"` // event time at which its score was last told
}

// A machine is the rule and the open alarms of one machine while verdicts are
// followed: a working copy that counts once it is committed.
type machine struct {
	name     string
	rule     rule
	limits   Limits
	open     []*entry // own copies, oldest first
	closed   []*entry // cleared meanwhile
	told     []fettle.Alarm
	judged   bool // a row has been judged, so there is a newer score
	newID    func() uint64
	sentence func(fettle.Verdict) string
}

// follow takes the next verdict. Ones that were followed before are left out.
func (m *machine) follow(v fettle.Verdict) {
	if !v.Time.After(m.rule.Cursor) {
		return
	}
	m.rule.Cursor = v.Time
	if v.Learning {
		return
	}
	m.judged = true
	leader := m.rule.note(v, m.limits)
	for _, e := range m.open {
		e.Alarm.Score = v.Score
		e.Alarm.PeakScore = max(e.Alarm.PeakScore, v.Score)
	}
	if v.Score > m.limits.RaiseAbove {
		m.worsen(v, leader)
		m.raise(v, leader)
	}
	if m.rule.Below >= clearRows {
		m.clear(v)
	}
}

// note remembers a row and names its leader.
func (r *rule) note(v fettle.Verdict, limits Limits) (leader string) {
	over := v.Score > limits.RaiseAbove
	if over && len(v.Causes) > 0 {
		leader = v.Causes[0].Sensor
	}
	if len(r.Last) == window {
		r.Last = slices.Delete(r.Last, 0, 1)
	}
	r.Last = append(r.Last, row{over, leader})
	if v.Score < limits.ClearBelow {
		r.Below++
	} else {
		r.Below = 0
	}
	return leader
}

// count counts the remembered rows of which something is true.
func (r *rule) count(is func(row) bool) int {
	n := 0
	for _, row := range r.Last {
		if is(row) {
			n++
		}
	}
	return n
}

// worsen brings open alarms up to an anomalous row: what their sensors read
// now, and the priority of the one whose sensor leads.
func (m *machine) worsen(v fettle.Verdict, leader string) {
	for _, e := range m.open {
		if own := only(v.Causes, e.owns); len(own) > 0 {
			m.describe(e, v, own)
		}
		if v.Score > m.limits.HighAbove && e.Alarm.Priority != fettle.High && e.owns(leader) {
			e.Alarm.Priority = fettle.High
			m.tell(e)
		}
	}
}

// raise raises an alarm if the rows say so, and the leader has none yet.
func (m *machine) raise(v fettle.Verdict, leader string) {
	owned := slices.ContainsFunc(m.open, func(e *entry) bool { return e.owns(leader) })
	if owned || len(m.open) == maxOpen {
		return
	}
	supports := func(r row) bool { return r.Over && (len(m.open) == 0 || r.Leader == leader) }
	if m.rule.count(supports) < raiseRows {
		return
	}
	e := &entry{Alarm: fettle.Alarm{
		ID: m.newID(), Machine: m.name, Cause: leader, Priority: fettle.Medium, State: fettle.Raised,
		RaisedAt: v.Time, Score: v.Score, PeakScore: v.Score,
	}}
	if v.Score > m.limits.HighAbove {
		e.Alarm.Priority = fettle.High
	}
	causes := only(v.Causes, func(sensor string) bool {
		return !slices.ContainsFunc(m.open, func(other *entry) bool { return other.owns(sensor) })
	})
	for _, c := range causes {
		e.Owns = append(e.Owns, c.Sensor)
	}
	m.describe(e, v, causes)
	m.open = append(m.open, e)
	m.tell(e)
}

func (e *entry) owns(sensor string) bool {
	return sensor == e.Alarm.Cause || slices.Contains(e.Owns, sensor)
}

// only picks the causes that explain a good part and whose sensors are wanted.
func only(causes []fettle.Cause, want func(sensor string) bool) []fettle.Cause {
	var picked []fettle.Cause
	for _, c := range causes[:min(len(causes), fettle.MaxCauses)] {
		if c.Share >= leastShare && want(c.Sensor) {
			picked = append(picked, c)
		}
	}
	return picked
}

// describe says why: the alarm's own causes, as they are in a verdict.
func (m *machine) describe(e *entry, v fettle.Verdict, causes []fettle.Cause) {
	v.Causes = causes
	e.Alarm.Causes = causes
	e.Alarm.Sentence = m.sentence(v)
}

// clear ends all open alarms. Rows before that count for no new one.
func (m *machine) clear(v fettle.Verdict) {
	for _, e := range m.open {
		at := v.Time
		e.Alarm.State, e.Alarm.ClearedAt = fettle.Cleared, &at
		m.tell(e)
	}
	m.closed, m.open = append(m.closed, m.open...), nil
	m.rule.Last = nil
}

// accept ends all open alarms by a person's word.
func (m *machine) accept(at time.Time, by, note string) {
	for _, e := range m.open {
		a := &e.Alarm
		if a.Unanswered() {
			a.AcknowledgedAt, a.AcknowledgedBy = &at, by
		}
		a.AcceptedBy, a.Note = by, joined(a.Note, note)
	}
	m.clear(fettle.Verdict{Time: m.rule.Cursor})
}

// joined adds a line to what is written already.
func joined(text, line string) string {
	if text == "" || line == "" {
		return text + line
	}
	return text + "\n" + line
}

// refresh tells the score of open alarms, if that was long ago.
func (m *machine) refresh() {
	for _, e := range m.open {
		if m.judged && m.rule.Cursor.Sub(e.ToldAt) >= refreshEvery {
			m.tell(e)
		}
	}
}

// tell books a change that is to be told once it is committed.
func (m *machine) tell(e *entry) {
	e.ToldAt = m.rule.Cursor
	m.told = append(m.told, e.Alarm)
}

// worstFirst orders open alarms by what needs people most.
func worstFirst(a, b fettle.Alarm) int {
	return cmp.Or(
		cmp.Compare(a.Priority.Rank(), b.Priority.Rank()),
		cmp.Compare(b.Score, a.Score),
		a.RaisedAt.Compare(b.RaisedAt),
		cmp.Compare(a.ID, b.ID),
	)
}
