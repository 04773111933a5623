package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/forecast"
)

// oldPlant is the plant of the old system's guide, and two machines more: one
// that learns, one that has a model and never sent anything.
func oldPlant(t *testing.T) rig {
	rig := newRig(t)
	six := []string{"accX", "accY", "accZ", "current", "tempA", "tempB"}
	rig.machines = []fettle.Machine{
		{Name: "robot-arm-02", State: fettle.StateAlarm, Sensors: six, Arrived: noon.Add(-time.Minute)},
		{Name: "press-9", State: fettle.StateLearning, Sensors: six},
		{Name: "lathe-1-spindle", State: fettle.StateNormal, Sensors: six},
		{Name: "cnc-mill-5-axis", State: fettle.StateNormal, Sensors: six},
	}
	for _, machine := range []string{"lathe-1-spindle", "cnc-mill-5-axis", "cnc-mill-5-axis", "robot-arm-02", "spare"} {
		rig.models = append(rig.models, fettle.Model{Name: "model_" + machine + "_20251124_093154", Machine: machine})
	}
	rig.made["cnc-mill-5-axis"] = madeOf("cnc-mill-5-axis", 0)
	rig.made["robot-arm-02"] = madeOf("robot-arm-02", 9)
	return rig
}

// madeOf is a forecast of 10 steps; with a rise the current leaves the range of
// the look-back.
func madeOf(machine string, rise float64) forecast.Made {
	start := map[string]float64{"accX": 0.1, "accY": 0, "accZ": 1, "current": 17.2, "tempA": 60.1, "tempB": 61.4}
	made := forecast.Made{Forecast: fettle.Forecast{
		Machine: machine, Model: "model_" + machine + "_20251124_093154", StepSeconds: 2,
		Origin: time.Date(2025, 11, 25, 4, 20, 0, 123456000, time.UTC),
	}}
	made.Window = fettle.Window{Machine: machine}
	for row := range 50 {
		made.Window.TimesMicros = append(made.Window.TimesMicros, made.Origin.Add(time.Duration(row-49)*2*time.Second).UnixMicro())
	}
	for _, sensor := range []string{"accX", "accY", "accZ", "current", "tempA", "tempB"} {
		forecast := fettle.SensorForecast{Sensor: sensor}
		for range 10 {
			v := start[sensor]
			if sensor == "current" {
				v += rise
			}
			forecast.Values = append(forecast.Values, v)
		}
		column := make([]float64, 50)
		for row := range column {
			column[row] = start[sensor] - 0.5 + float64(row%3)/2
		}
		made.Sensors = append(made.Sensors, forecast)
		made.Window.Sensors = append(made.Window.Sensors, sensor)
		made.Window.Columns = append(made.Window.Columns, column)
		made.Scale = append(made.Scale, fettle.Span{Low: start[sensor] - 10, High: start[sensor] + 10})
	}
	return made
}

// The answers of the old routes, word for word.
func TestOldRoutes(t *testing.T) {
	rig := oldPlant(t)
	rig.checked = forecast.Validation{
		Machine: "cnc-mill-5-axis", OverallAccuracy: 91.25,
		Sensors: []forecast.SensorValidation{
			{Sensor: "accX", Predictions: []float64{0.1, 0.2}, Actuals: []float64{0.1, 0.25}, MAE: 0.025, RMSE: 0.0354, MAPE: 10},
			{Sensor: "current", Predictions: []float64{17, 17.5}, Actuals: []float64{17.2, 17.3}, MAE: 0.2, RMSE: 0.2, MAPE: 7.5},
		},
	}
	for _, c := range []struct {
		path, accept, file string
	}{
		{"/", "*/*", "root"},
		{"/", "", "root"},
		{"/", "application/json", "root"},
		{"/workspaces", "*/*", "workspaces"},
		{"/workspaces?format=object", "*/*", "workspaces-object"},
		{"/inference/status", "*/*", "inference-status"},
		{"/predict/cnc-mill-5-axis", "*/*", "predict"},
		{"/predict/robot-arm-02", "*/*", "predict-at-risk"},
		{"/validate/cnc-mill-5-axis", "*/*", "validate"},
		{"/validation", "application/json", "validation"},
		{"/api", "*/*", "api"},
	} {
		w := rig.get(c.path, header("Accept", c.accept))
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Header().Get("Content-Type"))
		}
		goldenJSON(t, c.file+".golden.json", w.Body.Bytes())
	}
}

// Errors of /predict and /validate come with status 200, as they always did.
func TestOldErrorsAreAnswers(t *testing.T) {
	rig := oldPlant(t)
	short := &forecast.NotEnough{Have: 17, Need: 120, What: "rows to fit from", Until: noon.Add(3 * time.Minute)}
	for _, c := range []struct {
		path, file string
		why, check error
	}{
		{"/predict/nobody", "predict-unknown", &fettle.Error{Kind: fettle.NotFound, Reason: forecast.ReasonUnknown, Err: errors.New("no machine")}, nil},
		{"/predict/press-9", "predict-not-enough", &fettle.Error{Kind: fettle.Unavailable, Reason: forecast.ReasonNotEnough, Err: short}, nil},
		{"/predict/press-9", "predict-pending", &fettle.Error{Kind: fettle.Unavailable, Reason: forecast.ReasonPending, Err: errors.New("due soon")}, nil},
		{"/predict/press-9", "predict-unusable", &fettle.Error{Kind: fettle.Unavailable, Reason: forecast.ReasonModel, Err: errors.New("no such file")}, nil},
		{"/predict/press-9", "predict-now", nil, nil}, // it was made this very moment
		{"/validate/nobody", "validate-unknown", nil, &fettle.Error{Kind: fettle.NotFound, Reason: forecast.ReasonUnknown, Err: &forecast.NoModel{Machine: "nobody"}}},
		{"/validate/press-9", "validate-not-enough", nil, &fettle.Error{Kind: fettle.Unavailable, Reason: forecast.ReasonNotEnough, Err: &forecast.InsufficientData{Have: 17, Need: 60}}},
		{"/validate/press-9", "validate-broken", nil, errors.New("read /secret/path: i/o error")},
	} {
		rig.why, rig.checkErr = c.why, c.check
		w := rig.get(c.path)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Header().Get("Content-Type"))
		}
		goldenJSON(t, c.file+".golden.json", w.Body.Bytes())
	}
}

func TestOldRoutesOfAnEmptyPlant(t *testing.T) {
	rig := newRig(t)
	for path, want := range map[string]string{
		"/workspaces":               `[]`,
		"/workspaces?format=object": `{"status":"success","workspaces_with_models":[],"total_models":0}`,
		"/inference/status":         `{"interval_seconds":60,"lookback_minutes":10,"status":"success","available_models":[],"message":"No active workspaces found"}`,
		"/validation":               `{}`,
	} {
		if w := rig.get(path, header("Accept", "application/json")); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestInferenceStatusKnowsWhoIsActive(t *testing.T) {
	rig := newRig(t)
	for ago, want := range map[time.Duration]string{
		time.Minute: "Inference running directly from stored readings", 11 * time.Minute: "No active workspaces found",
	} {
		rig.machines = []fettle.Machine{{Name: "m", Arrived: noon.Add(-ago)}}
		if w := rig.get("/inference/status"); !strings.Contains(w.Body.String(), want) {
			t.Errorf("arrived %s ago: %s", ago, w.Body)
		}
	}
}

// What was measured on the old system, and what fettle changed on purpose.
func TestOldManners(t *testing.T) {
	rig := oldPlant(t)
	for _, c := range []struct {
		method, path   string
		status         int
		location, body string
	}{
		{"GET", "/nowhere", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/predict", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/predict/", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/predict/a/b", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/sensor/latest", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/inference/last-prediction", 404, "", `{"detail":"Not Found"}`},
		{"POST", "/workspaces", 405, "", `{"detail":"Method Not Allowed"}`},
		{"PUT", "/predict/cnc-mill-5-axis", 405, "", `{"detail":"Method Not Allowed"}`},
		{"DELETE", "/", 405, "", `{"detail":"Method Not Allowed"}`},
		{"OPTIONS", "/workspaces", 405, "", `{"detail":"Method Not Allowed"}`},
		{"GET", "/workspaces/", 307, "/workspaces", ""},
		{"GET", "/predict/cnc-mill-5-axis/", 307, "/predict/cnc-mill-5-axis", ""},
		{"GET", "/predict/a%2Fb/?x=1", 307, "/predict/a%2Fb?x=1", ""},
		{"POST", "/workspaces/", 307, "/workspaces", ""},
		{"GET", "/nowhere/", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/static/dashboard.html", 307, "/", ""},
		{"GET", "/static/other.html", 404, "", `{"detail":"Not Found"}`},
		{"GET", "/redoc", 307, "/docs", ""},
		{"HEAD", "/workspaces", 200, "", ""},
		{"HEAD", "/predict/cnc-mill-5-axis", 200, "", ""},
	} {
		w := rig.do(c.method, c.path, "")
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.path, w.Code, w.Header().Get("Location"), c.status, c.location)
		}
		if c.body != "" && (w.Body.String() != c.body || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("%s %s: got %s (%s), want %s", c.method, c.path, w.Body, w.Header().Get("Content-Type"), c.body)
		}
		if allow := w.Header().Get("Allow"); (c.status == 405) != (allow == "GET") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, allow)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: CORS", c.method, c.path)
		}
	}
}

// A slash too much must never lead to another server.
func TestNoRedirectLeadsElsewhere(t *testing.T) {
	rig := newRig(t)
	for _, path := range []string{"//evil.example/", "//evil.example/workspaces/", "/%2Fevil.example/", `/\evil.example/`, "//evil.example//", "/predict//evil.example/"} {
		r := request("GET", "/", "")
		r.URL.Path, r.URL.RawPath, r.RequestURI = path, "", path
		w := rig.ask(false, r)
		if to := w.Header().Get("Location"); to != "" && (strings.HasPrefix(to, "//") || !strings.HasPrefix(to, "/")) {
			t.Errorf("%s leads to %s", path, to)
		}
	}
}

// Who gets the page, and who JSON.
func TestPageIsForBrowsers(t *testing.T) {
	rig := newRig(t, func(_ *Config, d *Deps) {
		d.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("page of " + r.URL.Path)) })
	})
	chrome := "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	for _, c := range []struct {
		path, accept string
		page         bool
	}{
		{"/", chrome, true},
		{"/", "text/html", true},
		{"/", "text/*", true},
		{"/", "text/html;q=0.9, application/json;q=0.8", true},
		{"/", "*/*", false},
		{"/", "", false},
		{"/", "application/json", false},
		{"/", "application/json, text/html", false},
		{"/", "text/html;q=0.5, */*", false},
		{"/", "text/html;q=0", false},
		{"/", "text/html;q=nonsense, ;;;", true},
		{"/m/lathe-1", chrome, true},
		{"/m/lathe-1", "*/*", false},
		{"/alarms", chrome, true},
		{"/static/app.js", "*/*", true},
		{"/workspaces", chrome, false},
		{"/workspaces/", chrome, false},
		{"/api/v1/nowhere", chrome, false},
	} {
		w := rig.get(c.path, header("Accept", c.accept))
		if page := w.Body.String() == "page of "+c.path; page != c.page {
			t.Errorf("%s, Accept %q: page %v, want %v: %s", c.path, c.accept, page, c.page, w.Body)
		}
		if c.path == "/" && w.Header().Get("Vary") != "Accept" {
			t.Errorf("/ varies by %q", w.Header().Get("Vary"))
		}
	}
}

func TestValidationPage(t *testing.T) {
	rig := oldPlant(t)
	rig.checked = forecast.Validation{Machine: "x", OverallAccuracy: 91.25, Sensors: []forecast.SensorValidation{{Sensor: "<current>", MAE: 0.25}}}
	w := rig.get("/validation")
	for _, part := range []string{"cnc-mill-5-axis", "91.2", "&lt;current&gt;", "0.25"} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("%q is not in %s", part, w.Body)
		}
	}
	if kind := w.Header().Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Error(kind)
	}
	rig.checkErr = errors.New("No model for x")
	if w := rig.get("/validation"); w.Code != 200 {
		t.Errorf("with an error: %d", w.Code)
	}
}
