// Package web is the page: what is known of the machines comes in, and HTML
// that a person understands at one glance goes out.
//
// Three pages, each the answer to one question: the fleet (who needs me?), a
// machine (what is wrong, and what comes next?), the alarms (what is
// unanswered?). The server writes each of them whole, so that they can be read
// without a script. The scripts under static/ add what must move: they follow
// the event log, draw the curves, fetch the same page again when something
// changed and lay it over the old one, and send the acknowledgements.
//
// The package never talks to another host, keeps no state of its own, decides
// nothing about a machine, and writes to nobody: changes go through the JSON
// API on the same origin.
package web

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"time"

	"fettle"
)

//go:embed static templates
var files embed.FS

// Deps is what the page is told. The functions are called while a page is
// written, from many goroutines.
type Deps struct {
	Machines func() []fettle.Machine // worst first, each with its open alarms
	// Alarms lists alarms by state ("open", "unanswered" or "all"), of one
	// machine or of all ("").
	Alarms  func(state, machine string, limit int) []fettle.Alarm
	Unit    func(sensor string) string // "" if it has none
	Version string

	// What follows may be left out.

	Verdict func(machine string) (fettle.Verdict, bool) // the newest verdict
	// Ahead names the forecasters of which the API has a forecast of a machine,
	// the one that is shown unless asked for another first, so that the page does
	// not ask for one in vain. nil: it has none.
	Ahead func(ctx context.Context, machine string) []string
	// Trust says how a forecaster's forecasts of a machine came out. nil: unknown.
	Trust func(machine, forecaster string) Trust
	// Training is a machine's run under way, or else its newest. nil: there are none.
	Training func(machine string) (fettle.Training, bool)
	Public   func() string    // address under which the page can be reached from outside; nil or "": none
	Broker   func() string    // where sensors publish, host:port; nil: 127.0.0.1:1883
	Zone     *time.Location   // the plant's; nil: the server's
	Now      func() time.Time // wall clock; nil: time.Now
}

// A Site serves the pages and the files they need.
type Site struct {
	deps   Deps
	pages  *template.Template
	assets *assets
}

// New prepares the pages. It fails if a function is missing.
func New(deps Deps) (*Site, error) {
	if deps.Machines == nil || deps.Alarms == nil || deps.Unit == nil {
		return nil, errors.New("make the site: Machines, Alarms and Unit are needed")
	}
	if deps.Verdict == nil {
		deps.Verdict = func(string) (fettle.Verdict, bool) { return fettle.Verdict{}, false }
	}
	if deps.Ahead == nil {
		deps.Ahead = func(context.Context, string) []string { return nil }
	}
	if deps.Training == nil {
		deps.Training = func(string) (fettle.Training, bool) { return fettle.Training{}, false }
	}
	if deps.Trust == nil {
		deps.Trust = func(string, string) Trust { return Trust{} }
	}
	if deps.Public == nil {
		deps.Public = func() string { return "" }
	}
	if deps.Broker == nil {
		deps.Broker = func() string { return "127.0.0.1:1883" }
	}
	if deps.Zone == nil {
		deps.Zone = serverZone()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	assets, err := loadAssets(static)
	if err != nil {
		return nil, err
	}
	pages, err := template.New("").Funcs(template.FuncMap{"static": assets.url}).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	return &Site{deps: deps, pages: pages, assets: assets}, nil
}

// Handler routes the pages and the static files.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(s.fleet))
	mux.HandleFunc("GET /m/{machine}", s.page(s.machine))
	mux.HandleFunc("GET /alarms", s.page(s.alarms))
	mux.HandleFunc("GET /", s.page(nothing))
	mux.Handle("GET /static/dashboard.html", http.RedirectHandler("/", http.StatusTemporaryRedirect)) // the old system's page
	mux.Handle("GET /static/", s.assets)
	return mux
}
