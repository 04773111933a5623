package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fettle"
)

// An alarmsView answers: what is unanswered?
type alarmsView struct {
	Tabs     []link
	Headline string
	Machine  string // only this machine's; empty: all
	AllHref  string
	Rows     []alarmRow
	Full     bool // there may be more than the page shows
	Most     string
}

// An alarmRow is one alarm, in the list and on its machine's page.
type alarmRow struct {
	ID         string
	Chip       chip
	Machine    string
	Href       string
	Why        string
	Raised     moment
	Cleared    *moment
	Lasted     string // "22 min"
	State      string // "unanswered", "acknowledged by Ann"
	Note       string
	Unanswered bool
	Peak       string
}

func (s *Site) alarms(r *http.Request, c clock) view {
	query := r.URL.Query()
	machine := query.Get("machine")
	unanswered := s.deps.Alarms("unanswered", machine, mostAlarms)
	open := s.deps.Alarms("open", machine, mostAlarms)
	v := alarmsView{Machine: machine, AllHref: "/alarms", Most: fixed(mostAlarms, 0)}
	state, list := query.Get("state"), unanswered
	switch state {
	case "open":
		list = open
	case "all":
		list = s.deps.Alarms("all", machine, mostAlarms)
		v.AllHref += "?state=all"
	default:
		state = "unanswered"
	}
	if state == "open" {
		v.AllHref += "?state=open"
	}
	v.Tabs = tabs(state, machine, len(unanswered), len(open))
	v.Headline = headline(state, len(list))
	v.Full = len(list) >= mostAlarms
	lasts := s.watermarks()
	for _, a := range sortAlarms(list) {
		v.Rows = append(v.Rows, alarmRowOf(a, lasts[a.Machine], c))
	}
	return view{http.StatusOK, "alarms.html", frame{Title: "Alarms", Page: "alarms", Section: "alarms", Watch: "alarm", Body: v}}
}

// watermarks is the newest reading's time of each machine: the now of its
// alarms, which last in event time.
func (s *Site) watermarks() map[string]time.Time {
	lasts := map[string]time.Time{}
	for _, m := range s.deps.Machines() {
		lasts[m.Name] = m.Last
	}
	return lasts
}

func tabs(state, machine string, unanswered, open int) []link {
	numbered := func(text string, n int) string {
		if n == 0 {
			return text
		}
		return text + " " + strconv.Itoa(n)
	}
	var links []link
	for _, tab := range []struct{ state, text string }{
		{"unanswered", numbered("Unanswered", unanswered)}, {"open", numbered("Open", open)}, {"all", "History"},
	} {
		query := url.Values{"state": {tab.state}}
		if machine != "" {
			query.Set("machine", machine)
		}
		links = append(links, link{Text: tab.text, Href: "/alarms?" + query.Encode(), Current: tab.state == state})
	}
	return links
}

func headline(state string, n int) string {
	switch {
	case state == "unanswered" && n == 0:
		return "Every alarm is answered"
	case state == "unanswered":
		return plural(n, "unanswered alarm", "unanswered alarms")
	case state == "open" && n == 0:
		return "No alarm is open"
	case state == "open":
		return plural(n, "open alarm", "open alarms")
	case n == 0:
		return "There has been no alarm yet"
	default:
		return plural(n, "alarm", "alarms")
	}
}

// sortAlarms puts what needs a person first: open and unanswered, open, cleared
// but unanswered, the past; in each the most urgent, then the newest.
func sortAlarms(alarms []fettle.Alarm) []fettle.Alarm {
	rank := func(a fettle.Alarm) int {
		switch {
		case a.Open() && a.Unanswered():
			return 0
		case a.Open():
			return 1
		case a.Unanswered():
			return 2
		default:
			return 3
		}
	}
	return slices.SortedStableFunc(slices.Values(alarms), func(a, b fettle.Alarm) int {
		order := cmp.Compare(rank(a), rank(b))
		if order == 0 && rank(a) < 3 {
			order = cmp.Compare(a.Priority.Rank(), b.Priority.Rank())
		}
		return cmp.Or(order, b.RaisedAt.Compare(a.RaisedAt), cmp.Compare(b.ID, a.ID))
	})
}

// alarmRowOf writes an alarm for a reader; last is its machine's newest reading.
func alarmRowOf(a fettle.Alarm, last time.Time, c clock) alarmRow {
	r := alarmRow{
		ID: strconv.FormatUint(a.ID, 10), Chip: alarmChip(a), Machine: a.Machine, Href: machineURL(a.Machine), Why: words(a.Sentence),
		Raised: c.at(a.RaisedAt), Note: a.Note, Unanswered: a.Unanswered(), Peak: fixed(a.PeakScore, 1),
	}
	if r.Why == "" {
		r.Why = a.Cause
	}
	end := last
	if a.ClearedAt != nil {
		end = *a.ClearedAt
		cleared := c.at(end)
		r.Cleared = &cleared
	}
	if end.After(a.RaisedAt) {
		r.Lasted = Duration(end.Sub(a.RaisedAt))
	}
	r.State = "unanswered"
	if !a.Unanswered() {
		r.State = "acknowledged"
	}
	if a.AcknowledgedBy != "" {
		r.State += " by " + a.AcknowledgedBy
	}
	if a.AcceptedBy != "" {
		r.State = "normal now, said " + a.AcceptedBy
	}
	return r
}
