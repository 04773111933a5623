package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// The routes of the system that fettle replaces. Old dashboards and scripts
// live on them, so their paths, keys and words stay as they are, for ever: the
// golden files under testdata hold them. Where fettle knows more, it adds keys.
//
// Two things are better than they were: HEAD works, and numbers are in the
// sensors' own units, not in shares of their range.
func (a *API) addOldRoutes() {
	routes := []oldRoute{
		{"/", "old-root", "Who answers here; a browser gets the page", returns(a.json(rootBody{})), a.root},
		{"/workspaces", "old-workspaces", "Names of the machines; with format=object the other shape that the old system had", returns(a.json([]string{})), a.workspaces},
		{"/inference/status", "old-inference-status", "How often machines are forecast, and from what", returns(a.json(inferenceBody{})), a.inferenceStatus},
		{"/predict/{machine}", "old-predict", "A machine's newest forecast; errors come with status 200 too", returns(a.json(predictBody{})), a.predict},
		{"/validate/{machine}", "old-validate", "A machine's model on its newest readings; errors come with status 200 too", returns(a.json(validateBody{})), a.validate},
		{"/validation", "old-validation", "The validation of every machine, as a page or, if asked for, as JSON", returns(a.json(map[string]validateBody{})), a.validation},
		{"/api", "old-api", "What there is to call", returns(a.json(apiBody{})), a.apiInfo},
		{"/static/dashboard.html", "old-dashboard", "Leads to /", leads("/"), http.RedirectHandler("/", http.StatusTemporaryRedirect).ServeHTTP},
	}
	for _, route := range routes {
		op := huma.Operation{
			Method: http.MethodGet, Path: route.path, OperationID: route.id, Tags: []string{tagOld},
			Summary: route.summary, Responses: route.answers,
		}
		switch route.path {
		case "/predict/{machine}", "/validate/{machine}":
			op.Parameters = pathParam("machine")
		case "/workspaces":
			op.Parameters = []*huma.Param{{Name: "format", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"object"}}}}
		}
		a.addPlain(Read, op, route.handle)
	}
}

type oldRoute struct {
	path, id, summary string
	answers           map[string]*huma.Response
	handle            http.HandlerFunc
}

// rootBody answers /.
type rootBody struct {
	Service string `json:"service"`
	Status  string `json:"status"`
	Version string `json:"version" doc:"fettle's"`
	Docs    string `json:"docs"`
	API     string `json:"api"`
}

func (a *API) root(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if a.Page != nil && prefersHTML(r) {
		a.Page.ServeHTTP(w, r)
		return
	}
	writeJSON(w, http.StatusOK, rootBody{
		Service: "IOT Inference", Status: "running", Version: a.cfg.Version, Docs: "/docs", API: "/api/v1",
	})
}

// workspacesBody answers /workspaces?format=object.
type workspacesBody struct {
	Status     string   `json:"status"`
	Workspaces []string `json:"workspaces_with_models"`
	Total      int      `json:"total_models"`
}

// workspaces lists the machines. The plain list holds everyone that has sent a
// reading or has a model, so that a script that walks it and asks /predict
// hears of a machine that still learns why it has no forecast. The object holds
// those with a model, as its key says.
func (a *API) workspaces(w http.ResponseWriter, r *http.Request) {
	modelled := a.modelled()
	if r.URL.Query().Get("format") == "object" {
		writeJSON(w, http.StatusOK, workspacesBody{Status: "success", Workspaces: modelled, Total: len(modelled)})
		return
	}
	all := slices.Clone(modelled)
	for _, m := range a.Machines() {
		all = append(all, m.Name)
	}
	slices.Sort(all)
	writeJSON(w, http.StatusOK, slices.Compact(all))
}

// modelled lists the machines that have a model, sorted; never nil.
func (a *API) modelled() []string {
	names := []string{}
	for _, m := range a.Models() {
		names = append(names, m.Machine)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// inferenceBody answers /inference/status.
type inferenceBody struct {
	IntervalSeconds int      `json:"interval_seconds"`
	LookbackMinutes int      `json:"lookback_minutes"`
	Status          string   `json:"status"`
	AvailableModels []string `json:"available_models"`
	Message         string   `json:"message"`
}

func (a *API) inferenceStatus(w http.ResponseWriter, r *http.Request) {
	interval, lookback := a.Pace()
	message := "Inference running directly from stored readings"
	if !a.anyActive() {
		message = "No active workspaces found"
	}
	writeJSON(w, http.StatusOK, inferenceBody{
		IntervalSeconds: int(interval / time.Second),
		LookbackMinutes: int(lookback / time.Minute),
		Status:          "success",
		AvailableModels: a.modelled(),
		Message:         message,
	})
}

// anyActive tells whether a machine has sent anything within the look-back.
func (a *API) anyActive() bool {
	_, lookback := a.Pace()
	since := a.cfg.Now().Add(-lookback)
	for _, m := range a.Machines() {
		if m.Arrived.After(since) {
			return true
		}
	}
	return false
}

// apiBody answers /api. The endpoints keep their order in the answer.
type apiBody struct {
	Service   string           `json:"service"`
	Version   string           `json:"version" doc:"Of the old API"`
	Mode      string           `json:"mode"`
	Endpoints bySensor[string] `json:"endpoints"`
}

func (a *API) apiInfo(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, apiBody{
		Service: "IOT Predictive Maintenance Inference API",
		Version: "2.0",
		Mode:    "Inference from stored readings",
		Endpoints: bySensor[string]{
			{"/", "Page of the machines; JSON for programs"},
			{"/workspaces", "Names of the machines"},
			{"/inference/status", "How often machines are forecast, and from what"},
			{"/predict/{workspace_id}", "Newest forecast of a machine"},
			{"/validate/{workspace_id}", "A machine's model on its newest readings"},
			{"/validation", "Validation of every machine"},
			{"/docs", "Description of the API"},
			{"/api/v1", "The API to build on"},
		},
	})
}
