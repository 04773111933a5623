package web

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fettle"
)

const (
	openGroup = 10  // a group of at most so many machines needs no click to be seen
	pageRows  = 100 // normal machines on one page; exceptions are never paged away
	fewRows   = 50  // up to here the page follows every verdict, beyond only alarms
)

// A fleet answers: who needs me?
type fleet struct {
	Headline string
	Calm     bool // nobody needs anybody
	Summary  string
	Groups   []group
	First    *firstRun
}

// A group is a table of machines in one state.
type group struct {
	ID      string // attention, no-data, learning, normal
	Title   string // empty: it stands open under the headline
	Open    bool
	Rows    []row
	More    string // "machines 1–100 of 977"
	Earlier string // address of the page before, if there is one
	Later   string
}

// A row is one machine.
type row struct {
	ID      string
	Name    string
	Href    string
	Chip    chip
	Tint    bool
	Why     string
	Score   string
	Stale   bool
	Seen    moment
	HasSeen bool
}

// firstRun is what the page says while there is no machine.
type firstRun struct {
	Publish  string
	Simulate string
}

func (s *Site) fleet(r *http.Request, c clock) view {
	machines := s.deps.Machines()
	f := frame{Title: "Fleet", Page: "fleet", Section: "fleet", Watch: "alarm,verdict,model"}
	if len(machines) > fewRows {
		f.Watch = "alarm,model"
	}
	if len(machines) == 0 {
		f.Watch, f.Body = "readings", fleet{Headline: "No machine has sent a reading yet", Calm: true, First: s.firstRun()}
		return view{http.StatusOK, "fleet.html", f}
	}
	f.Body = fleetOf(machines, c, r.URL.Query())
	return view{http.StatusOK, "fleet.html", f}
}

func (s *Site) firstRun() *firstRun {
	host, port, err := net.SplitHostPort(s.deps.Broker())
	if err != nil {
		host, port = s.deps.Broker(), "1883"
	}
	if host == "" || host == "0.0.0.0" || host == "::" { // listens everywhere: this host is one of them
		host = "127.0.0.1"
	}
	return &firstRun{
		Publish:  "mosquitto_pub -h " + host + " -p " + port + ` -t fettle/pump-07/readings -m '{"temperature": 61.2}'`,
		Simulate: "fettle simulate --broker mqtt://" + net.JoinHostPort(host, port),
	}
}

// fleetOf sorts machines, worst first, into groups.
func fleetOf(machines []fettle.Machine, c clock, query url.Values) fleet {
	states := map[fettle.MachineState][]row{}
	for _, m := range machines {
		states[m.State] = append(states[m.State], rowOf(m, c))
	}
	alarm, silent := states[fettle.StateAlarm], states[fettle.StateNoData]
	learning, normal := states[fettle.StateLearning], states[fettle.StateNormal]
	f := fleet{}
	var rest []string
	tell := func(n int, words string) {
		if n > 0 {
			rest = append(rest, fixed(float64(n), 0)+" "+words)
		}
	}
	switch {
	case len(alarm) > 0:
		f.Headline = plural(len(alarm), "machine needs attention", "machines need attention")
		tell(len(silent), "without data")
		tell(len(learning), "learning")
		tell(len(normal), "normal")
	case len(silent) > 0:
		f.Headline = plural(len(silent), "machine without data", "machines without data")
		tell(len(learning), "learning")
		tell(len(normal), "normal")
	case len(learning) > 0:
		f.Headline, f.Calm = plural(len(learning), "machine learning", "machines learning"), true
		tell(len(normal), "normal")
	case len(normal) == 1:
		f.Headline, f.Calm = "The machine is normal", true
	default:
		f.Headline, f.Calm = "All "+fixed(float64(len(normal)), 0)+" machines normal", true
	}
	f.Summary = strings.Join(rest, " · ")
	if len(alarm) > 0 {
		f.Groups = append(f.Groups, group{ID: "attention", Open: true, Rows: alarm})
	}
	f.add("no-data", "without data", silent)
	f.add("learning", "learning", learning)
	f.add("normal", "normal", normal)
	if n := len(f.Groups); n > 0 && f.Groups[n-1].ID == "normal" {
		f.Groups[n-1].turn(query)
	}
	if len(f.Groups) == 1 {
		f.Groups[0].Title, f.Groups[0].Open = "", true // the headline has said it
	}
	return f
}

func (f *fleet) add(id, words string, rows []row) {
	if len(rows) == 0 {
		return
	}
	title := fixed(float64(len(rows)), 0) + " " + words
	f.Groups = append(f.Groups, group{ID: id, Title: title, Open: len(rows) <= openGroup, Rows: rows})
}

// turn keeps one page of a long group, the one that ?from=N begins.
func (g *group) turn(query url.Values) {
	all := len(g.Rows)
	if all <= pageRows {
		return
	}
	from, err := strconv.Atoi(query.Get("from"))
	if err != nil || from < 1 || from > all {
		from = 1
	}
	to := min(all, from+pageRows-1)
	g.Rows = g.Rows[from-1 : to]
	g.Open = query.Has("from")
	g.More = "machines " + fixed(float64(from), 0) + "–" + fixed(float64(to), 0) + " of " + fixed(float64(all), 0)
	if from > 1 {
		g.Earlier = "?from=" + strconv.Itoa(max(1, from-pageRows)) + "#normal"
	}
	if to < all {
		g.Later = "?from=" + strconv.Itoa(to+1) + "#normal"
	}
}

func rowOf(m fettle.Machine, c clock) row {
	r := row{
		ID: "row-" + url.PathEscape(m.Name), Name: m.Name, Href: machineURL(m.Name), Chip: machineChip(m),
		Why: words(m.Sentence), Score: scoreText(m), Stale: m.State == fettle.StateNoData,
	}
	if len(m.Alarms) > 0 {
		first := pressing(m)
		r.Tint = first.Priority == fettle.High && first.Unanswered()
		r.Why = words(cmp.Or(first.Sentence, m.Sentence))
	}
	if seen := lastSeen(m); !seen.IsZero() {
		r.Seen, r.HasSeen = c.at(seen), true
	}
	return r
}

// lastSeen is when the machine last sent something: by the wall clock, or, when
// nothing has come since the start, the time of its newest reading.
func lastSeen(m fettle.Machine) time.Time {
	if m.Arrived.IsZero() {
		return m.Last
	}
	return m.Arrived
}
