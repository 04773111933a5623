package web

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fettle"
)

const (
	firstSensors = 12  // sensors with a chart on the page; the rest are links
	mostLinks    = 500 // of those
	pastAlarms   = 5   // alarms of the machine beside the charts
)

// A machineView answers: what is wrong with this machine, how bad, since when?
type machineView struct {
	Name     string
	Chip     chip
	Alarms   []alarmRow // open or never answered, the most urgent first
	Also     []alarmRow // those of them that Why does not tell
	Answer   *alarmRow  // the most urgent unanswered one: what the button answers
	Accept   *alarmRow  // the most urgent open one: a person may say that this is normal now
	Why      string
	Silence  *silenceView // nil: people are told of its alarms
	Score    string
	Stale    bool
	Shares   []share
	Facts    []fact
	Training trainingView
	Ranges   []span
	Range    span
	Step     float64 // seconds between readings, 0 if unknown
	Ahead    string  // the forecaster whose forecast is drawn; empty if there is none
	Horizons []horizon
	Charts   []chart
	More     []link // sensors without a chart
	Unlisted int    // and those not even listed
	Past     []alarmRow
	PastHref string
}

// A share is one sensor's bar in the panel of causes.
type share struct {
	Sensor  string
	Percent string
	Width   int // 0..100
	Ink     int // 1 darkest .. 3
	Usual   string
}

// A fact is a line of the panel about the machine's data.
type fact struct {
	Name string
	Text string
	Time *moment
}

// A chart is the box of one sensor's curve, which the script fills.
type chart struct {
	ID     string
	Sensor string
	Unit   string
	Value  string
	Usual  string // "usual 4.1–5.6"
	Low    string // the same for the script; empty if unknown
	High   string
	Held   string // how the band of its forecast held, beside the promise
}

func (s *Site) machine(r *http.Request, c clock) view {
	name := r.PathValue("machine")
	machines := s.deps.Machines()
	i := slices.IndexFunc(machines, func(m fettle.Machine) bool { return m.Name == name })
	if i < 0 {
		return notFound("There is no machine named " + fettle.Shorten(name) + ".")
	}
	m := machines[i]
	return view{http.StatusOK, "machine.html", frame{
		Title: name, Page: "machine", Section: "fleet",
		Watch: "readings,verdict,alarm,model,training,silence", Machine: name, Body: s.machineView(r, m, c),
	}}
}

func (s *Site) machineView(r *http.Request, m fettle.Machine, c clock) machineView {
	query := r.URL.Query()
	v := machineView{
		Name: m.Name, Chip: machineChip(m), Why: words(m.Sentence), Score: scoreText(m), Stale: m.State == fettle.StateNoData,
		Step: m.StepSeconds, PastHref: "/alarms?state=all&machine=" + url.QueryEscape(m.Name),
		Silence: silenceOf(m, c),
	}
	v.alarms(s.deps.Alarms("all", m.Name, mostAlarms), m, c)
	causes := s.causes(m)
	v.Shares = shares(causes, s.deps.Unit)
	v.Horizons, v.Ahead = horizons(s.deps.Ahead(r.Context(), m.Name), query)
	v.Ranges, v.Range = spans(m.StepSeconds, query)
	v.charts(m, causes, query, s.deps.Unit)
	v.facts(m, c)
	v.Training = s.trainingView(m.Name, c)
	if v.Ahead != "" {
		v.trust(s.deps.Trust(m.Name, v.Ahead))
	}
	return v
}

// alarms sorts the machine's alarms: what is open or was never answered stands
// on top, the rest is the past.
func (v *machineView) alarms(all []fettle.Alarm, m fettle.Machine, c clock) {
	for _, a := range sortAlarms(all) {
		if !a.Open() && !a.Unanswered() {
			if len(v.Past) < pastAlarms {
				v.Past = append(v.Past, alarmRowOf(a, m.Last, c))
			}
			continue
		}
		v.Alarms = append(v.Alarms, alarmRowOf(a, m.Last, c))
	}
	if len(v.Alarms) == 0 {
		return
	}
	first := v.Alarms[0]
	if m.State != fettle.StateNoData {
		v.Chip = first.Chip
	}
	v.Also = v.Alarms
	if first.Cleared == nil {
		v.Why, v.Also = cmp.Or(first.Why, v.Why), v.Alarms[1:]
	}
	if i := slices.IndexFunc(v.Alarms, func(a alarmRow) bool { return a.Unanswered }); i >= 0 {
		v.Answer = &v.Alarms[i]
	}
	if first.Cleared == nil {
		v.Accept = &v.Alarms[0]
	}
}

// leastShare leaves sensors that explain next to nothing out of the picture.
const leastShare = 0.05

// causes are the sensors behind the machine's trouble: by the newest verdict,
// or as the open alarm keeps them; none while all is well.
func (s *Site) causes(m fettle.Machine) []fettle.Cause {
	return slices.DeleteFunc(slices.Clone(s.allCauses(m)), func(c fettle.Cause) bool { return c.Share < leastShare })
}

func (s *Site) allCauses(m fettle.Machine) []fettle.Cause {
	if m.State == fettle.StateNoData || m.State == fettle.StateLearning {
		return nil
	}
	if verdict, known := s.deps.Verdict(m.Name); known && len(verdict.Causes) > 0 && (verdict.Score > 1 || len(m.Alarms) > 0) {
		return verdict.Causes
	}
	if len(m.Alarms) > 0 {
		return m.Alarms[0].Causes
	}
	return nil
}

func shares(causes []fettle.Cause, unit func(string) string) []share {
	var bars []share
	for i, c := range causes {
		percent := int(math.Round(100 * c.Share))
		bars = append(bars, share{
			Sensor: c.Sensor, Percent: strconv.Itoa(percent) + " %", Width: min(100, max(0, percent)), Ink: min(3, i+1),
			Usual: usual(c, unit(c.Sensor)),
		})
	}
	return bars
}

// usual is the range in which a sensor was while its machine was learned.
func usual(c fettle.Cause, unit string) string {
	if c.Low == 0 && c.High == 0 {
		return ""
	}
	digits, between := decimals(max(math.Abs(c.Low), math.Abs(c.High))), "–"
	if c.Low < 0 {
		between = " to "
	}
	return "usual " + withUnit(fixed(c.Low, digits)+between+fixed(c.High, digits), unit)
}

// charts gives every sensor its box. Sensors behind the oldest open alarm come
// first: its cause, then by name the others that belong to it. That order holds
// still, while the order of their shares changes with every reading.
func (v *machineView) charts(m fettle.Machine, causes []fettle.Cause, query url.Values, unit func(string) string) {
	known := map[string]fettle.Cause{}
	var suspects []string
	for _, a := range slices.SortedFunc(slices.Values(m.Alarms), func(a, b fettle.Alarm) int { return a.RaisedAt.Compare(b.RaisedAt) }) {
		var others []string
		for _, c := range a.Causes {
			known[c.Sensor] = c
			others = append(others, c.Sensor)
		}
		slices.Sort(others)
		suspects = append(append(suspects, a.Cause), others...)
	}
	for _, c := range causes {
		known[c.Sensor] = c
	}
	order := append([]string{}, query["sensor"]...)
	order = append(append(order, suspects...), m.Sensors...)
	latest := map[string]float64{}
	for _, value := range m.Latest {
		latest[value.Sensor] = value.Value
	}
	exists, shown := setOf(m.Sensors), map[string]bool{}
	for _, sensor := range order {
		if !exists[sensor] || shown[sensor] {
			continue
		}
		shown[sensor] = true
		if len(v.Charts) == firstSensors {
			v.link(m.Name, sensor)
			continue
		}
		box := chart{ID: "chart-" + url.PathEscape(sensor), Sensor: sensor, Unit: unit(sensor), Value: "–"}
		if value, found := latest[sensor]; found {
			box.Value = withUnit(number(value), box.Unit)
		}
		if cause, found := known[sensor]; found && (cause.Low != 0 || cause.High != 0) {
			box.Usual = usual(cause, "")
			box.Low, box.High = strconv.FormatFloat(cause.Low, 'g', -1, 64), strconv.FormatFloat(cause.High, 'g', -1, 64)
		}
		v.Charts = append(v.Charts, box)
	}
}

func (v *machineView) link(machine, sensor string) {
	if len(v.More) == mostLinks {
		v.Unlisted++
		return
	}
	v.More = append(v.More, link{Text: sensor, Href: machineURL(machine) + "?sensor=" + url.QueryEscape(sensor)})
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

func (v *machineView) facts(m fettle.Machine, c clock) {
	last, first := c.at(m.Last), c.at(m.First)
	v.Facts = append(v.Facts, fact{Name: "Last reading", Time: &last})
	if m.StepSeconds > 0 {
		v.Facts = append(v.Facts, fact{Name: "Rhythm", Text: "every " + Rhythm(m.StepSeconds)})
	}
	v.Facts = append(v.Facts, fact{Name: "Stored", Text: plural(int(m.Rows), "reading", "readings")}, fact{Name: "Since", Time: &first})
	if m.Model != "" {
		v.Facts = append(v.Facts, fact{Name: "Model", Text: m.Model})
	} else {
		v.Facts = append(v.Facts, fact{Name: "Model", Text: "none yet"})
	}
}

// Rhythm writes the time between two readings, which may be less than a second.
func Rhythm(seconds float64) string {
	if seconds < 60 {
		return strconv.FormatFloat(seconds, 'g', 3, 64) + " s"
	}
	return Duration(time.Duration(seconds * float64(time.Second)))
}

// A span is how far back the charts look.
type span struct {
	Text    string
	Value   string // in the address, ?range=15m0s
	Href    string
	Seconds int
	Rows    int // readings to ask for
	Current bool
}

// niceSpans are the spans that a person would name.
var niceSpans = [...]time.Duration{
	time.Minute, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	2 * 24 * time.Hour, 5 * 24 * time.Hour, 10 * 24 * time.Hour, 20 * 24 * time.Hour, 30 * 24 * time.Hour, 90 * 24 * time.Hour,
}

// spans offers three spans that suit the machine's rhythm: enough readings to
// see the forecast drawn on, some hundreds, and some thousands. It returns the
// chosen one beside them: unless the address says otherwise the shortest, or the
// longest if it looks ahead further than a few readings.
func spans(step float64, query url.Values) ([]span, span) {
	if step <= 0 {
		step = 2 // unknown yet: the old machines' rhythm
	}
	var offered []span
	for _, rows := range [...]float64{80, 450, 3600} {
		least := time.Duration(rows * step * float64(time.Second))
		i := slices.IndexFunc(niceSpans[:], func(d time.Duration) bool { return d >= least })
		if i < 0 {
			i = len(niceSpans) - 1
		}
		d := niceSpans[i]
		if n := len(offered); n > 0 && offered[n-1].Seconds == int(d/time.Second) {
			continue
		}
		offered = append(offered, span{
			Text: Duration(d), Value: d.String(), Href: hrefWith(query, "range", d.String()),
			Seconds: int(d / time.Second), Rows: int(math.Ceil(d.Seconds()/step)) + 1,
		})
	}
	chosen := slices.IndexFunc(offered, func(o span) bool { return o.Value == query.Get("range") })
	if ahead := query.Get("ahead"); chosen < 0 && ahead != "" && ahead != fettle.ShortForecaster {
		chosen = len(offered) - 1
	}
	chosen = max(0, chosen)
	offered[chosen].Current = true
	return offered, offered[chosen]
}

// A horizon is a choice of how far ahead the charts look.
type horizon struct {
	Text    string // the forecaster's name
	Href    string
	Current bool
}

// horizons offers the forecasters that there are, if there is a choice, and
// returns the chosen one beside them.
func horizons(names []string, query url.Values) (offered []horizon, chosen string) {
	if len(names) == 0 {
		return nil, ""
	}
	if chosen = query.Get("ahead"); !slices.Contains(names, chosen) {
		chosen = names[0]
	}
	if len(names) == 1 {
		return nil, chosen
	}
	for _, name := range names {
		offered = append(offered, horizon{Text: name, Href: hrefWith(query, "ahead", name), Current: name == chosen})
	}
	return offered, chosen
}

// hrefWith is the same page with one choice made anew, and the others kept.
func hrefWith(query url.Values, key, value string) string {
	choices := url.Values{}
	for _, kept := range [...]string{"range", "sensor", "ahead"} {
		if values := query[kept]; len(values) > 0 {
			choices[kept] = values
		}
	}
	choices.Set(key, value)
	return "?" + choices.Encode()
}
