package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"fettle"
)

// subject is the old system's.
const subject = "Machine Condition Alert"

// A letter is a message as it goes out.
type letter struct {
	id      string
	made    time.Time
	subject string
	text    string // plain text, for people
	json    []byte // an Envelope, for programs
}

// An Envelope is what a webhook gets, as JSON. The members are documented in
// docs/notices.md.
type Envelope struct {
	ID      string   `json:"id"`                // the same for every attempt at this message
	Time    string   `json:"time"`              // wall clock, when the message was made
	Text    string   `json:"text"`              // what an e-mail would say; chats show it
	Test    bool     `json:"test,omitempty"`    // somebody is testing
	Summary bool     `json:"summary,omitempty"` // of what was held back
	Notices []Notice `json:"notices"`           // at most 50, most urgent first
	More    int      `json:"more,omitempty"`    // further alarms, beside those
}

// A Notice is the newest change of one alarm.
type Notice struct {
	Change Change       `json:"change"`
	Time   string       `json:"time"` // event time of the change
	Link   string       `json:"link"` // the machine's page
	Alarm  fettle.Alarm `json:"alarm"`
}

// compose words a message.
func (b *Box) compose(m message, notices []notice) letter {
	alarms := newest(notices)
	shown := alarms[:min(len(alarms), maxShown)]
	e := Envelope{ID: m.ID, Time: stamp(m.Made), Summary: m.Summary, Notices: []Notice{}, More: len(alarms) - len(shown)}
	var blocks []string
	if m.Summary {
		blocks = append(blocks, fmt.Sprintf("This is a summary of %d changes of alarms since %s: no more than %d messages go out in an hour.", len(notices), stamp(notices[0].At), b.cfg.PerHour))
	}
	for _, n := range shown {
		link := b.cfg.Page() + "/m/" + url.PathEscape(n.Alarm.Machine)
		blocks = append(blocks, b.words(n)+"\n"+link)
		if n.Alarm.Causes == nil {
			n.Alarm.Causes = []fettle.Cause{} // never null
		}
		e.Notices = append(e.Notices, Notice{Change: n.Change, Time: stamp(n.Time), Link: link, Alarm: n.Alarm})
	}
	if e.More > 0 {
		blocks = append(blocks, fmt.Sprintf("And %d more alarms: %s", e.More, b.cfg.Page()))
	}
	l := letter{id: m.ID, made: m.Made, subject: subject}
	if !slices.ContainsFunc(alarms, func(n notice) bool { return n.Change != Cleared }) {
		l.subject += ": over"
	}
	return l.filled(e, blocks)
}

// composeTest words a message that only says that it arrives.
func (b *Box) composeTest(id string) letter {
	now := b.now().UTC()
	text := "This is a test. fettle will tell you about alarms in this way.\n" + b.cfg.Page()
	return letter{id: id, made: now, subject: subject + ": test"}.filled(Envelope{ID: id, Time: stamp(now), Test: true, Notices: []Notice{}}, []string{text})
}

// filled puts the text in, for people and for programs.
func (l letter) filled(e Envelope, blocks []string) letter {
	l.text = strings.Join(blocks, "\n\n") + "\n"
	e.Text = l.text
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("BUG: encode a notice: %v", err)) // an alarm has come from JSON
	}
	l.json = text
	return l
}

// newest leaves the last notice of each alarm, and puts what needs people most
// first. One whose priority rose before anybody was told is simply raised.
func newest(notices []notice) []notice {
	var alarms []notice
	at := map[uint64]int{}
	for _, n := range notices {
		if i, known := at[n.Alarm.ID]; known {
			if alarms[i].Change == Raised && n.Change == Escalated {
				n.Change, n.Time = Raised, alarms[i].Time
			}
			alarms[i] = n
			continue
		}
		at[n.Alarm.ID] = len(alarms)
		alarms = append(alarms, n)
	}
	slices.SortStableFunc(alarms, func(a, b notice) int {
		return cmp.Or(boolRank(a.Change == Cleared)-boolRank(b.Change == Cleared), cmp.Compare(a.Alarm.Priority.Rank(), b.Alarm.Priority.Rank()))
	})
	return alarms
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// words says what happened, in two lines. The first about an open alarm is the
// old system's.
func (b *Box) words(n notice) string {
	a := n.Alarm
	if n.Change == Cleared && a.AcceptedBy != "" {
		return fmt.Sprintf("Machine Condition Normal: %s says that how %s has been since %s is normal now.\nIt was: %s", a.AcceptedBy, a.Machine, stamp(a.RaisedAt), a.Sentence)
	}
	if n.Change == Cleared {
		return fmt.Sprintf("Machine Condition Normal: %s was at risk from %s to %s.\nIt was: %s", a.Machine, stamp(a.RaisedAt), stamp(n.Time), a.Sentence)
	}
	sensors := make([]string, len(a.Causes))
	for i, c := range a.Causes {
		sensors[i] = c.Sensor
	}
	if len(sensors) == 0 && a.Cause != "" {
		sensors = []string{a.Cause}
	}
	priority := "priority"
	if n.Change == Escalated {
		priority = "priority is now"
	}
	return fmt.Sprintf("%s\n%s, %s %s: %s", b.cfg.Alert(sensors, n.Time), a.Machine, priority, a.Priority, a.Sentence)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
