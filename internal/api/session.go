package api

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	healthPath = "/healthz"
	loginPath  = "/login"
	logoutPath = "/logout"
)

// A browser cannot send a key in a header by itself, so it exchanges the key
// for a session: a random id in a cookie that no script can read and no other
// site can make it send. Sessions are kept in memory only and end with the
// program, after 30 days, and with the key they were opened with.
const (
	sessionCookie = "fettle_session"
	sessionLife   = 30 * 24 * time.Hour
	maxSessions   = 10_000
)

// sessions holds the open sessions and turns keys into them.
type sessions struct {
	keys     *Keys
	now      func() time.Time
	attempts *attempts
	proxies  proxies

	mu   sync.Mutex                    // guards open
	open map[[sha256.Size]byte]session // by the hash of the id, so that a lookup's duration tells nothing of it
}

type session struct {
	keyID   string
	expires time.Time
}

func newSessions(keys *Keys, now func() time.Time, believed proxies) *sessions {
	return &sessions{keys: keys, now: now, proxies: believed, attempts: newAttempts(now), open: map[[sha256.Size]byte]session{}}
}

// login exchanges the key in a form for a session.
func (s *sessions) login(w http.ResponseWriter, r *http.Request) {
	from := network(s.proxies.visitor(r))
	if wait := s.attempts.wait(from); wait > 0 {
		refuse(w, r, refusal{
			Status: http.StatusTooManyRequests, Detail: "Too Many Requests", Code: "too many attempts",
			Why: "too many wrong keys; wait a minute and try again", RetryAfter: int(wait.Seconds()) + 1,
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	text := strings.TrimSpace(r.PostFormValue("key"))
	if text == "" {
		refuse(w, r, refusal{Detail: "Not authenticated", Code: "no key", Why: "send the key in the form field key"})
		return
	}
	key, known := s.keys.Check(text)
	if !known {
		s.attempts.failed(from)
		refuse(w, r, refusal{Detail: "Forbidden", Code: "wrong key", Why: "no such key; it may have been revoked"})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: s.begin(key.ID), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.proxies.encrypted(r),
	})
	http.Redirect(w, r, nextOf(r), http.StatusSeeOther)
}

// logout ends a session, if there is one.
func (s *sessions) logout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		delete(s.open, sha256.Sum256([]byte(cookie.Value)))
		s.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Path: "/", MaxAge: -1,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.proxies.encrypted(r),
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// begin opens a session for a key and returns its id.
func (s *sessions) begin(keyID string) string {
	id := randomHex(32)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxSessions {
		s.makeRoom(now)
	}
	s.open[sha256.Sum256([]byte(id))] = session{keyID: keyID, expires: now.Add(sessionLife)}
	return id
}

// makeRoom drops what has expired, and the session that would expire first, so
// that the map stays bounded. The caller holds the lock.
func (s *sessions) makeRoom(now time.Time) {
	var first [sha256.Size]byte
	var soonest time.Time
	for id, one := range s.open {
		if now.After(one.expires) {
			delete(s.open, id)
		} else if soonest.IsZero() || one.expires.Before(soonest) {
			first, soonest = id, one.expires
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, first)
	}
}

// find returns the key of a request's session, if it has a live one.
func (s *sessions) find(r *http.Request) (Key, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return Key{}, false
	}
	s.mu.Lock()
	one, found := s.open[sha256.Sum256([]byte(cookie.Value))]
	s.mu.Unlock()
	if !found || s.now().After(one.expires) {
		return Key{}, false
	}
	return s.keys.Use(one.keyID)
}

// nextOf is where a browser wants to be after its login: a path of this server
// and never another one.
func nextOf(r *http.Request) string {
	next := r.URL.RequestURI()
	if r.URL.Path == loginPath {
		next = r.PostFormValue("next")
	}
	// "//host" and "/\host" would lead a browser to another server.
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") || strings.HasPrefix(next, loginPath) {
		return "/"
	}
	return next
}

// Wrong keys allowed in one minute, from one address and in all.
const (
	attemptWindow = time.Minute
	maxAttempts   = 10
	maxAttemptsIn = 300
)

// attempts counts wrong keys at the login, by address. Guessing a key is
// hopeless anyway; this keeps those who try from costing anything. It counts in
// fixed windows and forgets each with the next, so it is small.
type attempts struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	since time.Time  // begin of the window
	by    map[string]int
	all   int
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, by: map[string]int{}}
}

// wait is how long an address must wait before it may try again.
func (a *attempts) wait(address string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.turn()
	if a.by[address] < maxAttempts && a.all < maxAttemptsIn {
		return 0
	}
	return left
}

func (a *attempts) failed(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn()
	a.by[address]++
	a.all++
}

// turn begins a new window if the last one is over, and returns what is left of
// the current one. The caller holds the lock.
func (a *attempts) turn() time.Duration {
	now := a.now()
	if now.Sub(a.since) >= attemptWindow || now.Before(a.since) {
		a.since, a.all = now, 0
		clear(a.by)
	}
	return attemptWindow - now.Sub(a.since)
}
