package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/db"
	"fettle/internal/forecast"
	"fettle/internal/ingest"
	"fettle/internal/model"
	"fettle/internal/readings"
	"fettle/internal/verdict"
)

// A plant is an API over the real rooms, each over a real store. What the
// pipeline does between them the tests do by hand.
type plant struct {
	models *model.Folder
	rig
	rows      *readings.Store
	forecasts *forecast.Engine
	judge     *verdict.Judge
	book      *alarm.Book
}

func newPlant(t testing.TB) plant {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{Log: log})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	clock := func() time.Time { return noon.Add(time.Hour) }
	var p plant
	p.rows, err = readings.Open(d, dir, log)
	check(t, err)
	t.Cleanup(func() { mustBeSound(t, p.rows) })
	models, err := model.Open(t.TempDir(), clock, nil, log)
	check(t, err)
	p.forecasts, err = forecast.New(forecast.Config{Now: clock}, p.rows, models, d, log)
	check(t, err)
	p.judge, err = verdict.New(d, p.rows, log)
	check(t, err)
	p.book, err = alarm.Open(d, clock, func(fettle.Alarm) {})
	check(t, err)
	gate := ingest.New(ingest.Config{Now: clock}, p.rows, func([]fettle.Reading) {})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- gate.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		check(t, <-done)
	})
	p.rig = newRig(t, func(_ *Config, deps *Deps) {
		deps.Readings, deps.Ingest, deps.Forecasts, deps.Scores, deps.Verdicts, deps.Alarms, deps.Models = p.rows, gate, p.forecasts, p.forecasts, p.judge, p.book, models.List
		deps.Registry, p.models = models, models
		deps.Machines = func() []fettle.Machine {
			var list []fettle.Machine
			for _, info := range p.rows.Machines() {
				list = append(list, fettle.Machine{Name: info.Machine, Sensors: info.Sensors})
			}
			return list
		}
	})
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// messages are n readings of a machine, two seconds apart, as an old sender
// wrote them.
func messages(machine string, from, n int) string {
	var list []string
	for i := from; i < from+n; i++ {
		wave := math.Sin(float64(i) / 7)
		list = append(list, fmt.Sprintf(`{"workspace_id":%q,"timestamp":%q,"current":%.2f,"accX":%.4f,"accY":0.01,"accZ":1,"tempA":%.2f,"tempB":61.5}`,
			machine, noon.Add(time.Duration(i)*2*time.Second).Format(time.RFC3339), 17+wave, wave/10, 60+wave))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func (p plant) send(t *testing.T, body string) {
	t.Helper()
	if w := p.do("POST", "/api/v1/readings", body); w.Code != 204 {
		t.Fatalf("send: %d %s", w.Code, w.Body)
	}
}

// read decodes the answer to a request that must succeed.
func read[T any](t *testing.T, r rig, target string, changes ...change) T {
	t.Helper()
	var got T
	w := r.get(target, changes...)
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %v %s", target, w.Code, err, w.Body)
	}
	return got
}

// What was sent is what is read back, as columns and as CSV.
func TestReadingsThereAndBack(t *testing.T) {
	p := newPlant(t)
	p.send(t, messages("cnc-mill-5-axis", 0, 3))
	p.send(t, `{"machine":"cnc-mill-5-axis","timestamp":"2025-11-25T12:00:04Z","extra":5}`) // merged into the last row
	w := p.get("/api/v1/machines/cnc-mill-5-axis/readings?sensors=current,extra&from=2025-11-25T12:00:02Z")
	want := `{"machine":"cnc-mill-5-axis","rows":2,"times":["2025-11-25T12:00:02Z","2025-11-25T12:00:04Z"],"sensors":{"current":[17.14,17.28],"extra":[null,5.0]}}`
	if w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
	w = p.get("/api/v1/machines/cnc-mill-5-axis/readings?sensors=tempB,extra&last=2&to=2025-11-25T12:00:04Z", header("Accept", "text/csv"))
	if want := "time,tempB,extra\n2025-11-25T12:00:00Z,61.5,\n2025-11-25T12:00:02Z,61.5,\n"; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}

// However long the range, there are at most as many points as asked for.
func TestPoints(t *testing.T) {
	p := newPlant(t)
	p.send(t, messages("cnc-mill-5-axis", 0, 120))
	p.send(t, `{"machine":"cnc-mill-5-axis","timestamp":"2025-11-25T12:00:01Z","extra":5}`)
	for _, c := range []struct{ query, want string }{
		{"sensors=current,extra&points=3&to=2025-11-25T12:00:03Z", `{"machine":"cnc-mill-5-axis","resolution":"raw","step_seconds":0,` +
			`"times":["2025-11-25T12:00:00Z","2025-11-25T12:00:01Z","2025-11-25T12:00:02Z"],"sensors":{` +
			`"current":{"min":[17.0,null,17.14],"max":[17.0,null,17.14],"mean":[17.0,null,17.14]},"extra":{"min":[null,5.0,null],"max":[null,5.0,null],"mean":[null,5.0,null]}}}`},
		{"sensors=tempB&points=5", `{"machine":"cnc-mill-5-axis","resolution":"1m","step_seconds":60,` +
			`"times":["2025-11-25T12:00:00Z","2025-11-25T12:01:00Z","2025-11-25T12:02:00Z","2025-11-25T12:03:00Z"],"sensors":{` +
			`"tempB":{"min":[61.5,61.5,61.5,61.5],"max":[61.5,61.5,61.5,61.5],"mean":[61.5,61.5,61.5,61.5]}}}`},
		{"sensors=tempB&points=1&from=2025-11-26T00:00:00Z", `{"machine":"cnc-mill-5-axis","resolution":"raw","step_seconds":0,"times":[],"sensors":{"tempB":{"min":[],"max":[],"mean":[]}}}`},
	} {
		w := p.get("/api/v1/machines/cnc-mill-5-axis/readings?" + c.query)
		if w.Body.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.query, w.Body, c.want)
		}
	}
}

// Bad readings are named, kept to look at, and stop no good ones.
func TestBadReadingsAreKeptToLookAt(t *testing.T) {
	p := newPlant(t)
	w := p.do("POST", "/api/v1/readings", `[{"machine":"m","timestamp":"2025-11-25T12:00:00Z","current":1},{"current":2},{"machine":"m","timestamp":"2031-01-01T00:00:00Z","current":3}]`)
	got := problem(t, "two bad", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
	if got.Status != 422 || *got.Accepted != 1 || len(got.Errors) != 2 || got.Errors[0].Location != "body[1].machine" || got.Errors[1].Location != "body[2].timestamp" {
		t.Errorf("got %s", w.Body)
	}
	if info, found := p.rows.Info("m"); !found || info.Rows != 1 {
		t.Errorf("the good one is not there: %+v", info)
	}
	if list := read[rejectedList](t, p.rig, "/api/v1/rejected"); len(list.Rejected) != 2 {
		t.Errorf("rejected %+v", list)
	}
}

// A machine's way from the first reading to a forecast, as an old client and a
// new one see it.
func TestForecastOverTime(t *testing.T) {
	p := newPlant(t)
	const machine = "cnc-mill-5-axis"
	old := func() (code string, have, need int) {
		got := read[predictError](t, p.rig, "/predict/"+machine)
		if got.Have != nil {
			have, need = *got.Have, *got.Need
		}
		return got.Code, have, need
	}
	if code, _, _ := old(); code != "unknown_workspace" {
		t.Errorf("before the first reading: %s", code)
	}
	p.send(t, messages(machine, 0, 60))
	if code, have, need := old(); code != "not_enough_data" || have != 60 || need != 120 {
		t.Errorf("after 60 readings: %s, have %d, need %d", code, have, need)
	}
	w := p.get("/api/v1/machines/" + machine + "/forecast")
	if got := problem(t, "forecast", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); got.Status != 404 || got.Code != "not_enough_data" || *got.Have != 60 || *got.Need != 120 {
		t.Errorf("after 60 readings: %s", w.Body)
	}
	if got := read[validateError](t, p.rig, "/validate/"+machine); got.Message != "No model for cnc-mill-5-axis" {
		t.Errorf("validate: %+v", got)
	}

	p.send(t, messages(machine, 60, 240))
	if code, _, _ := old(); code != "pending" {
		t.Errorf("after 300 readings: %s", code)
	}
	for forecaster, want := range map[string]string{"hour": `"code":"not_enough_data","have":9,"need":360`, "weeks": `"code":"unknown_forecaster"`} {
		w := p.get("/api/v1/machines/" + machine + "/forecast?forecaster=" + forecaster)
		if w.Code != 404 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("forecast of %s: %d %s, want %s", forecaster, w.Code, w.Body, want)
		}
	}
	info, _ := p.rows.Info(machine)
	if _, err := p.forecasts.Learn(t.Context(), machine, forecast.Tick{Forecaster: "short", At: info.Last}, p.judge.Quarantined); err != nil {
		t.Fatal(err)
	}
	if _, err := p.forecasts.Forecast(t.Context(), machine, forecast.Tick{Forecaster: "short", At: info.Last}); err != nil {
		t.Fatal(err)
	}
	got := read[map[string]any](t, p.rig, "/predict/"+machine)
	inner, _ := got["predictions"].(map[string]any)
	sensors, _ := inner["predictions"].(map[string]any)
	if got["status"] != "success" || len(sensors) != 6 || inner["prediction_horizon"] != 10.0 || inner["timestamp"] != "2025-11-25T12:09:58.000000Z" {
		t.Errorf("predict: %v", got)
	}
	for name, values := range sensors {
		if list, _ := values.([]any); len(list) != 10 {
			t.Errorf("%s: %v", name, values)
		}
	}
	if body := p.get("/predict/" + machine).Body.Bytes(); bytes.Index(body, []byte(`"current":[`)) > bytes.Index(body, []byte(`"accX":[`)) {
		t.Errorf("the sensors are not in the old order: %s", body)
	}
	if got := read[forecastDetail](t, p.rig, "/api/v1/machines/"+machine+"/forecast"); got.Steps() != 10 || len(got.Sensors) != 6 || got.Units["current"] != "A" {
		t.Errorf("forecast: %+v", got)
	}
	if got := read[accuracyDetail](t, p.rig, "/api/v1/machines/"+machine+"/accuracy"); got.Steps != 0 || got.Skill != nil || len(got.Sensors) != 0 || got.Drift != nil {
		t.Errorf("accuracy before anything was scored: %+v", got)
	}
	p.send(t, messages(machine, 300, 30))
	info, _ = p.rows.Info(machine)
	if _, err := p.forecasts.Forecast(t.Context(), machine, forecast.Tick{Forecaster: "short", At: info.Last}); err != nil {
		t.Fatal(err)
	}
	accuracy := read[accuracyDetail](t, p.rig, "/api/v1/machines/"+machine+"/accuracy?from="+info.First.Format(time.RFC3339))
	if accuracy.Steps != 60 || accuracy.Skill == nil || len(accuracy.Sensors) != 6 || len(accuracy.Buckets) != 1 || accuracy.Buckets[0].Hours != 1 || accuracy.Units["current"] != "A" {
		t.Errorf("accuracy of ten steps of six sensors: %+v", accuracy)
	}
	if got := read[forecastDetail](t, p.rig, "/api/v1/machines/"+machine+"/forecast"); len(got.Bands) != 6 || got.Bands[0].Promise != 0.9 || got.Bands[0].Scored != 1 || len(got.Bands[0].Steps) != 10 {
		t.Errorf("bands: %+v", got.Bands)
	}
	for path, says := range map[string]string{
		"?forecaster=weeks": "weeks", "?from=2020-01-01T00:00:00Z": "400 days", "?to=2020-01-01T00:00:00Z&from=2021-01-01T00:00:00Z": "before to",
	} {
		if w := p.get("/api/v1/machines/" + machine + "/accuracy" + path); w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("accuracy%s: %d %s, want %q", path, w.Code, w.Body, says)
		}
	}
	valid := read[map[string]any](t, p.rig, "/validate/"+machine)
	if overall, _ := valid["overall_accuracy"].(float64); valid["status"] != "success" || len(valid["metrics"].(map[string]any)) != 6 || overall < 0 || overall > 100 {
		t.Errorf("validate: %v", valid)
	}
	if all := read[map[string]map[string]any](t, p.rig, "/validation", header("Accept", "application/json")); all[machine]["status"] != "success" {
		t.Errorf("validation: %v", all)
	}
	if list := read[modelList](t, p.rig, "/api/v1/models"); len(list.Models) != 1 || list.Models[0].Machine != machine || !list.Models[0].Champion {
		t.Errorf("models: %+v", list)
	}
	if list := read[[]string](t, p.rig, "/workspaces"); !slices.Equal(list, []string{machine}) {
		t.Errorf("workspaces: %v", list)
	}
}

func TestVerdictsAndAnomalies(t *testing.T) {
	p := newPlant(t)
	p.send(t, messages("mill", 0, 150))
	if list := read[verdictList](t, p.rig, "/api/v1/machines/mill/verdicts?last=20"); len(list.Verdicts) != 0 {
		t.Errorf("before the first verdict: %d", len(list.Verdicts))
	}
	rows, err := p.rows.Last("mill", time.Time{}, 150)
	check(t, err)
	_, err = p.judge.Judge("mill", rows)
	check(t, err)
	check(t, p.judge.Save("mill"))
	p.send(t, messages("mill", 150, 30)) // not judged yet
	if list := read[verdictList](t, p.rig, "/api/v1/machines/mill/verdicts?last=20"); len(list.Verdicts) != 20 || !list.Verdicts[19].Time.Equal(rows[149].Time) {
		t.Errorf("the newest 20: %d", len(list.Verdicts))
	}
	if list := read[verdictList](t, p.rig, "/api/v1/machines/mill/verdicts?from=2025-11-25T12:00:10Z&to=2025-11-25T12:00:20Z"); len(list.Verdicts) != 5 || !list.Verdicts[0].Time.Equal(rows[5].Time) {
		t.Errorf("ten seconds: %+v", list)
	}
	if list := read[verdictList](t, p.rig, "/api/v1/machines/mill/verdicts?to=2025-11-25T12:00:20Z&last=3"); len(list.Verdicts) != 3 || !list.Verdicts[2].Time.Equal(rows[9].Time) {
		t.Errorf("three before a time: %+v", list)
	}
	if list := read[verdictList](t, p.rig, "/api/v1/machines/mill/verdicts"); len(list.Verdicts) != 150 {
		t.Errorf("all: %d", len(list.Verdicts))
	}

	anomaly := fettle.Anomaly{Machine: "mill", Time: noon, Type: "current", Severity: fettle.SeverityHigh, Affected: []string{"current"}, Sensors: []fettle.AnomalySensor{{Sensor: "current", AtRisk: true}}}
	check(t, p.judge.AddAnomaly(anomaly))
	if w := p.get("/api/v1/machines/mill/anomalies"); !strings.Contains(w.Body.String(), `{"anomalies":[{"workspace_id":"mill",`) {
		t.Errorf("anomalies: %d %s", w.Code, w.Body)
	}
}

func TestAlarmFromRaisedToAnswered(t *testing.T) {
	p := newPlant(t)
	p.send(t, messages("mill", 0, 1))
	var verdicts []fettle.Verdict
	for i := range 5 {
		verdicts = append(verdicts, fettle.Verdict{Machine: "mill", Time: noon.Add(time.Duration(i) * time.Second), Score: 3, Causes: []fettle.Cause{{Sensor: "tempA", Share: 1}}})
	}
	check(t, p.book.Apply("mill", verdicts, func(fettle.Verdict) string { return "tempA is 90." }))
	list := read[alarmList](t, p.rig, "/api/v1/alarms")
	if len(list.Alarms) != 1 || list.Alarms[0].Cause != "tempA" || list.Alarms[0].State != fettle.Raised {
		t.Fatalf("alarms %+v", list)
	}
	path := fmt.Sprintf("/api/v1/alarms/%d", list.Alarms[0].ID)
	if w := p.do("POST", path+"/acknowledge", `{"by":"Ann","note":"fan ordered"}`); w.Code != 200 {
		t.Fatalf("acknowledge: %d %s", w.Code, w.Body)
	}
	if got := read[fettle.Alarm](t, p.rig, path); got.State != fettle.Acknowledged || got.AcknowledgedBy != "Ann" || got.Note != "fan ordered" {
		t.Errorf("answered: %+v", got)
	}
	for query, want := range map[string]int{"": 1, "?state=unanswered": 0, "?state=all&machine=mill": 1, "?machine=lathe": 0} {
		if list := read[alarmList](t, p.rig, "/api/v1/alarms"+query); len(list.Alarms) != want {
			t.Errorf("%s: %d alarms, want %d", query, len(list.Alarms), want)
		}
	}
	for body, says := range map[string]string{`{"by":"` + strings.Repeat("x", 129) + `"}`: "128", `{"note":"` + strings.Repeat("x", 2001) + `"}`: "2000"} {
		if w := p.do("POST", path+"/acknowledge", body); w.Code != 422 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("too long: %d %s", w.Code, w.Body)
		}
	}
	if w := p.do("POST", path+"/acknowledge", `{"by":"Bob"}`); w.Code != 409 {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
}

// mustBeSound checks everything in a store of readings.
func mustBeSound(t testing.TB, rows *readings.Store) {
	t.Helper()
	if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
		t.Errorf("check of the readings found %q, %v", r.Faults, err)
	}
}
