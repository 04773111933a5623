package api

import (
	"net/http"
	"slices"
)

// origins are those of other sites' pages that may call with a key.
type origins []string

// listed tells whether a page of one of them makes a request.
func (o origins) listed(r *http.Request) bool {
	return slices.Contains(o, r.Header.Get("Origin"))
}

// allow tells a browser that a listed page may read the answer. It answers the
// question that a browser asks before (preflight) and says so. Cookies are
// not among what such a page may send: it shows a key.
func (o origins) allow(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(o) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !o.listed(r) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "X-API-Key, Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
