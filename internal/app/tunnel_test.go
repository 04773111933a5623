package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/events"
	"fettle/internal/tunnel/fake"
)

// The configured tunnel comes up; its address is an event, in the status and at
// the foot of the page; and it is gone when the server is.
func TestServerKeepsATunnel(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t.TempDir())
	cfg.Tunnel.Mode, cfg.Tunnel.Binary = "quick", self
	a, err := New(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "fettle key create") {
		t.Fatalf("without a key it ran, or did not say what to do: %v", err)
	}
	cfg.Tunnel.Mode = "off"
	server := startApp(t, cfg)
	if _, _, err := server.keys.Create("phone", []api.Scope{api.Read}); err != nil {
		t.Fatal(err)
	}
	server.stop(t)

	t.Setenv(fake.Mode, fake.Ready)
	cfg.Tunnel.Mode = "quick"
	server = startApp(t, cfg)
	defer server.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var s fettle.Tunnel
	reader := server.flow.events.Subscribe(0, events.Filter{Kinds: []fettle.EventKind{fettle.EventTunnel}})
	defer reader.Close()
	for s.State != fettle.TunnelUp {
		e, err := reader.Next(ctx)
		if err != nil {
			t.Fatalf("never up, but %+v: %v", s, err)
		}
		if err := json.Unmarshal(e.Data, &s); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Addresses().Public; got != s.URL || !strings.HasPrefix(got, "https://") {
		t.Errorf("the status names %q, the event %q", got, s.URL)
	}
	if part := server.tunnels.part(); !strings.HasPrefix(part.Detail, "quick, up, "+s.URL) {
		t.Errorf("part %+v", part)
	}
	if _, err := server.tunnels.HoldTunnel(ctx, "named", "plant"); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("a second tunnel: %v", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.Addresses().HTTP+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if page, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(page), `From outside <a href="`+s.URL+`"`) {
		t.Errorf("the page does not name %s: %v", s.URL, err)
	}
}
