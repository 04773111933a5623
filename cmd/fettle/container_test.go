//go:build peers_light

package main

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/config"
)

// TestContainer runs what compose.yaml has in its container as a plain process:
// its own check finds it healthy, strangers need a key, sensors a password, and
// it ends well when it is told to.
func TestContainer(t *testing.T) {
	c := composed(t, "compose.yaml", "MQTT_PASSWORD=open sesame")
	wellKept(t, c)
	data := filepath.Join(t.TempDir(), "data")
	p := plain{container: c.Services["fettle"], dir: t.TempDir(), programs: map[string]string{"/fettle": buildFettle(t)},
		replace: strings.NewReplacer("/data", data, ":8000", ":0", ":8001", ":0", ":1883", ":0", ":9001", ":0")}
	if p.command(t.Context(), p.Healthcheck.Test[1:]...).Run() == nil {
		t.Error("it is healthy before it was started")
	}
	defer p.start(t)()
	p.healthy(t)
	at, err := config.ReadServer(data)
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.command(t.Context(), "/fettle", "key", "create", "me").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(made)), "\n")
	for key, want := range map[string]int{"": http.StatusForbidden, lines[len(lines)-1]: http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+loopback(t, at.KeyedHTTP)+"/workspaces", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-API-Key", key)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("with the key %q: %s", key, answer.Status)
		}
	}
	_, port, err := net.SplitHostPort(at.MQTT)
	if err != nil {
		t.Fatal(err)
	}
	for password, welcome := range map[string]bool{"open sesame": true, "another": false} {
		out, err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-u", "sensor", "-P", password, "-q", "1", "-t", "fettle/press/readings", "-m", `{"heat": 20}`).CombinedOutput()
		if (err == nil) != welcome {
			t.Errorf("password %q: %v: %s", password, err, out)
		}
	}
}

// loopback is an address of all interfaces as it is called from here.
func loopback(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// The other file is checked here too, and run in test-peers.
func TestComposeFull(t *testing.T) {
	c := composed(t, "compose.full.yaml", secretsOfFull...)
	wellKept(t, c)
	if len(c.Services) != 8 {
		t.Errorf("%d services; expected Mosquitto, InfluxDB, Spark's four, fettle and cloudflared", len(c.Services))
	}
}
