package tunnel

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"fettle/internal/child"
)

// The real cloudflared, where there is one, understands our command line and
// answers at its metrics address as the fake does. The address of a quick
// tunnel comes from a service of our own, and its edge is a port of loopback
// where nobody listens: it is never ready, and asks nobody outside.
func TestRealCloudflared(t *testing.T) {
	path, err := exec.LookPath("cloudflared")
	if err != nil {
		t.Logf("no cloudflared on the PATH: only the fake was tested")
		return
	}
	version, err := Cloudflared{path}.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("with %s, %s", path, version)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"success":true,"result":{"id":"6ff42ae2-0000-4000-8000-000000000001","name":"t","hostname":"brave-cat.trycloudflare.com","account_tag":"a","secret":"c2VjcmV0"},"errors":[]}`))
	}))
	defer service.Close()
	address := keyed(t)
	one := New(Config{Kind: Quick, Binary: path, Folder: t.TempDir()}, Deps{Keyed: func() string { return address }, HasKey: func() bool { return true }})
	run, err := one.plan()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		cmd := exec.Command(run.binary, append(run.args, "--quick-service", service.URL, "--edge", "127.0.0.1:1")...)
		ended <- child.Run(ctx, cmd, 10*time.Second, nil)
	}()
	for {
		status, text, err := run.metrics.get(ctx, "/quicktunnel")
		if err == nil && status == http.StatusOK {
			if name, err := parseQuickTunnel(text); err != nil || name != "brave-cat.trycloudflare.com" {
				t.Errorf("/quicktunnel: %q, %v", name, err)
			}
			break
		}
		if !sleep(ctx, 50*time.Millisecond) {
			t.Fatal("it never answered at its metrics address")
		}
	}
	status, text, err := run.metrics.get(ctx, "/ready")
	if err != nil {
		t.Fatal(err)
	}
	if ready, err := parseReady(status, text); ready || err != nil {
		t.Errorf("/ready: %v, %v", ready, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
