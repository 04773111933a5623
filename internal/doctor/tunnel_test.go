//go:build unix

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/api"
	"fettle/internal/tunnel/fake"
)

// The test binary is started again as cloudflared.
func TestMain(m *testing.M) {
	if os.Getenv(fake.Mode) != "" {
		fake.Main()
		return
	}
	os.Exit(m.Run())
}

func TestCloudflared(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "cloudflared")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no such architecture >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		mode, binary string
		state        State
		says         []string
	}{
		{"off", none, Off, []string{"only a tunnel needs it"}},
		{"quick", none, Error, []string{"cloudflared is not there", "developers.cloudflare.com", "tunnel.binary"}},
		{"quick", broken, Error, []string{"no such architecture", "tunnel.binary"}},
		{"off", self, OK, []string{"cloudflared version 2026.8.0 (fake)", self}},
	} {
		t.Setenv(fake.Mode, fake.Ready)
		patient := told(t, api.Status{})
		patient.Config.Tunnel.Mode, patient.Config.Tunnel.Binary = c.mode, c.binary
		wants(t, Examine(t.Context(), patient), "cloudflared", c.state, c.says...)
	}
}

// Whatever leads strangers to the listener that knows the local user is named,
// with what to change; a tunnel to the other listener, or to something else than
// fettle, is nobody's business.
func TestWhereTunnelsLead(t *testing.T) {
	for _, c := range []struct {
		service string // in the rule of the file
		unit    string // what is installed; empty: nothing
		check   string
		state   State // empty: there is no such line
		says    []string
	}{
		{"http://localhost:8000", "", "tunnel file", Warning, []string{"config.yml leads to http://127.0.0.1:8000, the listener that knows the local user", "change it to http://127.0.0.1:8001"}},
		{"http://localhost:8001", "", "tunnel file", "", nil},
		{"http://localhost:3000", "", "tunnel file", "", nil},
		{"http://localhost:8001", "", "tunnel service", "", nil},
		{"http://127.0.0.1:8000", "--config FILE tunnel run", "tunnel service", Error, []string{"cloudflared.service", "knows the local user", "change it to http://127.0.0.1:8001", "restart it"}},
		{"http://127.0.0.1:8001", "--config FILE tunnel run", "tunnel service", OK, []string{"config.yml"}},
		{"http://127.0.0.1:8001", "--config /nowhere/config.yml tunnel run", "tunnel service", Warning, []string{"/nowhere/config.yml", "no such file"}},
		{"http://127.0.0.1:8001", "tunnel run --token xyz", "tunnel service", OK, []string{"stand at Cloudflare", "http://127.0.0.1:8001"}},
	} {
		dir := t.TempDir()
		file, unit := filepath.Join(dir, "config.yml"), filepath.Join(dir, "cloudflared.service")
		rules := "tunnel: plant\ningress:\n- hostname: iot.example.com\n  service: " + c.service + "\n- service: http_status:404\n"
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		patient := told(t, api.Status{Addresses: api.Addresses{HTTP: "127.0.0.1:8000", KeyedHTTP: "127.0.0.1:8001"}})
		patient.Places.Dirs = []string{dir}
		if c.unit != "" {
			patient.Places.Units = []string{unit}
			if err := os.WriteFile(unit, []byte("[Service]\nExecStart=/usr/bin/cloudflared "+strings.ReplaceAll(c.unit, "FILE", file)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f := gather(t.Context(), patient)
		report := Report(append(tunnelService(t.Context(), f), tunnelFiles(t.Context(), f)...))
		if c.state != "" {
			wants(t, report, c.check, c.state, c.says...)
			continue
		}
		for _, finding := range report {
			if finding.Check == c.check {
				t.Errorf("%s: %+v", c.service, finding)
			}
		}
	}
}
