package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Who needs a key, and who does not.
func TestGuardLetsIn(t *testing.T) {
	rig := newRig(t)
	good := rig.key(t)
	browser := header("Accept", "text/html,*/*;q=0.8")
	get := func(changes ...change) *http.Request { return request("GET", "/workspaces", "", changes...) }
	for _, c := range []struct {
		who     string
		request *http.Request
		status  int
		keyed   int // status at the listener that asks everybody
		body    string
	}{
		{"local user", get(), 200, 403, ""},
		{"local user by name", get(host("localhost:8000")), 200, 403, ""},
		{"local user by name without port", get(host("localhost")), 200, 403, ""},
		{"local user by name in capitals", get(host("LocalHost.")), 200, 403, ""},
		{"local user by IPv6", get(host("[::1]:8000"), peer("[::1]:4000")), 200, 403, ""},
		{"local user by IPv4 in IPv6", get(peer("[::ffff:127.0.0.1]:4000")), 200, 403, ""},
		{"local user by another loopback address", get(host("127.0.0.2:8000")), 200, 403, ""},
		{"local user by a name in the configuration", get(host("fettle.plant.example:8000")), 200, 403, ""},
		{"another machine", get(peer("192.0.2.9:4000"), host("192.0.2.1:8000")), 403, 403, "Not authenticated"},
		{"another machine that lies about the name", get(peer("192.0.2.9:4000")), 403, 403, "Not authenticated"},
		{"a peer nobody can read", get(peer("@")), 403, 403, "Not authenticated"},
		{"DNS rebinding", get(host("evil.example:8000")), 403, 403, "Not authenticated"},
		{"a name that only begins well", get(host("localhost.evil.example")), 403, 403, "Not authenticated"},
		{"an address that only begins well", get(host("127.0.0.1.evil.example")), 403, 403, "Not authenticated"},
		{"no name", get(host("")), 403, 403, "Not authenticated"},
		{"tunnel", get(tunnelled), 403, 403, "Not authenticated"},
		{"tunnel that rewrites the name", get(tunnelled, host("localhost:8000")), 403, 403, "Not authenticated"},
		{"a proxy that leaves only a foreign name", get(host("iot.plant.example")), 403, 403, "Not authenticated"},
		{"Cf-Connecting-Ip alone", get(header("Cf-Connecting-Ip", "127.0.0.1")), 403, 403, "Not authenticated"},
		{"Cf-Visitor alone", get(header("Cf-Visitor", `{"scheme":"https"}`)), 403, 403, "Not authenticated"},
		{"X-Forwarded-For alone", get(header("X-Forwarded-For", "127.0.0.1")), 403, 403, "Not authenticated"},
		{"X-Forwarded-Host alone", get(header("X-Forwarded-Host", "localhost")), 403, 403, "Not authenticated"},
		{"Forwarded alone", get(header("Forwarded", "for=127.0.0.1")), 403, 403, "Not authenticated"},
		{"Via alone", get(header("Via", "1.1 proxy")), 403, 403, "Not authenticated"},
		{"a header in odd capitals", get(func(r *http.Request) { r.Header["cF-rAY"] = []string{"x"} }), 403, 403, "Not authenticated"},
		{"an empty header", get(header("X-Forwarded-For", "")), 403, 403, "Not authenticated"},
		{"key", get(tunnelled, withKey(good)), 200, 200, ""},
		{"bearer", get(tunnelled, header("Authorization", "Bearer "+good)), 200, 200, ""},
		{"bearer in small letters", get(tunnelled, header("Authorization", "bearer "+good)), 200, 200, ""},
		{"key from another machine", get(peer("192.0.2.9:4000"), withKey(good)), 200, 200, ""},
		{"wrong key", get(tunnelled, withKey("test")), 403, 403, "Forbidden"},
		{"wrong bearer", get(tunnelled, header("Authorization", "Bearer test")), 403, 403, "Forbidden"},
		{"wrong secret", get(tunnelled, withKey(good[:len(good)-1]+"x")), 403, 403, "Forbidden"},
		{"key and more", get(tunnelled, withKey(good+"0")), 403, 403, "Forbidden"},
		{"only the id", get(tunnelled, withKey(good[:len("fet_0123456789ab")])), 403, 403, "Forbidden"},
		{"wrong key of the local user", get(withKey("test")), 403, 403, "Forbidden"},
		{"another kind of Authorization", get(header("Authorization", "Basic dGVzdDp0ZXN0")), 200, 403, ""},
		{"stale cookie of the local user", get(header("Cookie", "fettle_session=old")), 200, 403, ""},
		{"stale cookie through a tunnel", get(tunnelled, header("Cookie", "fettle_session=old")), 403, 403, "Not authenticated"},
		{"the run's own secret through a tunnel", get(tunnelled, header("Authorization", "Bearer secret of this run")), 403, 403, "Forbidden"},
		{"the run's own secret", get(header("Authorization", "Bearer secret of this run")), 200, 403, ""},
		{"a browser through a tunnel", get(tunnelled, browser), 403, 403, "This needs a key"},
	} {
		for keyed, want := range map[bool]int{false: c.status, true: c.keyed} {
			w := rig.ask(keyed, c.request.Clone(t.Context()))
			if w.Code != want {
				t.Errorf("%s, keyed %v: got %d, want %d: %s", c.who, keyed, w.Code, want, w.Body)
			}
			if w.Code == 403 && c.status == 403 && !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%s, keyed %v: got %s, want %q in it", c.who, keyed, w.Body, c.body)
			}
		}
	}
}

// A key shows what it may do; the local user may all but administrate.
func TestGuardScopes(t *testing.T) {
	rig := newRig(t)
	reader, writer, operator, admin := rig.key(t, Read), rig.key(t, Write), rig.key(t, Operate), rig.key(t, Admin)
	token := header("Authorization", "Bearer secret of this run")
	for _, c := range []struct {
		method, path, body                          string
		local, reader, writer, operator, admin, cli int
	}{
		{"GET", "/workspaces", "", 200, 200, 403, 403, 200, 200},
		{"GET", "/metrics", "", 200, 200, 403, 403, 200, 200},
		{"GET", "/api/v1/machines", "", 200, 200, 403, 403, 200, 200},
		{"POST", "/api/v1/readings", `{"machine":"m","current":1}`, 204, 403, 204, 403, 204, 204},
		{"POST", "/api/v1/alarms/9/acknowledge", `{}`, 404, 403, 403, 404, 404, 404},
		{"GET", "/api/v1/keys", "", 403, 403, 403, 403, 200, 200},
		{"POST", "/api/v1/backup", `{"dir":"/x"}`, 403, 403, 403, 403, 200, 200},
		{"POST", "/api/v1/check", "", 403, 403, 403, 403, 200, 200},
		{"POST", "/api/v1/keys", `{"name":"x"}`, 403, 403, 403, 403, 201, 201},
		{"DELETE", "/api/v1/keys/none", "", 403, 403, 403, 403, 404, 404},
		{"GET", "/a/page", "", 404, 404, 403, 403, 404, 404},
		{"POST", "/a/page", "", 404, 403, 403, 404, 404, 404},
		{"POST", "/workspaces", "", 405, 403, 403, 405, 405, 405},
	} {
		for who, one := range map[string]struct {
			changes []change
			want    int
		}{
			"local": {nil, c.local}, "cli": {[]change{token}, c.cli},
			"reader": {[]change{tunnelled, withKey(reader)}, c.reader}, "writer": {[]change{tunnelled, withKey(writer)}, c.writer},
			"operator": {[]change{tunnelled, withKey(operator)}, c.operator}, "admin": {[]change{tunnelled, withKey(admin)}, c.admin},
		} {
			if w := rig.do(c.method, c.path, c.body, one.changes...); w.Code != one.want {
				t.Errorf("%s %s by %s: got %d, want %d: %s", c.method, c.path, who, w.Code, one.want, w.Body)
			}
		}
	}
}

// The local user keeps the rights of the place when showing a narrower key.
func TestGuardLocalKeyOnlyAdds(t *testing.T) {
	rig := newRig(t)
	if w := rig.get("/workspaces", withKey(rig.key(t, Write))); w.Code != 200 {
		t.Errorf("local user with a writer's key: %d", w.Code)
	}
	if w := rig.get("/api/v1/keys", withKey(rig.key(t, Admin))); w.Code != 200 {
		t.Errorf("local user with an admin's key: %d", w.Code)
	}
}

func TestGuardLocalNeedsKeyIfConfigured(t *testing.T) {
	rig := newRig(t, func(c *Config, _ *Deps) { c.LocalOpen = false })
	if w := rig.get("/workspaces"); w.Code != 403 || w.Body.String() != `{"detail":"Not authenticated"}` {
		t.Errorf("without key: %d %s", w.Code, w.Body)
	}
	if w := rig.get("/workspaces", withKey(rig.key(t))); w.Code != 200 {
		t.Errorf("with key: %d", w.Code)
	}
	if w := rig.get("/api/v1/keys", header("Authorization", "Bearer secret of this run")); w.Code != 200 {
		t.Errorf("command line: %d", w.Code)
	}
}

// An empty secret is no secret: it must not let anybody administrate.
func TestGuardEmptyTokenIsNone(t *testing.T) {
	rig := newRig(t, func(_ *Config, d *Deps) { d.AdminToken = "" })
	if w := rig.get("/api/v1/keys", header("Authorization", "Bearer ")); w.Code != 403 {
		t.Errorf("empty token: %d", w.Code)
	}
}

// The tunnel's traffic comes from 127.0.0.1. Without a key it gets nothing, from
// any route, at either listener, in whatever form it asks.
func TestTunnelGetsNothing(t *testing.T) {
	rig := newRig(t, func(_ *Config, d *Deps) {
		d.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("the page")) })
	})
	paths := []string{"GET /m/lathe-1", "GET /static/app.js", "GET /nowhere", "POST /nowhere", "OPTIONS /workspaces", "HEAD /workspaces",
		"GET //workspaces", "GET /workspaces/", "GET /healthz/", "GET /healthz/../workspaces", "GET /login", "GET /%6dachines"}
	for pattern := range rig.scopes {
		paths = append(paths, strings.NewReplacer("{$}", "", "{machine}", "m", "{id}", "1", "{file}", "init.js").Replace(pattern))
	}
	if len(paths) < 40 {
		t.Fatalf("only %d routes: are they all here?", len(paths))
	}
	for _, route := range paths {
		method, path, _ := strings.Cut(route, " ")
		for _, accept := range []string{"", "*/*", "application/json", "text/html", "text/event-stream"} {
			for _, keyed := range []bool{false, true} {
				req := request(method, path, "", tunnelled, func(r *http.Request) { r.Header.Set("Accept", accept) })
				want := http.StatusForbidden
				switch route {
				case "GET /healthz":
					want = http.StatusOK
				case "POST /logout":
					want = http.StatusSeeOther // ends nobody's session but the caller's own, of which there is none
				}
				if isInflux(path) {
					want = http.StatusUnauthorized // InfluxDB's word for it
				}
				if w := rig.ask(keyed, req); w.Code != want {
					t.Errorf("%s, Accept %q, keyed %v: got %d, want %d: %s", route, accept, keyed, w.Code, want, w.Body)
				}
			}
		}
	}
}

func TestRefusalSpeaksTheClientsLanguage(t *testing.T) {
	rig := newRig(t)
	for _, c := range []struct {
		path, accept, kind, body string
	}{
		{"/predict/m", "*/*", "application/json", `{"detail":"Not authenticated"}`},
		{"/api/v1/machines", "*/*", "application/problem+json", `"code":"no key"`},
		{"/api/v1/machines", "text/html,*/*;q=0.8", "text/html; charset=utf-8", `<form method="post" action="/login">`},
		{"/m/a?x=1&y=%22", "text/html", "text/html; charset=utf-8", `name="next" value="/m/a?x=1&amp;y=%22"`},
	} {
		w := rig.get(c.path, tunnelled, func(r *http.Request) { r.Header.Set("Accept", c.accept) })
		if w.Code != 403 || w.Header().Get("Content-Type") != c.kind || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s for %s: %d %s %s", c.path, c.accept, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if strings.Contains(w.Body.String(), "<script") || strings.Contains(w.Body.String(), "http") && strings.Contains(w.Body.String(), "://") {
			t.Errorf("%s: the refusal needs a script or another server: %s", c.path, w.Body)
		}
	}
}

// Plain http through a tunnel is led to https before anything else is said.
func TestTunnelLeadsToHTTPS(t *testing.T) {
	rig := newRig(t)
	plain := func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "http") }
	for _, c := range []struct {
		method, path string
		changes      []change
		status       int
		location     string
	}{
		{"GET", "/predict/m?x=1", []change{tunnelled, plain}, 307, "https://iot.plant.example/predict/m?x=1"},
		{"GET", "/predict/a%2Fb", []change{tunnelled, plain}, 307, "https://iot.plant.example/predict/a%2Fb"},
		{"POST", "/login", []change{tunnelled, plain}, 307, "https://iot.plant.example/login"},
		{"GET", "//evil.example/x", []change{tunnelled, plain}, 307, "https://iot.plant.example//evil.example/x"},
		{"GET", "/predict/m", []change{tunnelled}, 403, ""},
		{"GET", "/healthz", []change{tunnelled, plain}, 200, ""},
		{"GET", "/predict/m", []change{plain, peer("192.0.2.9:4000")}, 403, ""}, // no tunnel of ours
	} {
		w := rig.do(c.method, c.path, "", c.changes...)
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.path, w.Code, w.Header().Get("Location"), c.status, c.location)
		}
	}
}

func TestGuardRefusesForeignWrites(t *testing.T) {
	rig := newRig(t)
	body := `{"machine":"m","current":1}`
	for _, c := range []struct {
		what    string
		changes []change
		status  int
	}{
		{"curl", nil, 204},
		{"the page", []change{header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://127.0.0.1:8000")}, 204},
		{"the page in an old browser", []change{header("Origin", "http://127.0.0.1:8000")}, 204},
		{"another site", []change{header("Sec-Fetch-Site", "cross-site"), header("Origin", "https://evil.example")}, 403},
		{"another site in an old browser", []change{header("Origin", "https://evil.example")}, 403},
		{"a file or a sandbox", []change{header("Origin", "null")}, 403},
		{"another port of this machine", []change{header("Sec-Fetch-Site", "same-site"), header("Origin", "http://127.0.0.1:9999")}, 403},
	} {
		if w := rig.do("POST", "/api/v1/readings", body, c.changes...); w.Code != c.status {
			t.Errorf("%s: got %d, want %d: %s", c.what, w.Code, c.status, w.Body)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	rig := newRig(t)
	for _, w := range []*httptest.ResponseRecorder{rig.get("/workspaces"), rig.get("/docs"), rig.get("/nowhere"), rig.get("/", tunnelled), rig.get("/", tunnelled, header("Accept", "text/html")), rig.get("/healthz")} {
		h := w.Header()
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("policy %q lacks %s", policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("policy %q is not strict", policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestHealthTellsNothing(t *testing.T) {
	rig := newRig(t)
	if w := rig.get("/healthz", tunnelled); w.Body.String() != `{"status":"ok"}` {
		t.Errorf("got %s", w.Body)
	}
}

func FuzzGuardHost(f *testing.F) {
	for _, seed := range []string{"localhost", "127.0.0.1:80", "[::1]:8000", "a]b", "[", "%zz", "localhost%00.evil.example", "127.0.0.1:x", ""} {
		f.Add(seed)
	}
	g := &guard{hosts: []string{"fettle.example"}}
	f.Fuzz(func(t *testing.T, text string) {
		name := hostName(text)
		if g.isLocalName(name) && !strings.Contains(strings.ToLower(text), name) {
			t.Errorf("%q counts as local by the name %q", text, name)
		}
	})
}
