package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/broker"
	"fettle/internal/codec"
	"fettle/internal/events"
	"fettle/internal/forecast"
	"fettle/internal/ingest"
	"fettle/internal/model"
	"fettle/internal/readings"
	"fettle/internal/train"
)

// A Config says how the API behaves.
type Config struct {
	Version     string
	Lines       codec.Shape    // where writers of line protocol put machine and sensors
	LocalOpen   bool           // the local user needs no key to read, ingest and operate
	Hosts       []string       // further names of this machine, beside localhost and loopback addresses
	Origins     []string       // of other sites' pages that may call with a key, such as https://dashboard.example
	Proxies     []netip.Prefix // elsewhere, whose word about a visitor is believed
	KeyRate     int            // requests a minute with one key; 0: no limit
	AddressRate int            // the same from one address that is not the local user's
	Now         func() time.Time
}

// SetRates changes how often people may ask, from the next request on.
func (a *API) SetRates(perKey, perAddress int) {
	a.byKey.set(perKey)
	a.byAddress.set(perAddress)
}

// Deps is what the API reads from and acts on. All of it is safe for concurrent
// use.
type Deps struct {
	Machines  func() []fettle.Machine // the one that needs people most first
	Models    func() []fettle.Model
	Unit      func(sensor string) string // empty if unknown
	Readings  Readings
	Ingest    Ingest
	Forecasts Forecasts
	Scores    Scores
	Verdicts  Verdicts
	Alarms    Alarms
	Accept    func(alarm uint64, by, note string) (fettle.Alarm, error) // what it tells of is normal now
	Notices   Notices
	Events    *events.Log
	Training  Training
	Workers   Workers
	Keys      *Keys
	Keeping   Keeping
	Users     *broker.Accounts
	Registry  *model.Folder // Models are its versions
	Tunnels   Tunnels
	Settings  Settings
	Silences  Silences
	// Pace is how often short forecasts are made and how far they look back, as
	// /inference/status tells it.
	Pace func() (interval, lookback time.Duration)

	Status  func() Status
	Samples func() []Sample // what /metrics tells beside the status; may be nil
	Ready   func() error    // nil when everything answers

	// Page serves everything that is drawn; without it there is only JSON.
	Page http.Handler

	// AdminToken is the secret that the running server shares with commands
	// beside it; empty if there is none.
	AdminToken string
}

// Readings is what the API needs of the store of readings.
type Readings interface {
	Info(machine string) (readings.Info, bool)
	Last(machine string, until time.Time, n int) ([]fettle.Reading, error)
	Range(machine string, from, to time.Time, yield func(fettle.Reading) error) error
	Points(machine string, sensors []string, from, to time.Time, most int) (readings.Points, error)
}

// Ingest is what the API needs of the gate for readings.
type Ingest interface {
	Submit(ctx context.Context, rows []fettle.Reading) (ingest.Result, error)
	Refuse(source string, payload []byte, err error)
	Rejected() []ingest.Rejection
}

// Forecasts is what the API needs of the forecasters.
type Forecasts interface {
	Latest(machine, forecaster string) (forecast.Made, bool)
	Fresh(ctx context.Context, machine, forecaster string) (forecast.Made, error)
	Explain(machine, forecaster string) error // why there is no forecast
	Validate(ctx context.Context, machine string) (forecast.Validation, error)
}

// Scores is what the API needs of how the forecasts came out.
type Scores interface {
	Accuracy(machine, forecaster string, from, to time.Time) (forecast.Accuracy, error)
	Coverage(machine, forecaster string) ([]forecast.SensorCoverage, error)
	Drift(machine, forecaster string) (d forecast.Drift, known bool)
}

// Verdicts is what the API needs of the judge.
type Verdicts interface {
	Latest(machine string) (fettle.Verdict, bool)
	Range(machine string, from, to time.Time, yield func(fettle.Verdict) error) error
	LastAnomalies(machine string, n int) ([]fettle.Anomaly, error)
}

// Alarms is what the API needs of the book of alarms.
type Alarms interface {
	List(alarm.Filter) []fettle.Alarm
	Get(id uint64) (fettle.Alarm, error)
	Acknowledge(id uint64, by, note string) (fettle.Alarm, error)
}

// Training is what the API needs of whoever trains.
type Training interface {
	Start(train.Request) (started []fettle.Training, refused []train.Refusal, err error)
	List(train.Filter) []fettle.Training
	Get(id uint64) (fettle.Training, error)
	Control(id uint64, what train.Action, by string) (fettle.Training, error)
}

// Workers is what the API needs of whoever has trainings done elsewhere: each
// worker shows the key of its run.
type Workers interface {
	JobRows(id uint64, key string) (io.ReadCloser, error)
	JobProgress(id uint64, key string, p train.Progress) error
}

// An API is all routes over one set of rooms.
type API struct {
	Deps
	cfg              Config
	log              *slog.Logger
	sessions         *sessions
	byKey, byAddress *limiter // for both listeners together
	byRun            *limiter // what workers of trainings ask
	crossSite        *http.CrossOriginProtection
	traffic          *traffic
	streams          chan struct{} // a place for each event stream that may be open

	mux       *http.ServeMux
	described huma.API
	scopes    map[string]Scope // what a route asks for, by its pattern in mux
}

// New puts the routes together.
func New(cfg Config, deps Deps, log *slog.Logger) (*API, error) {
	if cfg.Now == nil {
		return nil, fmt.Errorf("make the api: no clock given")
	}
	a := &API{
		Deps: deps, cfg: cfg, log: log,
		sessions: newSessions(deps.Keys, cfg.Now, cfg.Proxies),
		byKey:    newLimiter(cfg.KeyRate, cfg.Now), byAddress: newLimiter(cfg.AddressRate, cfg.Now), byRun: newLimiter(runRate, cfg.Now),
		crossSite: http.NewCrossOriginProtection(),
		traffic:   newTraffic(),
		streams:   make(chan struct{}, maxStreams),
		mux:       http.NewServeMux(),
		scopes:    map[string]Scope{},
	}
	for _, origin := range cfg.Origins {
		if err := a.crossSite.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("make the api: %w", err)
		}
	}
	a.described = humago.New(a.mux, describe(cfg.Version))
	a.addOldRoutes()
	a.addV1Routes()
	a.addPlainRoutes()
	a.addInfluxRoutes()
	if err := a.addDocs(); err != nil {
		return nil, fmt.Errorf("make the api: %w", err)
	}
	return a, nil
}

// Handler is the API as one listener serves it. keyed is the listener that asks
// everybody for a key, where a tunnel or a proxy points.
func (a *API) Handler(keyed bool) http.Handler {
	hosts := make([]string, len(a.cfg.Hosts))
	for i, host := range a.cfg.Hosts {
		hosts[i] = strings.ToLower(host)
	}
	return a.observe(&guard{
		keyed: keyed, openLocal: a.cfg.LocalOpen, adminToken: a.AdminToken, hosts: hosts,
		proxies: a.cfg.Proxies, origins: a.cfg.Origins, byKey: a.byKey, byAddress: a.byAddress,
		keys: a.Keys, sessions: a.sessions, crossSite: a.crossSite,
		need: a.need, next: http.HandlerFunc(a.dispatch),
	})
}

// need is the scope that a request takes. What has no route of its own is a
// page, where reading is free to readers and anything else acts.
func (a *API) need(r *http.Request) Scope {
	if _, pattern := a.mux.Handler(r); pattern != "" {
		if need, known := a.scopes[pattern]; known {
			return need
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return Read
	}
	return Operate
}

// dispatch finds the route. Where there is none it answers as the old system
// did: 405, 307 to the same path without its last slash, or 404. What is drawn
// is the page's; a program that asks for it without wanting HTML gets the 404.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	if _, pattern := a.mux.Handler(r); pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	if allowed := a.allowed(r); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		noRoute(w, r, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	if to, found := a.withoutSlash(r); found {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	if a.Page != nil && !isV1(r.URL.Path) && (prefersHTML(r) || strings.HasPrefix(r.URL.Path, "/static/")) {
		a.Page.ServeHTTP(w, r)
		return
	}
	noRoute(w, r, http.StatusNotFound, "Not Found")
}

func noRoute(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if isV1(r.URL.Path) {
		writeProblem(w, &Problem{Status: status, Detail: detail})
		return
	}
	writeDetail(w, status, detail)
}

// allowed lists the methods with which the path of a request has a route.
func (a *API) allowed(r *http.Request) []string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if _, pattern := a.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); pattern != "" {
			methods = append(methods, method)
		}
	}
	return methods
}

// withoutSlash finds where a path with a slash too much would lead.
func (a *API) withoutSlash(r *http.Request) (to string, found bool) {
	path, slashed := strings.CutSuffix(r.URL.EscapedPath(), "/")
	if !slashed || path == "" || strings.HasPrefix(path, "//") {
		return "", false
	}
	shorter, err := r.URL.Parse(path)
	if err != nil {
		return "", false
	}
	shorter.RawQuery = r.URL.RawQuery
	if len(a.allowed(&http.Request{URL: shorter, Host: r.Host})) == 0 {
		return "", false
	}
	return shorter.RequestURI(), true
}

func isV1(path string) bool { return path == "/api/v1" || strings.HasPrefix(path, "/api/v1/") }

// observe counts requests, bounds how long they may take, and keeps a bug in
// one of them from reaching anybody but the log.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w}
		begin := time.Now()
		defer func() {
			bug := recover()
			a.traffic.count(watched.status, time.Since(begin))
			if bug != nil {
				a.survive(bug, watched, r)
			}
		}()
		limitTime(watched, r)
		next.ServeHTTP(watched, r)
	})
}

// survive answers for a handler that panicked. An answer that has begun is
// broken off, so that nobody takes the half for the whole.
func (a *API) survive(bug any, w *watchedWriter, r *http.Request) {
	if bug != http.ErrAbortHandler {
		a.log.Error("BUG: request handler panicked", "method", r.Method, "path", r.URL.Path, "err", bug, "stack", string(debug.Stack()))
	}
	if bug == http.ErrAbortHandler || w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, &Problem{Status: http.StatusInternalServerError, Detail: "something went wrong inside fettle; its log says what"})
}
