package influx

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// A standIn answers as a test wants, for what a real InfluxDB cannot be made to
// answer at will. The real one is in cmd/fettle's tests of peers.
type standIn struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []string            // requests: method, path and query, and the body
	refuse func(string) string // what to refuse a request with: "429 message"; "" for nothing
	answer string              // of queries
	reply  func(string) string // the same, by what was asked; nil: answer
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{refuse: func(string) string { return "" }}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	text, _ := io.ReadAll(body)
	asked := r.Method + " " + r.URL.RequestURI() + "\n" + string(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, asked)
	if r.Header.Get("Authorization") != "Token secret" {
		http.Error(w, `{"code":"unauthorized","message":"unauthorized access"}`, http.StatusUnauthorized)
		return
	}
	if refused := s.refuse(asked); refused != "" {
		var status int
		_, _ = fmt.Sscan(refused, &status)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":"some","message":%q}`, refused[4:])
		return
	}
	switch r.URL.Path {
	case "/api/v2/write":
		w.WriteHeader(http.StatusNoContent)
	case "/api/v2/query":
		answer := s.answer
		if s.reply != nil {
			answer = s.reply(asked)
		}
		_, _ = io.WriteString(w, answer)
	case "/api/v2/orgs":
		_, _ = io.WriteString(w, `{"orgs":[{"id":"0123"}]}`)
	case "/api/v2/buckets":
		_, _ = io.WriteString(w, `{"buckets":[]}`)
	}
}

// requests are those that were made, in their order.
func (s *standIn) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.asked...)
}

func (s *standIn) refuseWith(refuse func(asked string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

func (s *standIn) target() Target { return Target{URL: s.URL, Org: "o", Token: "secret"} }

// A home is a store of readings and what goes with it.
type home struct {
	t    *testing.T
	dir  string
	db   *db.DB
	rows *readings.Store
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir()}
	h.open()
	t.Cleanup(func() { _ = h.db.Close() })
	return h
}

func (h *home) open() {
	h.t.Helper()
	var err error
	if h.db, err = db.Open(filepath.Join(h.dir, "db"), db.Options{}); err != nil {
		h.t.Fatal(err)
	}
	if h.rows, err = readings.Open(h.db, h.dir, nil); err != nil {
		h.t.Fatal(err)
	}
}

// reopen is a restart.
func (h *home) reopen() {
	h.t.Helper()
	if err := h.db.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

// put stores a reading of one sensor at a number of seconds.
func (h *home) put(machine string, second int, sensor string, value float64) {
	h.t.Helper()
	if _, err := h.rows.Append([]fettle.Reading{{Machine: machine, Time: at(second), Values: []fettle.Value{{Sensor: sensor, Value: value}}}}); err != nil {
		h.t.Fatal(err)
	}
}

func at(second int) time.Time { return time.Unix(1_764_044_400+int64(second), 0).UTC() }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// while runs something until a condition holds.
func while(t *testing.T, run func(context.Context) error, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// shown writes a line's machine, values and seconds: "m x=1 3".
func shown(lines string) (out []string) {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "sensor_data,workspace_id="))
		line = strings.Replace(line, " 17640444", " ", 1)
		out = append(out, strings.TrimSuffix(line, "000000"))
	}
	return out
}
