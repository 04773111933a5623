package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A key, and an address, may ask so often; others do not pay for it.
func TestRates(t *testing.T) {
	rig := newRig(t, func(c *Config, _ *Deps) { c.KeyRate, c.AddressRate = 3, 5 })
	one, other := withKey(rig.key(t)), withKey(rig.key(t))
	from := func(address string) change { return header("X-Forwarded-For", address) }
	ask := func(want int, changes ...change) *httptest.ResponseRecorder {
		t.Helper()
		w := rig.get("/workspaces", append([]change{tunnelled}, changes...)...)
		if w.Code != want {
			t.Errorf("got %d, want %d: %s", w.Code, want, w.Body)
		}
		return w
	}
	for range 3 {
		ask(200, one, from("203.0.113.1"))
	}
	w := ask(429, one, from("203.0.113.2"))
	if w.Header().Get("Retry-After") != "21" || w.Body.String() != `{"detail":"Too Many Requests"}` {
		t.Errorf("Retry-After %q, %s", w.Header().Get("Retry-After"), w.Body)
	}
	ask(200, other, from("203.0.113.1"))
	ask(403, from("203.0.113.1"))
	ask(429, from("203.0.113.1")) // before the key is looked at
	ask(429, other, from("203.0.113.1"))
	ask(200, other, from("203.0.113.3"))
	if w := rig.get("/healthz", tunnelled, from("203.0.113.1")); w.Code != 200 {
		t.Errorf("a monitor: %d", w.Code)
	}
	for range 20 {
		if w := rig.get("/workspaces"); w.Code != 200 {
			t.Fatalf("the local user: %d", w.Code)
		}
	}
	if w := rig.get("/api/v1/machines", tunnelled, one, from("203.0.113.4")); w.Code != 429 || !strings.Contains(w.Body.String(), `"code":"too many requests"`) {
		t.Errorf("the new routes: %d %s", w.Code, w.Body)
	}
	*rig.now = rig.now.Add(20 * time.Second) // a third of a minute's allowance of 3
	ask(200, one, from("203.0.113.5"))
	ask(429, one, from("203.0.113.5"))
	// One IPv6 customer has as many addresses as he likes.
	for i := range 5 {
		ask(403, from(fmt.Sprintf("2001:db8:1:2::%x", i)))
	}
	ask(429, from("2001:db8:1:2:ffff::1"))
	ask(403, from("2001:db8:1:3::1"))
}

func TestRatesAreChanged(t *testing.T) {
	rig := newRig(t, func(c *Config, _ *Deps) { c.KeyRate, c.AddressRate = 3000, 3000 })
	one := withKey(rig.key(t))
	for i, want := range []int{200, 200, 429} {
		rig.SetRates(2, 3000) // what was left of 3000 is none of the new limit's
		if w := rig.get("/workspaces", tunnelled, one); w.Code != want {
			t.Errorf("request %d: got %d, want %d", i, w.Code, want)
		}
	}
	rig.SetRates(0, 0)
	if w := rig.get("/workspaces", tunnelled, one); w.Code != 200 {
		t.Errorf("without a limit: %d", w.Code)
	}
}

// However many callers there are, little is kept of them.
func TestLimiterIsBounded(t *testing.T) {
	now := noon
	l := newLimiter(2, func() time.Time { return now })
	for i := range maxLimited + 10 {
		l.take(fmt.Sprint(i))
	}
	if n := len(l.left); n > maxLimited+1 {
		t.Errorf("%d callers kept", n)
	}
	if l.take("one more") == 0 {
		t.Error("callers beyond the bound share one allowance, which is used up")
	}
	now = now.Add(time.Minute)
	if l.take("one more") != 0 || len(l.left) != 1 {
		t.Errorf("who has rested is forgotten: %d kept", len(l.left))
	}
}

// Who came by https is to come by nothing else.
func TestStaysSecure(t *testing.T) {
	rig := newRig(t, func(c *Config, _ *Deps) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} })
	secure := header("X-Forwarded-Proto", "https")
	for _, c := range []struct {
		what    string
		changes []change
		want    string
	}{
		{"tunnel", []change{tunnelled}, staySecure},
		{"configured proxy", []change{peer("10.0.0.9:1"), secure}, staySecure},
		{"whoever says so", []change{peer("192.0.2.9:1"), secure}, ""},
		{"local user", nil, ""},
	} {
		if got := rig.get("/workspaces", c.changes...).Header().Get("Strict-Transport-Security"); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	plain := header("X-Forwarded-Proto", "http")
	if w := rig.get("/docs", peer("10.0.0.9:1"), host("iot.example"), plain); w.Code != 307 || w.Header().Get("Location") != "https://iot.example/docs" {
		t.Errorf("configured proxy: %d %s", w.Code, w.Header().Get("Location"))
	}
}

// Pages of listed sites may call with a key, and of no others.
func TestOrigins(t *testing.T) {
	rig := newRig(t, func(c *Config, _ *Deps) { c.Origins = []string{"https://dash.example"} })
	key := withKey(rig.key(t))
	dash, evil := header("Origin", "https://dash.example"), header("Origin", "https://evil.example")
	preflight := header("Access-Control-Request-Method", "GET")
	cross := header("Sec-Fetch-Site", "cross-site")
	for _, c := range []struct {
		what, method string
		changes      []change
		status       int
		allowed      string
	}{
		{"preflight", "OPTIONS", []change{tunnelled, dash, preflight}, 204, "https://dash.example"},
		{"preflight of another", "OPTIONS", []change{tunnelled, evil, preflight}, 403, ""},
		{"with a key", "GET", []change{tunnelled, dash, cross, key}, 200, "https://dash.example"},
		{"without", "GET", []change{tunnelled, dash, cross}, 403, "https://dash.example"},
		{"in the local user's browser, without", "GET", []change{dash, cross}, 403, "https://dash.example"},
		{"another with a key", "GET", []change{tunnelled, evil, cross, key}, 200, ""},
	} {
		w := rig.do(c.method, "/workspaces", "", c.changes...)
		if w.Code != c.status || w.Header().Get("Access-Control-Allow-Origin") != c.allowed || !slices.Contains(w.Header().Values("Vary"), "Origin") {
			t.Errorf("%s: %d, %v", c.what, w.Code, w.Header())
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: cookies are let through", c.what)
		}
	}
	body := `{"machine":"m","current":1}`
	if w := rig.do("POST", "/api/v1/readings", body, tunnelled, dash, cross, key); w.Code != 204 {
		t.Errorf("a listed page writes: %d %s", w.Code, w.Body)
	}
	if w := rig.do("POST", "/api/v1/readings", body, tunnelled, evil, cross, key); w.Code != 403 {
		t.Errorf("another page writes: %d %s", w.Code, w.Body)
	}
	if w := newRig(t).get("/workspaces", tunnelled, dash); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("nobody is listed, and yet allowed")
	}
}

// A body that is too large is refused, through the tunnel as elsewhere.
func TestLargeBodyIsRefused(t *testing.T) {
	rig := newRig(t)
	for _, path := range []string{"/api/v1/readings", "/api/v1/keys", "/login"} {
		body := `{"name":"` + strings.Repeat("x", 2<<20) + `"}`
		w := rig.ask(true, request("POST", path, body, tunnelled, withKey(rig.key(t, Admin)), header("Content-Type", "application/json")))
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTunnelState(t *testing.T) {
	rig := newRig(t)
	rig.tunnel = fettle.Tunnel{State: fettle.TunnelUp, Kind: "quick", URL: "https://a.example", Outside: fettle.OutsideReached, Starts: 1}
	if got := read[fettle.Tunnel](t, rig, "/api/v1/tunnel"); got != rig.tunnel {
		t.Errorf("%+v", got)
	}
	if w := rig.do("POST", "/api/v1/tunnel", `{"kind":"quick"}`); w.Code != 403 {
		t.Errorf("the local user opens a tunnel: %d", w.Code)
	}
	admin := header("Authorization", "Bearer secret of this run")
	if w := rig.do("POST", "/api/v1/tunnel", `{"kind":"quick"}`, admin); w.Code != 409 || !strings.Contains(w.Body.String(), "there is one already") {
		t.Errorf("a second one: %d %s", w.Code, w.Body)
	}
	if w := rig.do("POST", "/api/v1/tunnel", `{"kind":"wide"}`, admin); w.Code != 422 {
		t.Errorf("an unknown kind: %d %s", w.Code, w.Body)
	}
}

// A tunnel is held as long as the request lasts, and each state told at once.
func TestTunnelIsHeld(t *testing.T) {
	rig := newRig(t)
	rig.held = make(chan fettle.Tunnel)
	server := httptest.NewServer(rig.Handler(false))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/api/v1/tunnel", strings.NewReader(`{"kind":"named","name":"plant"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret of this run")
	r.Header.Set("Content-Type", "application/json")
	go func() { rig.held <- fettle.Tunnel{State: fettle.TunnelStarting} }()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for _, state := range []fettle.TunnelState{fettle.TunnelStarting, fettle.TunnelUp} {
		if state != fettle.TunnelStarting {
			rig.held <- fettle.Tunnel{State: state}
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), `"state":"`+string(state)+`","kind":"named","name":"plant"`) {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
}

func FuzzVisitor(f *testing.F) {
	for _, seed := range []string{"203.0.113.7", "1.1.1.1, 2001:db8::1", ",", "", "fe80::1%eth0", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, chain string) {
		r := request("GET", "/", "", header("X-Forwarded-For", chain))
		if network(proxies(nil).visitor(r)) == "" {
			t.Errorf("%q: nobody asks", chain)
		}
	})
}
