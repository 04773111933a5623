package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/VictoriaMetrics/metrics"
	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/ingest"
)

func (a *API) addServer() {
	add(a, Read, get("/status", "get-status", tagServer, "How the server does: its parts, machines and resources"),
		func(context.Context, *struct{}) (*answer[Status], error) {
			return &answer[Status]{statusNotNull(a.Status())}, nil
		})

	a.addTunnel()

	add(a, Read, get("/rejected", "list-rejected", tagServer, "The last messages that could not be read, and why"),
		func(context.Context, *struct{}) (*answer[rejectedList], error) {
			return &answer[rejectedList]{rejectedList{append([]ingest.Rejection{}, a.Ingest.Rejected()...)}}, nil
		})
}

type rejectedList struct {
	Rejected []ingest.Rejection `json:"rejected" doc:"The last 100"`
}

func statusNotNull(s Status) Status {
	s.Parts = append([]Part{}, s.Parts...)
	s.Machines = append([]MachineStatus{}, s.Machines...)
	return s
}

// addPlainRoutes adds what monitors ask, and the door for browsers.
func (a *API) addPlainRoutes() {
	a.addPlain(open, huma.Operation{
		Method: http.MethodGet, Path: healthPath, OperationID: "healthz", Tags: []string{tagServer},
		Summary: "200 while the program is alive; needs no key and tells nothing", Responses: returns(a.json(state{})),
	}, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, state{Status: "ok"})
	})

	ready := returns(a.json(state{}))
	ready["503"] = &huma.Response{Description: "Not yet, or not any more", Content: a.json(state{})}
	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/readyz", OperationID: "readyz", Tags: []string{tagServer},
		Summary: "200 while every part answers", Responses: ready,
	}, func(w http.ResponseWriter, r *http.Request) {
		if err := a.Ready(); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, state{Status: "not ready", Reason: err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, state{Status: "ready"})
	})

	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/metrics", OperationID: "metrics", Tags: []string{tagServer},
		Summary:   "Metrics in the text format of Prometheus",
		Responses: returns(content{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}),
	}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.writeMetrics(w)
	})

	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: loginPath, OperationID: "login-form", Tags: []string{tagServer},
		Summary:   "The form for a key, to browsers that have none; leads to / otherwise",
		Responses: map[string]*huma.Response{"303": {Description: "See /"}},
	}, http.RedirectHandler("/", http.StatusSeeOther).ServeHTTP)
	a.addPlain(open, huma.Operation{
		Method: http.MethodPost, Path: loginPath, OperationID: "login", Tags: []string{tagServer},
		Summary: "Exchange a key for a session cookie, as the form does",
		RequestBody: &huma.RequestBody{Required: true, Content: content{"application/x-www-form-urlencoded": {Schema: &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{"key": {Type: huma.TypeString}, "next": {Type: huma.TypeString}}, Required: []string{"key"},
		}}}},
		Responses: map[string]*huma.Response{"303": {Description: "Signed in; see next, or /"}, "403": {Description: "Wrong key"}, "429": {Description: "Too many wrong keys"}},
	}, a.sessions.login)
	a.addPlain(open, huma.Operation{
		Method: http.MethodPost, Path: logoutPath, OperationID: "logout", Tags: []string{tagServer},
		Summary: "End the session", Responses: map[string]*huma.Response{"303": {Description: "Signed out; see /"}},
	}, a.sessions.logout)
}

// state answers /healthz and /readyz.
type state struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty" doc:"Why not"`
}

// writeMetrics writes what the listeners counted, what the status tells, what
// the app adds, and what is known of the process.
func (a *API) writeMetrics(w io.Writer) {
	a.traffic.set.WritePrometheus(w)
	s := a.Status()
	metrics.WriteGaugeFloat64(w, labelled("fettle_build_info", "version", s.Version), 1)
	metrics.WriteGaugeFloat64(w, "fettle_uptime_seconds", s.UptimeSeconds)
	metrics.WriteGaugeFloat64(w, "fettle_data_bytes", float64(s.Resources.DiskBytes))
	metrics.WriteGaugeFloat64(w, "fettle_data_free_bytes", float64(s.Resources.DiskFreeBytes))
	for _, p := range s.Parts {
		metrics.WriteGaugeFloat64(w, labelled("fettle_part_up", "part", p.Name), truth(p.State == PartOK || p.State == PartWarning))
	}
	for _, m := range s.Machines {
		metrics.WriteGaugeFloat64(w, labelled("fettle_machine_last_sample_timestamp_seconds", "machine", m.Name), float64(m.Last.UnixMicro())/1e6)
		metrics.WriteGaugeFloat64(w, labelled("fettle_machine_alarm", "machine", m.Name), truth(m.State == fettle.StateAlarm))
	}
	if a.Samples != nil {
		for _, sample := range a.Samples() {
			metrics.WriteGaugeFloat64(w, sample.Name, sample.Value)
		}
	}
	metrics.WriteProcessMetrics(w)
}

// labelled is the name of a metric with one label, its value escaped.
func labelled(name, label, value string) string {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	return fmt.Sprintf(`%s{%s="%s"}`, name, label, escape.Replace(value))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
