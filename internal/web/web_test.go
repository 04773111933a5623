package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

var noon = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)

// siteOf is a site over fixed machines and alarms, at noon in the plant's zone.
func siteOf(t *testing.T, machines []fettle.Machine, alarms ...fettle.Alarm) *Site {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	site, err := New(Deps{
		Machines: func() []fettle.Machine { return machines },
		Alarms: func(state, machine string, limit int) []fettle.Alarm {
			return slices.DeleteFunc(slices.Clone(alarms), func(a fettle.Alarm) bool {
				return machine != "" && a.Machine != machine || state == "open" && !a.Open() || state == "unanswered" && !a.Unanswered()
			})
		},
		Unit: func(sensor string) string { return map[string]string{"tempA": "°C"}[sensor] },
		Zone: zone, Now: func() time.Time { return noon }, Version: "1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	return site
}

func get(t *testing.T, site *Site, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	site.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	tags   = regexp.MustCompile(`(?s)<svg.*?</svg>|<head>.*?</head>|<span class="unseen">[^<]*</span>|<[^>]*>`)
	spaces = regexp.MustCompile(`[ \n]+`)
)

// seen is what a person reads on a page, in one line.
func seen(html string) string {
	return strings.ReplaceAll(strings.TrimSpace(spaces.ReplaceAllString(tags.ReplaceAllString(html, " "), " ")), " ,", ",")
}

func normal(name string) fettle.Machine {
	return fettle.Machine{
		Name: name, State: fettle.StateNormal, Sensors: []string{"tempA"}, Rows: 12345, First: noon.Add(-50 * time.Hour), Last: noon.Add(-2 * time.Second),
		Arrived: noon.Add(-2 * time.Second), StepSeconds: 2, Latest: []fettle.Value{{Sensor: "tempA", Value: 61.234}}, Score: 0.64, Sentence: "All sensors as usual.",
	}
}

func silent(name string) fettle.Machine {
	m := normal(name)
	m.State, m.Arrived, m.Sentence = fettle.StateNoData, noon.Add(-3*time.Minute), "No data for 3 min."
	return m
}

func raised(id uint64, machine string, priority fettle.Priority) fettle.Alarm {
	return fettle.Alarm{
		ID: id, Machine: machine, Cause: "tempA", Priority: priority, State: fettle.Raised, RaisedAt: noon.Add(-22 * time.Minute), Score: 2.34, PeakScore: 2.5,
		Causes: []fettle.Cause{{Sensor: "tempA", Share: 0.62, Value: 81.2, Low: 61, High: 70.3}}, Sentence: "tempA is 81.2 °C; 61.0–70.3 usual.",
	}
}

func silenced(m fettle.Machine, kind fettle.SilenceKind) fettle.Machine {
	m.Silence = &fettle.Silence{ID: 3, Machine: m.Name, Kind: kind, Until: noon.Add(time.Hour), Why: "coupling ordered", By: "Ann"}
	return m
}

func acknowledged(a fettle.Alarm, by string) fettle.Alarm {
	at := noon.Add(-time.Minute)
	a.AcknowledgedAt, a.AcknowledgedBy = &at, by
	if a.Open() {
		a.State = fettle.Acknowledged
	}
	return a
}

func cleared(a fettle.Alarm) fettle.Alarm {
	at := noon.Add(-2 * time.Minute)
	a.State, a.ClearedAt = fettle.Cleared, &at
	return a
}

func alarmed(name string, alarms ...fettle.Alarm) fettle.Machine {
	m := normal(name)
	m.State, m.Alarms, m.Sentence, m.Score = fettle.StateAlarm, alarms, alarms[0].Sentence, alarms[0].Score
	return m
}

func TestNewNeedsItsFunctions(t *testing.T) {
	if _, err := New(Deps{}); err == nil {
		t.Error("a site without machines was made")
	}
}

func TestFleetSays(t *testing.T) {
	high, medium := raised(1, "Pump 07", fettle.High), acknowledged(raised(2, "Fan 12", fettle.Medium), "Ann")
	learning := normal("Press")
	learning.State, learning.Sentence = fettle.StateLearning, "Learning what is usual: 20 readings so far."
	for _, c := range []struct {
		name     string
		machines []fettle.Machine
		want     string
	}{
		{"all well", []fettle.Machine{normal("A"), normal("B")},
			"All 2 machines normal Priority Machine Why Score Recent Seen Normal A All sensors as usual. score 0.6 2 s Normal B All sensors as usual. score 0.6 2 s"},
		{"an alarm, and the rest", []fettle.Machine{alarmed("Pump 07", high), silent("S"), learning, normal("A")},
			"1 machine needs attention 1 without data · 1 learning · 1 normal The order has changed. Sort again Priority Machine Why Score Recent Seen High Pump 07 tempA is 81.2 °C; 61.0–70.3 usual. score 2.3 2 s 1 without data"},
		{"acknowledged", []fettle.Machine{alarmed("Fan 12", medium)}, "1 machine needs attention The order has changed. Sort again Priority Machine Why Score Recent Seen Medium Fan 12"},
		{"silent: no score, and how old it is", []fettle.Machine{silent("S")}, "No data S No data for 3 min. score – 3 min old"},
		{"learning: no score", []fettle.Machine{learning}, "1 machine learning"},
		{"nobody yet", nil, "No machine has sent a reading yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.ReplaceAll(seen(body(t, get(t, siteOf(t, c.machines), "/"))), "The order has changed. Sort again Priority", "Priority")
			if want := strings.ReplaceAll(c.want, "The order has changed. Sort again Priority", "Priority"); !strings.Contains(text, want) {
				t.Errorf("the page says\n%s\nwithout\n%s", text, want)
			}
		})
	}
}

func TestFirstRunNamesTheBroker(t *testing.T) {
	for broker, want := range map[string][2]string{
		"":                {"mosquitto_pub -h 127.0.0.1 -p 1883 ", "mqtt://127.0.0.1:1883"},
		"0.0.0.0:1884":    {"mosquitto_pub -h 127.0.0.1 -p 1884 ", "mqtt://127.0.0.1:1884"},
		"[::]:1883":       {"mosquitto_pub -h 127.0.0.1 -p 1883 ", "mqtt://127.0.0.1:1883"},
		"plant.local:883": {"mosquitto_pub -h plant.local -p 883 ", "mqtt://plant.local:883"},
	} {
		site := siteOf(t, nil)
		if broker != "" {
			site.deps.Broker = func() string { return broker }
		}
		text := body(t, get(t, site, "/"))
		if !strings.Contains(text, want[0]) || !strings.Contains(text, want[1]) {
			t.Errorf("%q: no %q in %s", broker, want, seen(text))
		}
	}
}

func TestFleetPagesTheNormalOnly(t *testing.T) {
	var machines []fettle.Machine
	for i := range 130 {
		machines = append(machines, alarmed("sick "+strconv.Itoa(i), raised(uint64(i+1), "sick", fettle.Low)))
	}
	for i := range 250 {
		machines = append(machines, normal("well "+strconv.Itoa(i)))
	}
	rows := func(path string) (sick, well int, text string) {
		text = body(t, get(t, siteOf(t, machines), path))
		return strings.Count(text, `id="row-sick`), strings.Count(text, `id="row-well`), seen(text)
	}
	for path, want := range map[string]struct {
		well int
		says string
	}{
		"/": {100, "machines 1–100 of 250 Later"}, "/?from=101": {100, "Earlier machines 101–200 of 250 Later"}, "/?from=201": {50, "Earlier machines 201–250 of 250"},
		"/?from=x": {100, "machines 1–100 of 250"}, "/?from=99999": {100, "machines 1–100 of 250"}, "/?from=-3": {100, "machines 1–100 of 250"},
	} {
		if sick, well, text := rows(path); sick != 130 || well != want.well || !strings.Contains(text, want.says) {
			t.Errorf("%s shows %d sick and %d well, want 130 and %d, and %q", path, sick, well, want.well, want.says)
		}
	}
}

func TestMachineSays(t *testing.T) {
	high, current := raised(7, "Pump 07", fettle.High), raised(8, "Pump 07", fettle.Medium)
	current.Cause, current.Sentence = "current", "current is 15 A; 12–14 usual."
	for _, c := range []struct {
		name   string
		m      fettle.Machine
		alarms []fettle.Alarm
		want   []string
		not    []string
	}{
		{"normal", normal("Pump 07"), nil,
			[]string{"Pump 07 Normal", "What All sensors as usual.", "tempA 61.2 °C", "Score 0.6", "Last reading 13:59, 2 s ago", "every 2 s", "12\u2009345 readings", "Since 2026-06-08 12:00", "Model none yet", "Past alarms None yet."},
			[]string{"Acknowledge", "Cause"}},
		{"unanswered", alarmed("Pump 07", high), []fettle.Alarm{high},
			[]string{"Pump 07 High raised 13:38, 22 min ago, unanswered Acknowledge", "What tempA is 81.2 °C; 61.0–70.3 usual.", "Cause share of the deviation tempA usual 61.0–70.3 °C 62 %", "tempA 61.2 °C usual 61.0–70.3"}, nil},
		{"acknowledged", alarmed("Pump 07", acknowledged(high, "Ann")), []fettle.Alarm{acknowledged(high, "Ann")},
			[]string{"raised 13:38, 22 min ago, acknowledged by Ann"}, []string{"Acknowledge "}},
		{"cleared before anybody saw it", normal("Pump 07"), []fettle.Alarm{cleared(high)},
			[]string{"High raised 13:38, cleared 13:58, unanswered Acknowledge", "What All sensors as usual. Was High tempA is 81.2 °C"}, nil},
		{"a seen one and a new one", alarmed("Pump 07", acknowledged(high, ""), current), []fettle.Alarm{acknowledged(high, ""), current},
			[]string{"Pump 07 Medium raised 13:38, 22 min ago, unanswered Acknowledge", "What current is 15 A; 12–14 usual. Also High tempA is 81.2 °C"}, nil},
		{"the past", normal("Pump 07"), []fettle.Alarm{acknowledged(cleared(high), "Ann")},
			[]string{"Past alarms High tempA is 81.2 °C; 61.0–70.3 usual. 13:38, lasted 20 min"}, nil},
		{"silenced", silenced(normal("Pump 07"), fettle.SilenceNotices), nil, []string{"Silenced until 15:00, by Ann: coupling ordered End"}, []string{"Silence…"}},
		{"in service", silenced(alarmed("Pump 07", high), fettle.SilenceService), []fettle.Alarm{high}, []string{"unanswered Acknowledge", "Service until 15:00, by Ann: coupling ordered"}, nil},
		{"silent", silent("Pump 07"), nil, []string{"Pump 07 No data", "Score –"}, []string{"Normal"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := seen(body(t, get(t, siteOf(t, []fettle.Machine{c.m}, c.alarms...), "/m/Pump%2007")))
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("the page says\n%s\nwithout\n%s", text, want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(text, not) {
					t.Errorf("the page says %q:\n%s", not, text)
				}
			}
		})
	}
}

// What the bands promised stands beside what they held, and a model that is no
// better than a simple guess is not praised.
func TestMachineSaysHowItsForecastsCameOut(t *testing.T) {
	m := normal("Pump 07")
	m.Sensors = []string{"tempA", "tempB"}
	for _, c := range []struct {
		trust      Trust
		has, lacks []string
	}{
		{Trust{}, nil, []string{"band:", "guess"}},
		{
			Trust{Bands: map[string]Band{"tempA": {Promise: 0.9, Held: 0.888, Of: 512, Width: 4.25}}, Skill: 0.318, Steps: 5000},
			[]string{"90 % band: held 89 % of the last 512, width 4.25 °C", "error 32 % below that of a simple guess, last day"}, []string{"no better"},
		},
		{Trust{Skill: -0.25, Steps: 5000, Yardstick: "last value"}, []string{"no better than a simple guess: last value has 20 % less error"}, []string{"band:"}},
		{Trust{Skill: -0.25, Steps: 50}, []string{"error 25 % above that of a simple guess"}, []string{"no better"}},
	} {
		site := siteOf(t, []fettle.Machine{m})
		site.deps.Ahead = func(context.Context, string) []string { return []string{"short", "hour"} }
		site.deps.Trust = func(machine, forecaster string) Trust {
			if machine != m.Name || forecaster != "short" {
				t.Errorf("asked for %s of %s", forecaster, machine)
			}
			return c.trust
		}
		text := seen(body(t, get(t, site, "/m/Pump%2007")))
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: the page does not say %q: %s", c.trust, want, text)
			}
		}
		for _, bad := range c.lacks {
			if strings.Contains(text, bad) {
				t.Errorf("%+v: the page says %q", c.trust, bad)
			}
		}
	}
}

func TestMachineWithManySensors(t *testing.T) {
	m := normal("M")
	m.Sensors = nil
	for i := range 5000 {
		m.Sensors = append(m.Sensors, fmt.Sprintf("s%04d", i))
	}
	site := siteOf(t, []fettle.Machine{m})
	text := body(t, get(t, site, "/m/M?sensor=s4321"))
	if n := strings.Count(text, `class="plot"`); n != firstSensors {
		t.Errorf("%d charts, want %d", n, firstSensors)
	}
	if !strings.Contains(text, `data-sensor="s4321"`) || !strings.Contains(seen(text), "and 4488 more") {
		t.Error("the asked sensor has no chart, or the rest is not counted")
	}
}

func TestSpansSuitTheRhythm(t *testing.T) {
	for step, want := range map[float64]string{
		0: "3 min, 15 min, 2 h", 1: "2 min, 10 min, 1 h", 2: "3 min, 15 min, 2 h", 60: "2 h, 12 h, 5 d", 300: "12 h, 2 d, 20 d", 86400: "90 d",
	} {
		offered, chosen := spans(step, nil)
		var texts []string
		for _, o := range offered {
			texts = append(texts, o.Text)
		}
		if got := strings.Join(texts, ", "); got != want || chosen.Text != offered[0].Text {
			t.Errorf("a step of %v s offers %s, want %s", step, got, want)
		}
	}
	if _, chosen := spans(2, map[string][]string{"range": {"2h0m0s"}}); chosen.Text != "2 h" || chosen.Rows != 3601 {
		t.Errorf("?range=2h0m0s chose %+v", chosen)
	}
}

// Who looks further ahead looks further back, and keeps what else was chosen.
func TestHorizonsAreThoseThereAre(t *testing.T) {
	for _, c := range []struct {
		names         []string
		query, chosen string
		want          string // name address, the chosen one with *
	}{
		{nil, "", "", ""},
		{[]string{"short"}, "", "short", ""},
		{[]string{"short"}, "ahead=hour", "short", ""},
		{[]string{"short", "hour"}, "", "short", "short* ?ahead=short, hour ?ahead=hour"},
		{[]string{"short", "hour"}, "ahead=hour&range=3m0s&x=1", "hour", "short ?ahead=short&range=3m0s, hour* ?ahead=hour&range=3m0s"},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		offered, chosen := horizons(c.names, query)
		var texts []string
		for _, o := range offered {
			mark := map[bool]string{true: "*"}[o.Current]
			texts = append(texts, o.Text+mark+" "+o.Href)
		}
		if got := strings.Join(texts, ", "); got != c.want || chosen != c.chosen {
			t.Errorf("%q of %q: %s, %s chosen", c.query, c.names, got, chosen)
		}
	}
	if _, chosen := spans(2, map[string][]string{"ahead": {"hour"}}); chosen.Text != "2 h" {
		t.Errorf("who looks an hour ahead looks %s back", chosen.Text)
	}
	if offered, _ := spans(2, map[string][]string{"ahead": {"hour"}}); offered[0].Href != "?ahead=hour&range=3m0s" {
		t.Errorf("another range forgets the choice: %s", offered[0].Href)
	}
}

func TestAlarmsSay(t *testing.T) {
	one, two, three := raised(1, "Pump 07", fettle.Medium), raised(2, "Fan 12", fettle.High), cleared(raised(3, "Press", fettle.High))
	four := acknowledged(cleared(raised(4, "Press", fettle.Low)), "Ann")
	for path, want := range map[string]string{
		"/alarms": "3 unanswered alarms Unanswered 3 Open 2 History", "/alarms?state=open": "2 open alarms", "/alarms?state=all": "4 alarms",
		"/alarms?state=all&machine=Press": "2 alarms Only Press. Show every machine Unanswered 1 Open History", "/alarms?state=nonsense": "3 unanswered alarms",
	} {
		text := seen(body(t, get(t, siteOf(t, nil, one, two, three, four), path)))
		if !strings.Contains(text, want) {
			t.Errorf("%s says %s, without %s", path, text, want)
		}
	}
	text := body(t, get(t, siteOf(t, nil, one, two, three, four), "/alarms?state=all"))
	if order := regexp.MustCompile(`id="alarm-(\d)"`).FindAllStringSubmatch(text, -1); fmt.Sprint(order[0][1], order[1][1], order[2][1], order[3][1]) != "2134" {
		t.Errorf("the order is %v, want what needs a person first", order)
	}
	if text := seen(body(t, get(t, siteOf(t, nil), "/alarms"))); !strings.Contains(text, "Every alarm is answered") {
		t.Errorf("without alarms the page says %s", text)
	}
}

func TestCountsStandInHeaderAndTitle(t *testing.T) {
	site := siteOf(t, nil, raised(1, "A", fettle.High), acknowledged(raised(2, "B", fettle.High), ""), raised(3, "C", fettle.Low), cleared(raised(4, "D", fettle.High)))
	text := body(t, get(t, site, "/"))
	for _, want := range []string{"<title>(2) Fleet · fettle</title>", "2 open alarms, high", "1 open alarm, low"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestNotFound(t *testing.T) {
	for path, want := range map[string]string{
		"/m/nobody": "There is no machine named nobody.", "/nowhere": "There is no page at /nowhere.", "/m/<b>": "There is no machine named &lt;b&gt;.",
	} {
		r := get(t, siteOf(t, nil), strings.ReplaceAll(strings.ReplaceAll(path, "<", "%3C"), ">", "%3E"))
		if text := body(t, r); r.StatusCode != http.StatusNotFound || !strings.Contains(text, want) {
			t.Errorf("%s answers %d %s", path, r.StatusCode, seen(text))
		}
	}
}

// addressable leaves out the names that no address can hold; no machine may be
// called so.
func addressable(name string) bool { return name != "." && name != ".." && name != "/" }

// A machine is found under its address whatever its name holds, and no name can
// put markup into a page.
func TestAnyNameHasAPage(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.StringN(1, 20, fettle.MaxName).Filter(addressable).Draw(r, "name")
		site := siteOf(t, []fettle.Machine{alarmed(name, raised(1, name, fettle.High))}, raised(1, name, fettle.High))
		for _, path := range []string{machineURL(name), "/", "/alarms"} {
			answer := get(t, site, path)
			text := body(t, answer)
			if answer.StatusCode != http.StatusOK {
				r.Fatalf("%q at %s answers %d", name, path, answer.StatusCode)
			}
			if strings.Count(text, "<script") > 2 {
				r.Fatalf("%q brought a script into %s", name, path)
			}
		}
	})
}

// Nothing of a page lies inside it or elsewhere: that is what lets the policy
// be strict.
func TestPagesHoldNoScriptStyleOrForeignAddress(t *testing.T) {
	a := raised(1, "Pump 07", fettle.High)
	for _, path := range []string{"/", "/m/Pump%2007", "/alarms", "/nowhere"} {
		r := get(t, siteOf(t, []fettle.Machine{alarmed("Pump 07", a)}, a), path)
		text := body(t, r)
		if policy := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self';") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		for _, bad := range []string{` style="`, "<style", "javascript:", "http://", "https://", "//cdn"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		if regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(text) || regexp.MustCompile(` on[a-z]+="`).MatchString(text) {
			t.Errorf("%s holds a script", path)
		}
	}
}

func TestThemeIsACookie(t *testing.T) {
	site := siteOf(t, nil)
	r := get(t, site, "/alarms?state=open&theme=dark")
	if cookie := r.Header.Get("Set-Cookie"); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/alarms?state=open" || !strings.HasPrefix(cookie, "fettle-theme=dark;") {
		t.Errorf("choosing a theme answers %d %s %s", r.StatusCode, r.Header.Get("Location"), cookie)
	}
	for cookie, want := range map[string]string{
		"": `<html lang="en">`, "fettle-theme=dark": `<html lang="en" data-theme="dark">`, "fettle-theme=light": `<html lang="en" data-theme="light">`, `fettle-theme=pink`: `<html lang="en">`,
	} {
		if text := body(t, get(t, site, "/", "Cookie", cookie)); !strings.Contains(text, want) {
			t.Errorf("the cookie %q gives no %s", cookie, want)
		}
	}
	if cookie := get(t, site, "/?theme=system").Header.Get("Set-Cookie"); !strings.Contains(cookie, "Max-Age=0") {
		t.Errorf("back to the system's theme sets %s", cookie)
	}
	if to := get(t, site, "//example.org/?theme=dark").Header.Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "http") {
		t.Errorf("a theme leads to another host: %s", to)
	}
}
