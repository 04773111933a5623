package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
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

// A rig is a tunnel that runs against the fake.
type rig struct {
	t *testing.T
	*Tunnel
	calls string
	stop  func()

	mu     sync.Mutex
	states []fettle.Tunnel
}

// loopbackOnly keeps a test from asking anybody outside.
func loopbackOnly(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" && host != "localhost" {
		return nil, fmt.Errorf("%s is not on this computer", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// keyed plays the keyed listener.
func keyed(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			_, _ = w.Write([]byte(`{"status":"ok"}`))
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func start(t *testing.T, mode string, change ...func(*Config, *Deps, *pace)) *rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &rig{t: t, calls: filepath.Join(dir, "calls")}
	t.Setenv(fake.Mode, mode)
	t.Setenv(fake.Calls, r.calls)
	address := keyed(t)
	cfg := Config{Kind: Quick, Binary: self, Folder: filepath.Join(dir, "tunnel"), Places: Places{Dirs: []string{filepath.Join(dir, "home")}}}
	deps := Deps{
		Keyed: func() string { return address }, Open: func() string { return "127.0.0.1:1" }, HasKey: func() bool { return true },
		Changed: func(s fettle.Tunnel) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.states = append(r.states, s)
		},
		Public: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the fake's edge signs itself
			DialContext:     loopbackOnly,
		}},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	p := pace{
		poll: 10 * time.Millisecond, hung: 2 * time.Minute, lost: 2 * time.Minute, grace: time.Minute,
		first: time.Millisecond, most: 10 * time.Millisecond, calm: time.Hour, lookEvery: 20 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg, &deps, &p)
	}
	r.Tunnel = New(cfg, deps)
	r.pace = p
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := r.State(); got.State != fettle.TunnelOff || got.URL != "" {
			t.Errorf("after the end: %+v", got)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// until waits for a state that was told.
func (r *rig) until(what string, is func(fettle.Tunnel) bool) fettle.Tunnel {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		for i, s := range r.states {
			if is(s) {
				r.states = r.states[i+1:]
				r.mu.Unlock()
				return s
			}
		}
		r.mu.Unlock()
	}
	r.t.Fatalf("never %s; it is %+v", what, r.State())
	return fettle.Tunnel{}
}

func up(s fettle.Tunnel) bool { return s.State == fettle.TunnelUp }

func downWith(part string) func(fettle.Tunnel) bool {
	return func(s fettle.Tunnel) bool { return s.State == fettle.TunnelDown && strings.Contains(s.Detail, part) }
}

func (r *rig) said() string {
	r.t.Helper()
	text, err := os.ReadFile(r.calls)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// A quick tunnel comes up, its address is told, and answers from outside.
func TestReady(t *testing.T) {
	t.Setenv("TUNNEL_URL", "http://127.0.0.1:1")
	t.Setenv("FETTLE_DATA_DIR", "x")
	r := start(t, fake.Ready)
	s := r.until("up", up)
	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") || s.Kind != Quick || s.Starts != 1 {
		t.Errorf("%+v", s)
	}
	r.until("reached", func(s fettle.Tunnel) bool { return s.Outside == fettle.OutsideReached && s.Detail == "" })
	if call := r.said(); !strings.Contains(call, "--no-autoupdate --metrics 127.0.0.1:") || !strings.Contains(call, "--url http://"+r.Keyed()) || !strings.HasSuffix(call, " | \n") {
		t.Errorf("called with %s", call)
	}
	r.stop()
	if log, err := os.ReadFile(filepath.Join(r.cfg.Folder, LogFile)); err != nil || !strings.Contains(string(log), "Starting tunnel") {
		t.Errorf("its log: %q, %v", log, err)
	}
}

func TestNeverReadyIsStartedAnew(t *testing.T) {
	r := start(t, fake.NeverReady, func(_ *Config, _ *Deps, p *pace) { p.lost = time.Second })
	r.until("down", downWith("had no connection to Cloudflare for too long"))
	r.until("started again", func(s fettle.Tunnel) bool { return s.Starts == 2 })
}

func TestHangingIsStartedAnew(t *testing.T) {
	for _, mode := range []string{fake.Hangs, fake.Garbage} {
		t.Run(mode, func(t *testing.T) {
			r := start(t, mode, func(_ *Config, _ *Deps, p *pace) { p.hung = time.Second })
			s := r.until("down", downWith("did not answer on its metrics address"))
			if strings.ContainsAny(s.Detail, "\x00\x1b\x07") {
				t.Errorf("detail %q", s.Detail)
			}
			r.until("started again", func(s fettle.Tunnel) bool { return s.Starts == 2 })
		})
	}
}

func TestDeathIsFollowedByAStart(t *testing.T) {
	r := start(t, fake.Dies)
	s := r.until("down", downWith("ERR failed to serve tunnel connection"))
	if !strings.Contains(s.Detail, "next try in 1ms") {
		t.Errorf("detail %q", s.Detail)
	}
	r.until("down again, with a longer pause", downWith("next try in 2ms"))
	r.until("the longest pause", downWith("next try in 10ms"))
}

func TestChangedAddressIsFollowed(t *testing.T) {
	r := start(t, fake.Changes)
	first := r.until("up", up)
	second := r.until("another address", func(s fettle.Tunnel) bool { return up(s) && s.URL != first.URL })
	if !strings.HasPrefix(second.URL, "https://localhost:") || second.Starts != 1 {
		t.Errorf("%+v", second)
	}
	r.until("reached there", func(s fettle.Tunnel) bool { return s.URL == second.URL && s.Outside == fettle.OutsideReached })
}

// Who ignores the request to stop is killed, with all that it has started.
func TestStubbornIsKilledWithItsChildren(t *testing.T) {
	r := start(t, fake.IgnoresTerm, func(_ *Config, _ *Deps, p *pace) { p.grace = 50 * time.Millisecond })
	var pid int
	for end := time.Now().Add(2 * time.Minute); pid == 0; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(r.calls + ".child")
		pid, _ = strconv.Atoi(string(text))
		if time.Now().After(end) {
			t.Fatal("it never started a child")
		}
	}
	r.until("up", up)
	r.stop()
	for end := time.Now().Add(time.Minute); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("its child %d still runs", pid)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*Config, *Deps, *pace)
		want   string
	}{
		{"no key", func(_ *Config, d *Deps, _ *pace) { d.HasKey = func() bool { return false } }, "fettle key create"},
		{"no keyed listener", func(_ *Config, d *Deps, _ *pace) { d.Keyed = func() string { return "" } }, "http.keyed_listen is off"},
		{"no cloudflared", func(c *Config, _ *Deps, _ *pace) { c.Binary = "no-such-program" }, "cloudflared is not there (no-such-program). Get"},
		{"no file", func(c *Config, _ *Deps, _ *pace) { c.Kind, c.Name = Named, "plant" }, "fettle tunnel setup NAME --hostname HOST"},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := start(t, fake.Ready, c.change)
			r.until("down", downWith(c.want))
			if exists(r.calls) {
				t.Errorf("cloudflared was started: %s", r.said())
			}
		})
	}
}

// A token never stands on a command line.
func TestTokenIsHidden(t *testing.T) {
	r := start(t, fake.Ready, func(c *Config, _ *Deps, _ *pace) {
		c.Kind, c.Token, c.Hostname = Named, "very secret", "iot.plant.example"
	})
	if s := r.until("up", up); s.URL != "https://iot.plant.example" {
		t.Errorf("%+v", s)
	}
	r.stop()
	if call := r.said(); strings.Contains(call, "secret") || !strings.HasSuffix(call, " run | TUNNEL_TOKEN\n") {
		t.Errorf("called with %s", call)
	}
}

// Files that cloudflared has already are used as they are, if they lead to the
// keyed listener; else it is said what to change.
func TestNamedWithAFileThatIsThere(t *testing.T) {
	for _, c := range []struct {
		what, service string
		up            bool
		want          string
	}{
		{"keyed", "http://localhost:KEYED", true, "https://iot.plant.example"},
		{"open", "http://localhost:1", false, "the listener that knows the local user; change it to http://127.0.0.1:"},
		{"elsewhere", "http://localhost:3000", false, "leads nowhere to fettle; add a rule"},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := start(t, fake.Ready, func(cfg *Config, d *Deps, _ *pace) {
				_, port, _ := strings.Cut(d.Keyed(), ":")
				cfg.Kind, cfg.Name = Named, "plant"
				text := "tunnel: plant\ningress:\n- hostname: IOT.plant.example\n  service: " + strings.Replace(c.service, "KEYED", port, 1) + "\n- service: http_status:404\n"
				if err := writeFile(filepath.Join(cfg.Places.Dirs[0], "config.yml"), text); err != nil {
					t.Fatal(err)
				}
			})
			if !c.up {
				r.until("down", downWith(c.want))
				return
			}
			if s := r.until("up", up); s.URL != c.want {
				t.Errorf("%+v", s)
			}
			if call := r.said(); !strings.Contains(call, "config.yml --no-autoupdate --metrics 127.0.0.1:") || !strings.Contains(call, " run plant |") {
				t.Errorf("called with %s", call)
			}
		})
	}
}

// A service that keeps the tunnel already is not doubled.
func TestInstalledServiceIsNotDoubled(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there the registry holds it
	}
	r := start(t, fake.Ready, func(cfg *Config, d *Deps, _ *pace) {
		cfg.Kind, cfg.Name = Named, "plant"
		file := filepath.Join(cfg.Places.Dirs[0], "config.yml")
		unit := filepath.Join(cfg.Places.Dirs[0], "cloudflared.service")
		cfg.Places.Units = []string{unit}
		if err := writeFile(file, "tunnel: plant\ningress:\n- hostname: iot.plant.example\n  service: http://127.0.0.1:1\n"); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(unit, "[Service]\nExecStart=/usr/bin/cloudflared --no-autoupdate --config "+file+" tunnel run\n"); err != nil {
			t.Fatal(err)
		}
	})
	s := r.until("elsewhere", func(s fettle.Tunnel) bool { return s.State == fettle.TunnelElsewhere })
	if s.URL != "https://iot.plant.example" || !strings.Contains(s.Detail, "not started a second time") || !strings.Contains(s.Detail, "the listener that knows the local user") {
		t.Errorf("%+v", s)
	}
	if exists(r.calls) {
		t.Errorf("cloudflared was started: %s", r.said())
	}
}

// A public address where something else answers, or nobody, is told apart.
func TestOutsideView(t *testing.T) {
	r := start(t, fake.Ready, func(_ *Config, d *Deps, _ *pace) {
		other := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(other.Close)
		d.Keyed = func() string { return other.Listener.Addr().String() }
	})
	r.until("not reached", func(s fettle.Tunnel) bool {
		return s.Outside == fettle.OutsideNotReached && strings.Contains(s.Detail, "answers 404 Not Found to /healthz")
	})
	r = start(t, fake.Ready, func(_ *Config, d *Deps, _ *pace) { d.Keyed = func() string { return "127.0.0.1:1" } })
	r.until("not reached", func(s fettle.Tunnel) bool {
		return s.Outside == fettle.OutsideNotReached && strings.Contains(s.Detail, "502 Bad Gateway")
	})
	r = start(t, fake.Ready, func(_ *Config, d *Deps, _ *pace) { d.Public = &http.Client{} })
	r.until("unknown", func(s fettle.Tunnel) bool {
		return s.Outside == fettle.OutsideUnknown && strings.Contains(s.Detail, "could not be asked from this computer")
	})
}
