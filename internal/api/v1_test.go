package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/days"
	"fettle/internal/forecast"
)

// problem reads an answer that must be a Problem.
func problem(t *testing.T, what string, code int, kind string, body []byte) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || kind != "application/problem+json" || p.Status != code || p.Title != http.StatusText(code) {
		t.Errorf("%s: no problem: %d %s %s", what, code, kind, body)
	}
	return p
}

// Everything that goes wrong under /api/v1 is a problem, and says what to do.
func TestProblems(t *testing.T) {
	rig := newRig(t)
	rig.machines = []fettle.Machine{{Name: "lathe", Sensors: []string{"current"}}}
	rig.why = &fettle.Error{Kind: fettle.Unavailable, Reason: forecast.ReasonNotEnough, Err: &forecast.NotEnough{Have: 3, Need: 120, What: "rows"}}
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/api/v1", "", 404, "Not Found"},
		{"GET", "/api/v1/nowhere", "", 404, "Not Found"},
		{"PUT", "/api/v1/machines", "", 405, "Method Not Allowed"},
		{"GET", "/api/v1/machines/nobody", "", 404, `no machine \"nobody\"`},
		{"GET", "/api/v1/machines/nobody/readings", "", 404, "unknown machine"},
		{"GET", "/api/v1/machines/nobody/forecast", "", 404, "unknown machine"},
		{"GET", "/api/v1/machines/nobody/verdicts", "", 404, "unknown machine"},
		{"GET", "/api/v1/machines/nobody/anomalies", "", 404, "unknown machine"},
		{"GET", "/api/v1/machines/lathe/forecast", "", 404, `"code":"not_enough_data","have":3,"need":120`},
		{"GET", "/api/v1/machines/nobody/accuracy", "", 404, "unknown machine"},
		{"GET", "/api/v1/machines/lathe/accuracy?from=yesterday", "", 422, "2025-11-25T04:20:00Z"},
		{"GET", "/api/v1/machines/lathe/readings?last=100001", "", 422, "100000"},
		{"GET", "/api/v1/machines/lathe/readings?last=x", "", 422, `"location":"query.last"`},
		{"GET", "/api/v1/machines/lathe/readings?from=yesterday", "", 422, "2025-11-25T04:20:00Z"},
		{"GET", "/api/v1/machines/lathe/readings?from=NaN", "", 422, `"location":"query.from"`},
		{"GET", "/api/v1/machines/lathe/readings?from=1&last=1", "", 422, "not both"},
		{"GET", "/api/v1/machines/lathe/readings?sensors=current,volts", "", 422, `"value":"volts"`},
		{"GET", "/api/v1/machines/lathe/readings?points=0", "", 422, `"location":"query.points"`},
		{"GET", "/api/v1/machines/lathe/readings?points=10001", "", 422, "10000"},
		{"GET", "/api/v1/machines/lathe/readings?points=5&last=5", "", 422, "not both"},
		{"GET", "/api/v1/machines/lathe/readings?points=5&format=csv", "", 422, `"location":"query.format"`},
		{"GET", "/api/v1/machines/lathe/readings?format=xml", "", 422, `"location":"query.format"`},
		{"GET", "/api/v1/machines/lathe/anomalies?last=0", "", 422, `"location":"query.last"`},
		{"GET", "/api/v1/alarms?state=loud", "", 422, `"location":"query.state"`},
		{"GET", "/api/v1/alarms/x", "", 422, `"location":"path.id"`},
		{"GET", "/api/v1/alarms/7", "", 404, "no alarm 7"},
		{"POST", "/api/v1/alarms/7/acknowledge", "{", 400, `"location":"body"`},
		{"POST", "/api/v1/alarms/7/acknowledge", `{"note":"` + strings.Repeat("x", smallBody) + `"}`, 413, "limit=16384 bytes"},
		{"POST", "/api/v1/alarms/7/acknowledge", `{"notes":"x"}`, 422, `"location":"body.notes"`},
		{"POST", "/api/v1/readings", "", 400, "request body is required"},
		{"POST", "/api/v1/readings", "[" + strings.Repeat(" ", codec.MaxMessage) + "]", 413, "limit=1048576 bytes"},
		{"GET", "/api/v1/events?wait=2m", "", 422, `"location":"query.wait"`},
		{"GET", "/api/v1/events?wait=-1s", "", 422, `"location":"query.wait"`},
		{"GET", "/api/v1/events?kinds=noise", "", 422, `"location":"query.kinds`},
		{"GET", "/api/v1/events?after=-2", "", 422, `"location":"query.after"`},
	} {
		w := rig.do(c.method, c.path, c.body)
		what := c.method + " " + c.path
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: got %d %s, want %d with %s", what, w.Code, w.Body, c.status, c.says)
		}
		problem(t, what, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
	}
}

// The kind of an error decides the status, in one place.
func TestStatusOfKinds(t *testing.T) {
	rig := newRig(t)
	for _, c := range []struct {
		err        error
		status     int
		retryAfter string
		says       string
	}{
		{fettle.Errorf(fettle.Busy, "queue is full"), 429, "1", "queue is full"},
		{fettle.Errorf(fettle.Unavailable, "disk is full"), 503, "1", "disk is full"},
		{fettle.Errorf(fettle.Conflict, "held by another"), 409, "", "held by another"},
		{fettle.Errorf(fettle.Forbidden, "not yours"), 403, "", "not yours"},
		{fmt.Errorf("wrapped: %w", fettle.Errorf(fettle.NotFound, "gone")), 404, "", "wrapped: gone"},
		{errors.New("open /secret/path: i/o error"), 500, "", "something went wrong inside fettle"},
		{fmt.Errorf("write /secret/path: %w", syscall.ENOSPC), 507, "", "the server's disk is full"},
	} {
		rig.submit = c.err
		w := rig.do("POST", "/api/v1/readings", `{"machine":"m","current":1}`)
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "/secret/path") {
			t.Errorf("%v: got %d, Retry-After %q, %s", c.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		problem(t, c.err.Error(), w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
	}
}

// Each refused reading is named by its place in the request, whether the codec
// could not read it or the gate did not take it.
func TestSendingNamesWhatIsWrong(t *testing.T) {
	rig := newRig(t)
	late := func(place string) error {
		return codec.Errors{fettle.BadField("time too far ahead", place+"timestamp", "2099", "not so far")}
	}
	for _, c := range []struct {
		what, body string
		submit     error
		status     int
		places     []string
		accepted   int
	}{
		{"one good", `{"machine":"m","current":1}`, nil, 204, nil, 0},
		{"good batch", `[{"machine":"m","current":1},{"workspace_id":"n","current":2}]`, nil, 204, nil, 0},
		{"no JSON", `{"machine":`, nil, 422, []string{"body, byte 12"}, 0},
		{"one bad", `{"machine":"m","timestamp":"soon","current":1}`, nil, 422, []string{"body.timestamp"}, 0},
		{"bad among good", `[{"machine":"m","current":1},{"current":1},{"machine":"m","timestamp":"soon"},{"machine":"m","current":4}]`, nil, 422, []string{"body[1].machine", "body[2].timestamp"}, 2},
		{"one late", `{"machine":"m","current":1}`, late(""), 422, []string{"body.timestamp"}, 0},
		{"late in a batch of one", `[{"machine":"m","current":1}]`, late(""), 422, []string{"body[0].timestamp"}, 0},
		{"late behind a bad one", `[{"current":1},{"machine":"m","current":1},{"machine":"m","current":1}]`, late("[1]."), 422, []string{"body[0].machine", "body[2].timestamp"}, 0},
		{"late before a bad one", ` [{"machine":"m","current":1},{"current":1}]`, late(""), 422, []string{"body[0].timestamp", "body[1].machine"}, 0},
	} {
		rig.submit = c.submit
		w := rig.do("POST", "/api/v1/readings", c.body)
		if w.Code != c.status {
			t.Errorf("%s: got %d %s, want %d", c.what, w.Code, w.Body, c.status)
			continue
		}
		if c.status == 204 {
			continue
		}
		p := problem(t, c.what, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
		var places []string
		for _, f := range p.Errors {
			places = append(places, f.Location)
			if f.Expected == "" || f.Message == "" {
				t.Errorf("%s: %+v does not say what was expected", c.what, f)
			}
		}
		if !slices.Equal(places, c.places) || p.Accepted == nil || *p.Accepted != c.accepted {
			t.Errorf("%s: places %v, want %v; %s", c.what, places, c.places, w.Body)
		}
	}
	if rig.refused != 5 {
		t.Errorf("%d unreadable messages booked, want 5: what the gate refused it books itself", rig.refused)
	}
}

func TestSendingNamesOnlySoMany(t *testing.T) {
	rig := newRig(t)
	body := "[" + strings.Repeat(`{"current":1},`, 149) + `{"machine":"m","current":1}]`
	w := rig.do("POST", "/api/v1/readings", body)
	p := problem(t, "many", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
	if len(p.Errors) != maxFaults || p.Detail != "149 readings refused, 1 stored" {
		t.Errorf("%d faults, %s", len(p.Errors), p.Detail)
	}
}

// rowsOf makes rows of a machine, one a second; every third lacks tempA.
func rowsOf(machine string, n int) []fettle.Reading {
	rows := make([]fettle.Reading, n)
	for i := range rows {
		rows[i] = fettle.Reading{Machine: machine, Time: noon.Add(time.Duration(i) * time.Second), Values: []fettle.Value{{Sensor: "current", Value: float64(i) / 4}}}
		if i%3 != 2 {
			rows[i].Values = append(rows[i].Values, fettle.Value{Sensor: "tempA", Value: 60})
		}
	}
	return rows
}

func TestReadings(t *testing.T) {
	rig := newRig(t)
	rig.machines = []fettle.Machine{{Name: "lathe", Sensors: []string{"current", "tempA"}}}
	rig.rows = rowsOf("lathe", 4)
	csv := "time,current,tempA\n2025-11-25T12:00:00Z,0,60\n2025-11-25T12:00:01Z,0.25,60\n2025-11-25T12:00:02Z,0.5,\n2025-11-25T12:00:03Z,0.75,60\n"
	for _, c := range []struct {
		query, accept, want string
	}{
		{"?last=2", "*/*", `{"machine":"lathe","rows":2,"times":["2025-11-25T12:00:02Z","2025-11-25T12:00:03Z"],"sensors":{"current":[0.5,0.75],"tempA":[null,60.0]}}`},
		{"?from=2025-11-25T12:00:01Z&to=2025-11-25T12:00:02Z", "*/*", `{"machine":"lathe","rows":1,"times":["2025-11-25T12:00:01Z"],"sensors":{"current":[0.25],"tempA":[60.0]}}`},
		{"?from=2025-11-25T14:00:03%2B02:00&sensors=tempA", "*/*", `{"machine":"lathe","rows":1,"times":["2025-11-25T12:00:03Z"],"sensors":{"tempA":[60.0]}}`},
		{"?from=2025-11-25T14:00:03+02:00&sensors=tempA", "*/*", `{"machine":"lathe","rows":1,"times":["2025-11-25T12:00:03Z"],"sensors":{"tempA":[60.0]}}`},
		{fmt.Sprintf("?from=%d&sensors=tempA", noon.Unix()+3), "*/*", `{"machine":"lathe","rows":1,"times":["2025-11-25T12:00:03Z"],"sensors":{"tempA":[60.0]}}`},
		{"?from=2030-01-01T00:00:00Z", "*/*", `{"machine":"lathe","rows":0,"times":[],"sensors":{"current":[],"tempA":[]}}`},
		{"", "text/csv", csv},
		{"?format=csv", "*/*", csv},
		{"?format=json&last=1&sensors=current", "text/csv", `{"machine":"lathe","rows":1,"times":["2025-11-25T12:00:03Z"],"sensors":{"current":[0.75]}}`},
		{"?format=line&from=2025-11-25T12:00:01Z&to=2025-11-25T12:00:03Z", "text/csv", "sensor_data,workspace_id=lathe current=0.25,tempA=60 1764072001000000\nsensor_data,workspace_id=lathe current=0.5 1764072002000000\n"},
		{"?format=csv&sensors=tempA,current&last=1", "*/*", "time,tempA,current\n2025-11-25T12:00:03Z,60,0.75\n"},
	} {
		w := rig.get("/api/v1/machines/lathe/readings"+c.query, header("Accept", c.accept))
		if w.Code != 200 || w.Body.String() != c.want {
			t.Errorf("%s for %s: got %d %s, want %s", c.query, c.accept, w.Code, w.Body, c.want)
		}
	}
}

func TestReadingsAsParquet(t *testing.T) {
	rig := newRig(t)
	rig.machines = []fettle.Machine{{Name: "lathe", Sensors: []string{"current", "tempA"}}}
	rig.rows = rowsOf("lathe", 4)
	w := rig.get("/api/v1/machines/lathe/readings?format=parquet")
	file, err := days.Open(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
	if err != nil || w.Header().Get("Content-Type") != "application/vnd.apache.parquet" || file.Rows(0) != 4 || fmt.Sprint(file.Sensors()) != "[current tempA]" {
		t.Errorf("%v, %v", err, w.Header())
	}
}

func TestReadingsAreLimitedButCSVIsNot(t *testing.T) {
	rig := newRig(t)
	rig.machines = []fettle.Machine{{Name: "lathe", Sensors: []string{"current", "tempA"}}}
	rig.rows = rowsOf("lathe", maxRows+1)
	if w := rig.get("/api/v1/machines/lathe/readings?from=0"); w.Code != 422 || !strings.Contains(w.Body.String(), "100000") || !strings.Contains(w.Body.String(), "format=csv") {
		t.Errorf("JSON of too many rows: %d %s", w.Code, w.Body)
	}
	if w := rig.get("/api/v1/machines/lathe/readings?from=0&format=csv"); w.Code != 200 || strings.Count(w.Body.String(), "\n") != maxRows+2 {
		t.Errorf("CSV of many rows: %d, %d lines", w.Code, strings.Count(w.Body.String(), "\n"))
	}
	wide := make([]string, 4000)
	for i := range wide {
		wide[i] = fmt.Sprint("s", i)
	}
	rig.machines = []fettle.Machine{{Name: "lathe", Sensors: wide}}
	if w := rig.get("/api/v1/machines/lathe/readings?from=0"); w.Code != 422 || !strings.Contains(w.Body.String(), "4000000 values") {
		t.Errorf("JSON of too many values: %d", w.Code)
	}
}

func TestWordsOnAlarms(t *testing.T) {
	rig := newRig(t)
	rig.alarms = []fettle.Alarm{{ID: 7, Machine: "lathe", State: fettle.Raised}}
	text, _, err := rig.Keys.Create("shift lead's phone", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body     string
		changes  []change
		by, note string
	}{
		{`{"by":" Ann ","note":"ordered a bearing"}`, nil, "Ann", "ordered a bearing"},
		{`{"by":"","note":""}`, nil, "local user", ""},
		{"", nil, "local user", ""},
		{`{}`, []change{tunnelled, withKey(text)}, "shift lead's phone", ""},
	} {
		for _, verb := range []string{"acknowledge", "accept"} {
			w := rig.do("POST", "/api/v1/alarms/7/"+verb, c.body, c.changes...)
			var got fettle.Alarm
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.AcknowledgedBy+got.AcceptedBy != c.by || got.Note != c.note {
				t.Errorf("%s %s: %d %s", verb, c.body, w.Code, w.Body)
			}
		}
	}
}

func TestKeyRoutes(t *testing.T) {
	rig := newRig(t)
	admin := header("Authorization", "Bearer secret of this run")
	w := rig.do("POST", "/api/v1/keys", `{"name":"Grafana","scopes":["read"]}`, admin)
	var made newKey
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 || made.Name != "Grafana" {
		t.Fatalf("create: %d %s", w.Code, w.Body)
	}
	if w := rig.get("/workspaces", tunnelled, withKey(made.Text)); w.Code != 200 {
		t.Errorf("the new key: %d", w.Code)
	}
	w = rig.get("/api/v1/keys", admin)
	if !strings.Contains(w.Body.String(), made.ID) || strings.Contains(w.Body.String(), made.Text) || strings.Contains(w.Body.String(), "hash") {
		t.Errorf("list: %s", w.Body)
	}
	if w := rig.do("DELETE", "/api/v1/keys/"+made.ID, "", admin); w.Code != 204 {
		t.Errorf("revoke: %d %s", w.Code, w.Body)
	}
	if w := rig.get("/workspaces", tunnelled, withKey(made.Text)); w.Code != 403 {
		t.Errorf("the revoked key: %d", w.Code)
	}
	for body, says := range map[string]string{`{"name":""}`: "name", `{"name":"x","scopes":["root"]}`: "scopes", `{"scopes":["read"]}`: "name"} {
		if w := rig.do("POST", "/api/v1/keys", body, admin); w.Code != 422 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestServerRoutes(t *testing.T) {
	rig := newRig(t)
	rig.status = Status{
		Version: "1.2.3", Started: noon, UptimeSeconds: 60, Resources: Resources{DiskBytes: 4096, DiskFreeBytes: 8192},
		Parts:    []Part{{Name: "broker", State: PartOK}, {Name: "tunnel", State: PartOff}},
		Machines: []MachineStatus{{Name: "a\"b", State: fettle.StateAlarm, Last: noon}},
	}
	rig.models = []fettle.Model{{Name: "model_x_20251124_093154", Machine: "x"}}
	for path, says := range map[string]string{
		"/api/v1/status":   `"parts":[{"name":"broker","state":"ok"`,
		"/api/v1/models":   `"name":"model_x_20251124_093154"`,
		"/api/v1/rejected": `{"rejected":[]}`,
		"/readyz":          `{"status":"ready"}`,
	} {
		if w := rig.get(path); w.Code != 200 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	rig.notReady = errors.New("broker is not listening yet")
	if w := rig.get("/readyz"); w.Code != 503 || w.Body.String() != `{"status":"not ready","reason":"broker is not listening yet"}` {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	metrics := rig.get("/metrics").Body.String()
	for _, line := range []string{
		`fettle_build_info{version="1.2.3"} 1`, `fettle_uptime_seconds 60`, `fettle_data_bytes 4096`, `fettle_part_up{part="broker"} 1`, `fettle_part_up{part="tunnel"} 0`,
		`fettle_machine_last_sample_timestamp_seconds{machine="a\"b"} 1.764072e+09`, `fettle_machine_alarm{machine="a\"b"} 1`,
		`fettle_http_requests_total{status="200"} 4`, `fettle_http_requests_total{status="503"} 1`, `fettle_http_request_duration_seconds_count 5`, `go_goroutines`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	if strings.Count(metrics, "fettle_") < 10 {
		t.Error(metrics)
	}
}

func TestMachines(t *testing.T) {
	rig := newRig(t)
	rig.machines = []fettle.Machine{{Name: "a/b", Sensors: []string{"current", "x"}}, {Name: "z"}}
	w := rig.get("/api/v1/machines")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"sensors":[],`) || strings.Index(w.Body.String(), "a/b") > strings.Index(w.Body.String(), `"z"`) {
		t.Errorf("list: %d %s", w.Code, w.Body)
	}
	w = rig.get("/api/v1/machines/a%2Fb")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"units":{"current":"A"}`) {
		t.Errorf("one: %d %s", w.Code, w.Body)
	}
}

// A bug in one request stays in that request.
func TestBugStaysInside(t *testing.T) {
	rig := newRig(t, func(_ *Config, d *Deps) { d.Machines = func() []fettle.Machine { panic("a bug") } })
	w := rig.get("/api/v1/machines")
	if p := problem(t, "bug", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); p.Status != 500 || strings.Contains(p.Detail, "a bug") {
		t.Errorf("got %+v", p)
	}
}

// Half an answer is broken off, so that nobody takes it for the whole.
func TestHalfAnAnswerIsBrokenOff(t *testing.T) {
	rig := newRig(t, func(_ *Config, d *Deps) {
		d.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("half"))
			panic("a bug")
		})
	})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("the connection should be broken off, got %v", got)
		}
	}()
	rig.get("/", header("Accept", "text/html"))
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2025-11-25T12:00:00Z":      noon,
		"2025-11-25T14:00:00+02:00": noon,
		"1764072000":                noon,
		"1764072000.5":              noon.Add(500 * time.Millisecond),
		"1764072000000":             noon,
		"1764072000000000":          noon,
		"1764072000000000000":       noon,
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || !m.Equal(want) {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
}

func FuzzMoment(f *testing.F) {
	for _, seed := range []string{"2025-11-25T12:00:00Z", "1764072000", "NaN", "-1", "1e300", "", "0x1p4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err == nil && (m.Year() < 0 || m.Year() > 9999) {
			t.Errorf("%q is read as %v", text, m)
		}
	})
}

func TestNumbersAreNeverNaN(t *testing.T) {
	got, err := json.Marshal(floats{1, 0.1, math.NaN(), math.Inf(1), 1e300, 1e-9, -0.5})
	if want := `[1.0,0.1,null,null,1e+300,1e-09,-0.5]`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
