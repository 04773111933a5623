package api

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// maxLimited bounds the callers that are counted at once; those beyond share
// one allowance.
const maxLimited = 50_000

// A limiter bounds how often each caller may ask. Each has an allowance of one
// minute's requests, which fills again steadily: who has rested may ask for
// much at once, as a page does that is opened.
type limiter struct {
	now func() time.Time

	mu        sync.Mutex // guards what follows
	perMinute float64    // 0: no limit
	left      map[string]allowance
}

// An allowance is what was left to a caller at a time.
type allowance struct {
	requests float64
	at       time.Time
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: float64(perMinute), now: now, left: map[string]allowance{}}
}

// set changes the limit. Nobody is left more than the new one allows.
func (l *limiter) set(perMinute int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.perMinute = float64(perMinute)
}

// take counts a request; if it is one too many, it says how long to wait.
func (l *limiter) take(who string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.perMinute == 0 {
		return 0
	}
	now := l.now()
	if _, known := l.left[who]; !known && len(l.left) >= maxLimited {
		l.forget(now)
		if len(l.left) >= maxLimited {
			who = "" // nobody's own name
		}
	}
	a := l.filled(who, now)
	if a.requests < 1 {
		return time.Duration((1 - a.requests) / l.perMinute * float64(time.Minute))
	}
	a.requests--
	l.left[who] = a
	return 0
}

// filled is a caller's allowance now. The mutex is held.
func (l *limiter) filled(who string, now time.Time) allowance {
	a, known := l.left[who]
	if !known || now.Before(a.at) {
		return allowance{l.perMinute, now}
	}
	return allowance{min(l.perMinute, a.requests+l.perMinute*now.Sub(a.at).Minutes()), now}
}

// forget drops callers whose allowance is full again. The mutex is held.
func (l *limiter) forget(now time.Time) {
	for who := range l.left {
		if l.filled(who, now).requests >= l.perMinute {
			delete(l.left, who)
		}
	}
}

// tooMany is the refusal of a request too many; nil if it may be made.
func (l *limiter) tooMany(who, whose string) *refusal {
	wait := l.take(who)
	if wait == 0 {
		return nil
	}
	return &refusal{
		Status: http.StatusTooManyRequests, Detail: "Too Many Requests", Code: "too many requests",
		Why: "too many requests " + whose + "; wait, and ask less often", RetryAfter: int(wait.Seconds()) + 1,
	}
}

// network is what an address is counted by: of IPv6 the first half, because
// everybody has all of the second.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	half, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return half.String()
}
