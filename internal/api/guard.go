package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A guard stands before every route of one listener. In this order it
//
//  1. answers /healthz, which tells nothing but that the program is alive;
//  2. sends a browser that came to a tunnel by http to https;
//  3. tells browsers which pages of other sites may read the answer;
//  4. refuses what one address asks too often;
//  5. refuses writes that another site's page makes a browser send;
//  6. lets logins through, which look at the key themselves, and logouts, and
//     the workers of trainings, whose runs do;
//  7. finds out who asks: the holder of a key, a session, or the local user;
//  8. refuses what one key asks too often;
//  9. and looks whether that caller may do what the route does.
//
// The danger it is built against: a tunnel's traffic comes from 127.0.0.1 like
// the local user's. What tells them apart is that the local user calls this
// machine by a local name and no proxy has written into the headers; any sign
// of a proxy, or a foreign name, and the caller needs a key. A page of another
// site that had its name resolve to 127.0.0.1 (DNS rebinding) fails by the name.
type guard struct {
	keyed      bool // this listener asks everybody for a key
	openLocal  bool // the local user needs none at the other one
	adminToken string
	hosts      []string // further names of this machine, in lower case
	proxies    proxies
	origins    origins
	byAddress  *limiter
	byKey      *limiter
	keys       *Keys
	sessions   *sessions
	crossSite  *http.CrossOriginProtection
	need       func(*http.Request) Scope // what the route asks for
	next       http.Handler
}

// A caller is who makes a request, and what that one may do.
type caller struct {
	name   string // for the record: the key's name, or "local user"
	keyID  string // empty without a key
	scopes []Scope
}

func (c caller) may(s Scope) bool {
	return s == anyKey || slices.Contains(c.scopes, s) || slices.Contains(c.scopes, Admin)
}

type callerKey struct{}

// callerOf finds who makes the request that a context belongs to.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// The local user may do everything but administration without a key.
var localScopes = []Scope{Read, Write, Operate}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header(), g.proxies.encrypted(r))
	switch {
	case r.URL.Path == healthPath:
		g.next.ServeHTTP(w, r)
	case g.proxies.plain(r):
		to := url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	case g.origins.allow(w, r):
	default:
		g.bound(w, r)
	}
}

// bound passes a request on unless its address asks too often, or a page of
// another site has it written.
func (g *guard) bound(w http.ResponseWriter, r *http.Request) {
	if !g.local(r) {
		if refused := g.byAddress.tooMany(network(g.proxies.visitor(r)), "from this address"); refused != nil {
			refuse(w, r, *refused)
			return
		}
	}
	switch {
	case g.crossSite.Check(r) != nil:
		refuse(w, r, refusal{Detail: "Forbidden", Code: "cross-origin write", Why: "a page of another site may not write here"})
	case r.Method == http.MethodPost && (r.URL.Path == loginPath || r.URL.Path == logoutPath), g.need(r) == workerKey:
		g.next.ServeHTTP(w, r)
	default:
		g.admit(w, r)
	}
}

// admit passes a request on if its caller may make it.
func (g *guard) admit(w http.ResponseWriter, r *http.Request) {
	c, refused := g.identify(r)
	if refused != nil {
		refuse(w, r, *refused)
		return
	}
	if c.keyID != "" {
		if refused := g.byKey.tooMany(c.keyID, "with this key"); refused != nil {
			refuse(w, r, *refused)
			return
		}
	}
	if need := g.need(r); !c.may(need) {
		refuse(w, r, lacks(c, need))
		return
	}
	g.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
}

// identify finds out who asks. A key that is shown and wrong is refused even
// where none is needed: whoever shows one wants to know. A stale cookie is not,
// because browsers show it unasked.
func (g *guard) identify(r *http.Request) (caller, *refusal) {
	c := caller{name: "nobody"}
	local := g.local(r)
	show := shownKey
	if isInflux(r.URL.Path) {
		show = shownToken
	}
	if text, shown := show(r); shown {
		key, known := g.keys.Check(text)
		switch {
		case local && g.isAdminToken(text):
			c = caller{name: "command line", scopes: []Scope{Admin}}
		case known:
			c = caller{name: key.Name, keyID: key.ID, scopes: key.Scopes}
		default:
			return c, &refusal{Detail: "Forbidden", Code: "wrong key", Why: "no such key; it may have been revoked"}
		}
	} else if key, found := g.sessions.find(r); found {
		c = caller{name: key.Name, keyID: key.ID, scopes: key.Scopes}
	}
	if local && g.openLocal {
		if c.scopes == nil {
			c.name = "local user"
		}
		c.scopes = append(slices.Clone(c.scopes), localScopes...)
	}
	if c.scopes == nil {
		return c, &refusal{Detail: "Not authenticated", Code: "no key", Why: "send a key in X-API-Key or as Authorization: Bearer; fettle key create makes one"}
	}
	return c, nil
}

func lacks(c caller, need Scope) refusal {
	why := "the key " + c.name + " lacks the scope " + string(need)
	if c.keyID == "" {
		why = "this needs a key with the scope " + string(need) + ", or the command line on the server"
	}
	return refusal{Detail: "Forbidden", Code: "missing scope", Why: why}
}

// alive tells whether a caller's key still exists: for streams, which outlive
// the moment at which the guard looked.
func (k *Keys) alive(c caller) bool {
	if c.keyID == "" {
		return true
	}
	_, found := k.Use(c.keyID)
	return found
}

// local tells whether the local user asks, at the listener that knows him. A
// page of another site in his browser is not he.
func (g *guard) local(r *http.Request) bool {
	return !g.keyed && g.isLocal(r) && !g.origins.listed(r)
}

// isLocal tells whether a request comes from this machine's own user.
func (g *guard) isLocal(r *http.Request) bool {
	return fromLoopback(r) && !relayed(r) && g.isLocalName(hostName(r.Host))
}

func (g *guard) isLocalName(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || slices.Contains(g.hosts, host)
}

func (g *guard) isAdminToken(text string) bool {
	return g.adminToken != "" && subtle.ConstantTimeCompare([]byte(text), []byte(g.adminToken)) == 1
}

// fromLoopback tells whether the connection comes from this machine, be it the
// local user or a tunnel's end.
func fromLoopback(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// relayed tells whether a proxy or a tunnel has passed the request on. Names
// are compared whatever their case: not every server tidies them.
func relayed(r *http.Request) bool {
	for name := range r.Header {
		name = strings.ToLower(name)
		switch {
		case strings.HasPrefix(name, "cf-"), strings.HasPrefix(name, "x-forwarded-"):
			return true
		case name == "forwarded", name == "via", name == "x-real-ip", name == "cdn-loop":
			return true
		}
	}
	return false
}

// hostName is the name in a Host header, without port and brackets, in lower
// case, as names are compared.
func hostName(host string) string {
	u := url.URL{Host: host}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
}

// shownKey finds the key that a request shows in its headers: in X-API-Key, or
// as Bearer or, as clients of InfluxDB do, Token. Other kinds of Authorization
// are none of ours.
func shownKey(r *http.Request) (text string, shown bool) {
	if text := r.Header.Get("X-Api-Key"); text != "" {
		return text, true
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	text = strings.TrimSpace(text)
	if strings.EqualFold(scheme, "Token") {
		return text, text != "" // such clients write the word with nothing behind it too
	}
	return text, strings.EqualFold(scheme, "Bearer")
}

// defaultPolicy lets a page use what this server serves, and nothing else.
const defaultPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// staySecure tells a browser that came by https to come by nothing else for a
// year (HSTS).
const staySecure = "max-age=31536000"

func setSecurityHeaders(h http.Header, encrypted bool) {
	if encrypted {
		h.Set("Strict-Transport-Security", staySecure)
	}
	h.Set("Content-Security-Policy", defaultPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with that, older browsers say "Origin: null" even to the
	// page's own server, and the check for cross-origin writes would refuse them.
	h.Set("Referrer-Policy", "same-origin")
	// What needs a key must not be handed on by a cache that asked with one.
	h.Set("Cache-Control", "private, no-cache")
}
