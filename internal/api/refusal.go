package api

import (
	"net/http"
	"strconv"
)

// A refusal is why a request may not be made, for whoever made it: a browser
// gets a page with a form for the key, a client of /api/v1 a problem, and a
// client of the old routes the old system's words.
type refusal struct {
	Status     int    // 403 if zero
	Detail     string // the old system's words
	Code       string // a stable phrase for programs
	Why        string // what people can do about it
	RetryAfter int    // seconds; 0: does not apply
}

func refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	if why.Status == 0 {
		why.Status = http.StatusForbidden
	}
	if why.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(why.RetryAfter))
	}
	switch {
	case isInflux(r.URL.Path):
		refuseInflux(w, why)
	case prefersHTML(r):
		writePage(w, why.Status, keyForm, keyFormData{Next: nextOf(r), Why: why.Why, Missing: why.Code == "no key"})
	case isV1(r.URL.Path):
		writeProblem(w, &Problem{Status: why.Status, Detail: why.Detail + ": " + why.Why, Code: why.Code})
	default:
		writeDetail(w, why.Status, why.Detail)
	}
}
