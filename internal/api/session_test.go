package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signIn posts the form as a browser does.
func (r rig) signIn(form url.Values, changes ...change) *httptest.ResponseRecorder {
	changes = append([]change{tunnelled, header("Content-Type", "application/x-www-form-urlencoded"), header("Accept", "text/html")}, changes...)
	return r.do("POST", "/login", form.Encode(), changes...)
}

func cookieOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	return cookies[0]
}

func withCookie(c *http.Cookie) change { return header("Cookie", c.Name+"="+c.Value) }

func TestLoginExchangesKeyForCookie(t *testing.T) {
	rig := newRig(t)
	text, key, err := rig.Keys.Create("phone", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := rig.signIn(url.Values{"key": {" " + text + "\n"}, "next": {"/m/lathe-1?last=5"}})
	if w.Code != 303 || w.Header().Get("Location") != "/m/lathe-1?last=5" {
		t.Fatalf("signed in: %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	c := cookieOf(t, w)
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 30*24*3600 || strings.Contains(c.Value, key.ID) {
		t.Errorf("cookie %+v", c)
	}
	if w := rig.get("/workspaces", tunnelled, withCookie(c)); w.Code != 200 {
		t.Errorf("with the cookie: %d", w.Code)
	}
	if w := rig.get("/api/v1/keys", tunnelled, withCookie(c)); w.Code != 403 {
		t.Errorf("the cookie may administrate: %d", w.Code)
	}
	if w := rig.get("/login", tunnelled, withCookie(c)); w.Code != 303 || w.Header().Get("Location") != "/" {
		t.Errorf("GET /login signed in: %d", w.Code)
	}

	w = rig.do("POST", "/logout", "", tunnelled, withCookie(c))
	if gone := cookieOf(t, w); w.Code != 303 || gone.MaxAge >= 0 {
		t.Errorf("signed out: %d %+v", w.Code, gone)
	}
	if w := rig.get("/workspaces", tunnelled, withCookie(c)); w.Code != 403 {
		t.Errorf("after signing out: %d", w.Code)
	}
}

func TestSessionEnds(t *testing.T) {
	rig := newRig(t)
	text, key, err := rig.Keys.Create("phone", nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func() *http.Cookie { return cookieOf(t, rig.signIn(url.Values{"key": {text}})) }
	works := func(c *http.Cookie) bool { return rig.get("/workspaces", tunnelled, withCookie(c)).Code == 200 }

	first := sign()
	*rig.now = rig.now.Add(sessionLife)
	if !works(first) {
		t.Error("the session ended early")
	}
	*rig.now = rig.now.Add(time.Second)
	if works(first) {
		t.Error("the session outlived its 30 days")
	}
	second := sign()
	if err := rig.Keys.Revoke(key.ID); err != nil {
		t.Fatal(err)
	}
	if works(second) {
		t.Error("the session outlived its key")
	}
}

func TestCookieIsPlainOnlyWithoutTLS(t *testing.T) {
	rig := newRig(t)
	text := rig.key(t)
	plain := func(r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "Cf-") || strings.HasPrefix(name, "X-Forwarded-") {
				r.Header.Del(name)
			}
		}
		r.RemoteAddr, r.Host = "192.0.2.9:4000", "192.0.2.1:8000"
	}
	if c := cookieOf(t, rig.signIn(url.Values{"key": {text}}, plain)); c.Secure {
		t.Error("a cookie of plain http would never come back")
	}
}

func TestLoginNeverLeadsElsewhere(t *testing.T) {
	rig := newRig(t)
	text := rig.key(t)
	for next, want := range map[string]string{
		"": "/", "/": "/", "/m/a": "/m/a", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"javascript:alert(1)": "/", "m/a": "/", "/a\r\nSet-Cookie: x=y": "/", "/login": "/",
	} {
		w := rig.signIn(url.Values{"key": {text}, "next": {next}})
		if w.Code != 303 || w.Header().Get("Location") != want {
			t.Errorf("next %q leads to %q (%d), want %q", next, w.Header().Get("Location"), w.Code, want)
		}
	}
}

func TestLoginRefuses(t *testing.T) {
	rig := newRig(t)
	for _, c := range []struct {
		what   string
		form   url.Values
		accept string
		body   string
	}{
		{"wrong key", url.Values{"key": {"test"}, "next": {"/m/a"}}, "text/html", "no such key"},
		{"wrong key keeps its aim", url.Values{"key": {"test"}, "next": {"/m/a"}}, "text/html", `value="/m/a"`},
		{"wrong key does not come back", url.Values{"key": {"test"}}, "text/html", `type="password"`},
		{"no key", url.Values{}, "*/*", `{"detail":"Not authenticated"}`},
		{"wrong key of a program", url.Values{"key": {"test"}}, "*/*", `{"detail":"Forbidden"}`},
		{"a key of megabytes", url.Values{"key": {strings.Repeat("x", 5000)}}, "*/*", `{"detail":"Not authenticated"}`},
	} {
		w := rig.signIn(c.form, header("Accept", c.accept))
		if w.Code != 403 || !strings.Contains(w.Body.String(), c.body) || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
	}
}

func TestLoginIsNotForOtherSites(t *testing.T) {
	rig := newRig(t)
	w := rig.signIn(url.Values{"key": {rig.key(t)}}, header("Sec-Fetch-Site", "cross-site"))
	if w.Code != 403 || len(w.Result().Cookies()) > 0 {
		t.Errorf("signed in by another site: %d", w.Code)
	}
}

func TestLoginAttemptsAreLimited(t *testing.T) {
	rig := newRig(t)
	text := rig.key(t)
	try := func(key, address string) int {
		return rig.signIn(url.Values{"key": {key}}, header("X-Forwarded-For", address)).Code
	}
	for i := range maxAttempts {
		if code := try("wrong", "203.0.113.1"); code != 403 {
			t.Fatalf("attempt %d: %d", i+1, code)
		}
	}
	if code := try(text, "203.0.113.1"); code != 429 {
		t.Errorf("after %d wrong keys even the right one has to wait: got %d", maxAttempts, code)
	}
	if w := rig.signIn(url.Values{"key": {text}}, header("X-Forwarded-For", "203.0.113.1")); w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if code := try(text, "203.0.113.2"); code != 303 {
		t.Errorf("somebody else: %d", code)
	}
	*rig.now = rig.now.Add(attemptWindow)
	if code := try(text, "203.0.113.1"); code != 303 {
		t.Errorf("a minute later: %d", code)
	}

	for i := range maxAttemptsIn {
		try("wrong", fmt.Sprintf("198.51.100.%d", i))
	}
	if code := try(text, "203.0.113.9"); code != 429 {
		t.Errorf("after %d wrong keys from everywhere: %d", maxAttemptsIn, code)
	}
	if n := len(rig.sessions.attempts.by); n > maxAttemptsIn {
		t.Errorf("%d addresses remembered", n)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	rig := newRig(t)
	_, key, err := rig.Keys.Create("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	first := rig.sessions.begin(key.ID)
	*rig.now = rig.now.Add(time.Minute)
	for range maxSessions {
		rig.sessions.begin(key.ID)
	}
	if n := len(rig.sessions.open); n != maxSessions {
		t.Errorf("%d sessions", n)
	}
	if w := rig.get("/workspaces", tunnelled, withCookie(&http.Cookie{Name: sessionCookie, Value: first})); w.Code != 403 {
		t.Errorf("the oldest session should have made room: %d", w.Code)
	}
}

func TestVisitor(t *testing.T) {
	believed := proxies{netip.MustParsePrefix("10.0.0.0/24")}
	for _, c := range []struct {
		what    string
		changes []change
		want    string
	}{
		{"direct", []change{peer("192.0.2.9:4000")}, "192.0.2.9"},
		{"direct, lying", []change{peer("192.0.2.9:4000"), header("Cf-Connecting-Ip", "1.1.1.1")}, "192.0.2.9"},
		{"tunnel", []change{tunnelled}, "203.0.113.7"},
		{"proxy", []change{header("X-Forwarded-For", "1.1.1.1, 203.0.113.8")}, "203.0.113.8"},
		{"tunnel, lying", []change{tunnelled, header("X-Forwarded-For", "1.1.1.1, 203.0.113.7")}, "203.0.113.7"},
		{"tunnel that names only itself", []change{header("Cf-Connecting-Ip", "203.0.113.7")}, "203.0.113.7"},
		{"configured proxy", []change{peer("10.0.0.9:4000"), header("X-Forwarded-For", "203.0.113.8")}, "203.0.113.8"},
		{"another proxy", []change{peer("10.0.1.9:4000"), header("X-Forwarded-For", "203.0.113.8")}, "10.0.1.9"},
		{"local", nil, "127.0.0.1"},
	} {
		if got := believed.visitor(request("POST", "/login", "", c.changes...)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
