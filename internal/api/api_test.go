package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/backup"
	"fettle/internal/broker"
	"fettle/internal/codec"
	"fettle/internal/db"
	"fettle/internal/events"
	"fettle/internal/forecast"
	"fettle/internal/ingest"
	"fettle/internal/model"
	"fettle/internal/notify"
	"fettle/internal/readings"
)

// noon is when tests happen unless they say otherwise.
var noon = time.Date(2025, 11, 25, 12, 0, 0, 0, time.UTC)

// A rig is an API over rooms that answer what a test puts into them: for the
// behaviour of HTTP alone. What needs the real rooms is in rooms_test.go.
type rig struct {
	*API
	*rooms
	now *time.Time
}

func newRig(t testing.TB, change ...func(*Config, *Deps)) rig {
	t.Helper()
	d, err := db.Open(t.TempDir(), db.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	now := noon
	clock := func() time.Time { return now }
	users, err := broker.OpenAccounts(d, clock)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(d, clock)
	if err != nil {
		t.Fatal(err)
	}
	log, err := events.Open(d, clock)
	if err != nil {
		t.Fatal(err)
	}
	rooms := &rooms{made: map[string]forecast.Made{}}
	cfg := Config{Version: "1.2.3", Lines: codec.OldShape(), LocalOpen: true, Hosts: []string{"Fettle.Plant.Example"}, Now: clock}
	registry, err := model.Open(t.TempDir(), clock, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	deps := Deps{
		Registry: registry,
		Machines: func() []fettle.Machine { return rooms.machines }, Models: func() []fettle.Model { return rooms.models },
		Unit:     func(sensor string) string { return map[string]string{"current": "A", "tempA": "°C"}[sensor] },
		Readings: rooms, Ingest: rooms, Forecasts: rooms, Scores: rooms, Verdicts: verdictRoom{rooms}, Alarms: rooms, Accept: rooms.Accept, Notices: rooms,
		Events: log, Keys: keys, Users: users, Keeping: rooms, Tunnels: rooms, Status: func() Status { return rooms.status }, Ready: func() error { return rooms.notReady },
		Settings: rooms, Silences: rooms, Pace: func() (time.Duration, time.Duration) { return time.Minute, 10 * time.Minute },
		AdminToken: "secret of this run",
	}
	for _, c := range change {
		c(&cfg, &deps)
	}
	a, err := New(cfg, deps, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return rig{a, rooms, &now}
}

// rooms answer what a test put into them.
type rooms struct {
	stopped  bool
	machines []fettle.Machine
	models   []fettle.Model
	rows     []fettle.Reading
	made     map[string]forecast.Made
	why      error
	checked  forecast.Validation
	checkErr error
	alarms   []fettle.Alarm
	status   Status
	notReady error
	submit   error
	refused  int
	tunnel   fettle.Tunnel
	settings SettingsState
	change   fettle.SettingsChange
	silences []fettle.Silence
	held     chan fettle.Tunnel // states of the tunnel that is held; nil: it cannot be
}

func (r *rooms) Settings() SettingsState { return r.settings }

func (r *rooms) Reload() fettle.SettingsChange { return r.change }

func (r *rooms) Silence(s fettle.Silence) (fettle.Silence, error) {
	s.ID = uint64(len(r.silences) + 1)
	r.silences = append(r.silences, s)
	return s, nil
}

func (r *rooms) EndSilence(id uint64, by string) (fettle.Silence, error) {
	if id == 0 || id > uint64(len(r.silences)) {
		return fettle.Silence{}, fettle.Errorf(fettle.NotFound, "no silence %d", id)
	}
	s := r.silences[id-1]
	s.EndedBy = by
	return s, nil
}

func (r *rooms) Silences(string) []fettle.Silence { return r.silences }

func (r *rooms) Tunnel() fettle.Tunnel { return r.tunnel }

func (r *rooms) HoldTunnel(ctx context.Context, kind, name string) (<-chan fettle.Tunnel, error) {
	if r.held == nil {
		return nil, fettle.Errorf(fettle.Conflict, "there is one already")
	}
	out := make(chan fettle.Tunnel)
	go func() {
		defer close(out)
		for {
			select {
			case s := <-r.held:
				s.Kind, s.Name = kind, name
				out <- s
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (r *rooms) Info(machine string) (readings.Info, bool) {
	for _, m := range r.machines {
		if m.Name == machine {
			return readings.Info{Machine: machine, Sensors: m.Sensors, Rows: int64(len(r.rows))}, true
		}
	}
	return readings.Info{}, false
}

func (r *rooms) Last(_ string, _ time.Time, n int) ([]fettle.Reading, error) {
	return r.rows[max(0, len(r.rows)-n):], nil
}

func (r *rooms) Range(_ string, from, to time.Time, yield func(fettle.Reading) error) error {
	for _, row := range r.rows {
		if row.Time.Before(from) || !row.Time.Before(to) {
			continue
		}
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

func (r *rooms) Points(string, []string, time.Time, time.Time, int) (readings.Points, error) {
	return readings.Points{}, nil
}

func (r *rooms) Backup(_ context.Context, dir string) (backup.Note, error) {
	return backup.Note{Version: dir}, r.submit
}

func (r *rooms) Stop() { r.stopped = true }

func (r *rooms) Check(context.Context) (readings.Report, error) {
	return readings.Report{Rows: 7, Faults: []string{}}, nil
}

func (r *rooms) Status() []notify.AddressStatus {
	return []notify.AddressStatus{{Receiver: "maintenance", Kind: "email", To: "anna@example.com", Waiting: 2}}
}

func (r *rooms) Dead(n int) ([]notify.DeadLetter, error) {
	return []notify.DeadLetter{{Number: 7, Receiver: "chat", Notices: n}}, nil
}

func (r *rooms) Resend(receiver string, number uint64) ([]notify.Resent, error) {
	if receiver == "nobody" {
		return nil, fettle.Errorf(fettle.NotFound, "no dead letters of %s", receiver)
	}
	return []notify.Resent{{Number: number, Receiver: "chat", Notices: 5}}, nil
}

func (r *rooms) Test(_ context.Context, receiver string) ([]notify.Tested, error) {
	if receiver == "nobody" {
		return nil, fettle.Errorf(fettle.NotFound, "no receiver nobody")
	}
	return []notify.Tested{{Receiver: "chat", Error: "post to http://chat: 500"}}, nil
}

func (r *rooms) Submit(_ context.Context, rows []fettle.Reading) (ingest.Result, error) {
	if r.submit != nil {
		return ingest.Result{}, r.submit
	}
	return ingest.Result{Stored: len(rows)}, nil
}

func (r *rooms) Refuse(string, []byte, error) { r.refused++ }
func (r *rooms) Rejected() []ingest.Rejection { return nil }

func (r *rooms) Latest(machine, _ string) (forecast.Made, bool) {
	made, found := r.made[machine]
	return made, found
}
func (r *rooms) Fresh(_ context.Context, machine, _ string) (forecast.Made, error) {
	return r.made[machine], r.why
}
func (r *rooms) Explain(_, _ string) error { return r.why }
func (r *rooms) Accuracy(machine, forecaster string, from, to time.Time) (forecast.Accuracy, error) {
	return forecast.Accuracy{Machine: machine, Forecaster: forecaster, From: from, To: to, Beaten: true, BeatenBy: forecast.LastValue}, nil
}
func (r *rooms) Coverage(string, string) ([]forecast.SensorCoverage, error) {
	held := 0.89
	return []forecast.SensorCoverage{{Sensor: "current", Promise: 0.9, Coverage: &held, Scored: 500, Width: 2.5}}, nil
}
func (r *rooms) Drift(string, string) (forecast.Drift, bool) { return forecast.Drift{}, false }
func (r *rooms) Validate(context.Context, string) (forecast.Validation, error) {
	return r.checked, r.checkErr
}

func (r *rooms) List(alarm.Filter) []fettle.Alarm { return r.alarms }
func (r *rooms) Get(id uint64) (fettle.Alarm, error) {
	for _, one := range r.alarms {
		if one.ID == id {
			return one, nil
		}
	}
	return fettle.Alarm{}, fettle.Errorf(fettle.NotFound, "no alarm %d", id)
}

func (r *rooms) Acknowledge(id uint64, by, note string) (fettle.Alarm, error) {
	one, err := r.Get(id)
	one.AcknowledgedBy, one.Note = by, note
	return one, err
}

func (r *rooms) Accept(id uint64, by, note string) (fettle.Alarm, error) {
	one, err := r.Get(id)
	one.AcceptedBy, one.Note = by, note
	return one, err
}

// verdictRoom is apart because Range is a method of the readings too.
type verdictRoom struct{ *rooms }

func (verdictRoom) Latest(string) (fettle.Verdict, bool)                                 { return fettle.Verdict{}, false }
func (verdictRoom) Range(string, time.Time, time.Time, func(fettle.Verdict) error) error { return nil }
func (verdictRoom) LastAnomalies(string, int) ([]fettle.Anomaly, error)                  { return nil, nil }

// A change makes a request different from the plain one of the local user.
type change func(*http.Request)

func header(name, value string) change {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func peer(address string) change { return func(r *http.Request) { r.RemoteAddr = address } }
func host(name string) change    { return func(r *http.Request) { r.Host = name } }
func withKey(text string) change { return header("X-API-Key", text) }

// tunnelled makes a request look as cloudflared passes it on.
func tunnelled(r *http.Request) {
	r.Host = "iot.plant.example"
	r.Header.Set("Cf-Connecting-Ip", "203.0.113.7")
	r.Header.Set("Cf-Ray", "8f0000000000aaaa-FRA")
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("X-Forwarded-Proto", "https")
}

// request is the local user's, as curl makes it.
func request(method, target, body string, changes ...change) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Host, r.RemoteAddr = "127.0.0.1:8000", "127.0.0.1:51234"
	r.Header.Set("Accept", "*/*")
	for _, c := range changes {
		c(r)
	}
	return r
}

func (r rig) do(method, target, body string, changes ...change) *httptest.ResponseRecorder {
	return r.ask(false, request(method, target, body, changes...))
}

func (r rig) get(target string, changes ...change) *httptest.ResponseRecorder {
	return r.do(http.MethodGet, target, "", changes...)
}

func (r rig) ask(keyed bool, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.Handler(keyed).ServeHTTP(w, req)
	return w
}

// key makes a key with scopes.
func (r rig) key(t *testing.T, scopes ...Scope) string {
	t.Helper()
	text, _, err := r.Keys.Create("test key", scopes)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Only an administrator ends the server.
func TestStop(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		who     change
		status  int
		stopped bool
	}{
		{withKey(""), http.StatusForbidden, false},
		{withKey(r.key(t, Operate)), http.StatusForbidden, false},
		{withKey(r.key(t, Admin)), http.StatusAccepted, true},
	} {
		if got := r.ask(true, request(http.MethodPost, "/api/v1/stop", "", c.who)); got.Code != c.status || r.rooms.stopped != c.stopped {
			t.Errorf("%d, stopped %v; expected %d, %v", got.Code, r.rooms.stopped, c.status, c.stopped)
		}
	}
}
