package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// The routes by which InfluxDB is known to whoever writes to it: what can write
// line protocol to InfluxDB 2, or 1, can write to fettle. Statuses, bodies and
// words of errors are those of InfluxDB 2.7, because that is what such clients
// act upon. Tokens are keys of fettle.
const (
	influxWrite   = "/api/v2/write"
	influxWriteV1 = "/write"
	influxPing    = "/ping"
	influxHealth  = "/health"
	influxReady   = "/ready"
)

// influxVersion is the InfluxDB whose manners these are; clients ask for it.
const influxVersion = "v2.7.12"

func isInflux(path string) bool {
	switch path {
	case influxWrite, influxWriteV1, influxPing, influxHealth, influxReady:
		return true
	}
	return false
}

func (a *API) addInfluxRoutes() {
	a.addWriteRoute(influxWrite, "influx-write", "Send readings as line protocol, as to InfluxDB 2", []string{"org", "bucket", "precision", "shape"})
	a.addWriteRoute(influxWriteV1, "influx-write-v1", "Send readings as line protocol, as to InfluxDB 1", []string{"db", "rp", "precision", "u", "p", "shape"})
	add := func(path, id, summary string, example any, handle http.HandlerFunc) {
		answers := map[string]*huma.Response{"204": {Description: "Alive"}}
		if example != nil {
			answers = returns(a.json(example))
		}
		a.addPlain(anyKey, huma.Operation{
			Method: http.MethodGet, Path: path, OperationID: id, Tags: []string{tagInflux}, Summary: summary, Responses: answers,
		}, func(w http.ResponseWriter, r *http.Request) {
			sayInflux(w)
			handle(w, r)
		})
	}
	add(influxPing, "influx-ping", "204, and a version in the headers", nil, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	add(influxHealth, "influx-health", "Whether writes are taken, as InfluxDB says it", influxHealthBody{}, a.influxHealth)
	add(influxReady, "influx-ready", "Since when writes are taken, as InfluxDB says it", influxReadyBody{}, a.influxReady)
}

func sayInflux(w http.ResponseWriter) {
	w.Header().Set("X-Influxdb-Version", influxVersion)
	w.Header().Set("X-Influxdb-Build", "fettle")
}

// influxHealthBody answers /health.
type influxHealthBody struct {
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Status  string   `json:"status" enum:"pass,fail"`
	Checks  []string `json:"checks"`
	Version string   `json:"version"`
	Commit  string   `json:"commit"`
}

func (a *API) influxHealth(w http.ResponseWriter, r *http.Request) {
	body := influxHealthBody{Name: "fettle", Message: "ready for writes", Status: "pass", Checks: []string{}, Version: influxVersion}
	if err := a.Ready(); err != nil {
		body.Status, body.Message = "fail", err.Error()
		writeJSON(w, http.StatusServiceUnavailable, body)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// influxReadyBody answers /ready.
type influxReadyBody struct {
	Status  string    `json:"status"`
	Started time.Time `json:"started"`
	Up      string    `json:"up"`
}

func (a *API) influxReady(w http.ResponseWriter, r *http.Request) {
	s := a.Status()
	up := time.Duration(s.UptimeSeconds * float64(time.Second)).Round(time.Millisecond)
	writeJSON(w, http.StatusOK, influxReadyBody{Status: "ready", Started: s.Started, Up: up.String()})
}

// An influxError is how InfluxDB says that something went wrong.
type influxError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Line    int    `json:"line,omitempty" doc:"The first line that could not be read"`
}

// The codes that InfluxDB has for the statuses that we give.
var influxCodes = map[int]string{
	http.StatusBadRequest:            "invalid",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusForbidden:             "forbidden",
	http.StatusRequestEntityTooLarge: "request too large",
	http.StatusUnsupportedMediaType:  "invalid",
	http.StatusUnprocessableEntity:   "unprocessable entity",
	http.StatusTooManyRequests:       "too many requests",
	http.StatusServiceUnavailable:    "unavailable",
	http.StatusInternalServerError:   "internal error",
}

func writeInfluxError(w http.ResponseWriter, status int, e influxError) {
	sayInflux(w)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	e.Code = influxCodes[status]
	w.Header().Set("X-Platform-Error-Code", e.Code)
	writeJSON(w, status, e)
}

// refuseInflux says why a request may not be made: InfluxDB keeps 401 for
// whoever shows no token or a wrong one.
func refuseInflux(w http.ResponseWriter, why refusal) {
	switch {
	case why.Code == "no key" || why.Code == "wrong key":
		writeInfluxError(w, http.StatusUnauthorized, influxError{Message: "unauthorized access"})
	case why.Code == "missing scope":
		writeInfluxError(w, http.StatusForbidden, influxError{Message: "insufficient permissions for write: " + why.Why})
	default:
		writeInfluxError(w, why.Status, influxError{Message: why.Why})
	}
}

// shownToken finds the key in a request of a writer, who may also show it as a
// password, as InfluxDB 1 has it: Basic authentication, or p in the query.
func shownToken(r *http.Request) (text string, shown bool) {
	if text, shown := shownKey(r); shown {
		return text, true
	}
	if _, password, found := r.BasicAuth(); found {
		return password, true
	}
	if strings.Contains(r.URL.RawQuery, "p=") {
		text = r.URL.Query().Get("p")
	}
	return text, text != ""
}
