package notify

import (
	"slices"
	"time"

	"fettle"
)

// told is who was told of an open alarm, and of which priority.
type told struct {
	Receivers []string        `json:"receivers"` // by name; empty: nobody is to know any more
	Priority  fettle.Priority `json:"priority"`
}

// A notice is one change of an alarm, as it waits to be told.
type notice struct {
	Change Change       `json:"change"`
	Alarm  fettle.Alarm `json:"alarm"` // as it was then
	Time   time.Time    `json:"time"`  // event time of the change
	At     time.Time    `json:"at"`    // wall clock
}

// news is what follows from changes of alarms.
type news struct {
	notices []addressed
	told    map[uint64]told // what is different now; no receivers: forget it
}

type addressed struct {
	notice
	receiver string
}

// sifting is what decides whether the alarms of a machine are news.
type sifting struct {
	until     time.Time // event time up to which the machine was judged
	oldest    time.Time // event time; alarms of before are news to nobody
	silent    bool      // nobody is to be told of open ones now
	receivers []Receiver
	known     map[uint64]told
}

// sift finds the news in alarms of one machine. An alarm that is open in a
// silence is news later, if it still is; one that ends is news to those who know
// of it.
func sift(alarms []fettle.Alarm, by sifting) news {
	s := news{told: map[uint64]told{}}
	for i, a := range alarms {
		was, changed := s.told[a.ID]
		if !changed {
			was = by.known[a.ID]
		}
		// Of an alarm that changes again in the same commit only its beginning
		// is known. One that stays as it is has lasted until now.
		last := !slices.ContainsFunc(alarms[i+1:], func(later fettle.Alarm) bool { return later.ID == a.ID })
		switch {
		case !a.Open():
			s.end(a, was, by.receivers)
		case by.silent:
		case last && !by.until.Before(by.oldest), !a.RaisedAt.Before(by.oldest):
			s.spread(a, was, by.until, by.receivers)
		}
	}
	return s
}

// end tells those who know of an alarm that it is over.
func (s *news) end(a fettle.Alarm, was told, receivers []Receiver) {
	if len(was.Receivers) == 0 {
		return
	}
	for _, r := range receivers {
		if slices.Contains(was.Receivers, r.Name) {
			s.add(r, notice{Change: Cleared, Alarm: a, Time: *a.ClearedAt})
		}
	}
	s.told[a.ID] = told{}
}

// spread tells those whose business an open alarm is and who do not know of
// it, or know a lower priority.
func (s *news) spread(a fettle.Alarm, was told, until time.Time, receivers []Receiver) {
	is := told{Receivers: slices.Clone(was.Receivers), Priority: a.Priority}
	rose := len(was.Receivers) > 0 && a.Priority.Rank() < was.Priority.Rank()
	for _, r := range receivers {
		switch {
		case !r.wants(a):
		case !slices.Contains(was.Receivers, r.Name):
			is.Receivers = append(is.Receivers, r.Name)
			s.add(r, notice{Change: Raised, Alarm: a, Time: a.RaisedAt})
		case rose:
			s.add(r, notice{Change: Escalated, Alarm: a, Time: until})
		}
	}
	if rose || len(is.Receivers) > len(was.Receivers) {
		s.told[a.ID] = is
	}
}

func (s *news) add(r Receiver, n notice) {
	if slices.Contains(r.On, n.Change) {
		s.notices = append(s.notices, addressed{n, r.Name})
	}
}
