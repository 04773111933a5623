package api

import (
	"errors"
	"net/http"
	"strconv"

	"fettle"
	"fettle/internal/db"
)

// A Problem is how /api/v1 says that something went wrong: RFC 9457, with the
// faults found in the input one by one.
type Problem struct {
	Title    string  `json:"title" doc:"The status in words"`
	Status   int     `json:"status" doc:"The HTTP status"`
	Detail   string  `json:"detail" doc:"What happened, for people"`
	Code     string  `json:"code,omitempty" doc:"What happened, as a phrase that stays the same, for programs"`
	Errors   []Fault `json:"errors,omitempty" doc:"What is wrong with the input, one by one, the first 100"`
	Accepted *int    `json:"accepted,omitempty" doc:"Readings of the same request that were good, and are stored"`
	Have     *int    `json:"have,omitempty" doc:"Readings there are"`
	Need     *int    `json:"need,omitempty" doc:"Readings it takes"`

	retryAfter int // seconds; 0: does not apply
}

// A Fault is one thing that is wrong with the input.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"Where it is, such as body[3].current or query.last"`
	Value    any    `json:"value,omitempty" doc:"What stood there, shortened"`
	Expected string `json:"expected,omitempty" doc:"What should have stood there"`
}

// maxFaults bounds the faults that one Problem names.
const maxFaults = 100

func (p *Problem) Error() string  { return p.Detail }
func (p *Problem) GetStatus() int { return p.Status }

// ContentType has huma send a Problem as what it is.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders has huma send Retry-After where it applies.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// statusOf is the one place where the kind of an error becomes a status.
func statusOf(kind fettle.Kind) int {
	switch kind {
	case fettle.Invalid:
		return http.StatusUnprocessableEntity
	case fettle.NotFound:
		return http.StatusNotFound
	case fettle.Conflict:
		return http.StatusConflict
	case fettle.Unavailable:
		return http.StatusServiceUnavailable
	case fettle.Busy:
		return http.StatusTooManyRequests
	case fettle.Forbidden:
		return http.StatusForbidden
	default:
		return http.StatusInternalServerError
	}
}

// problemOf turns an error into a Problem. An error that nobody classified is a
// fault of ours: the client hears only that there was one, the log hears which.
func (a *API) problemOf(operation string, err error) *Problem {
	var made *Problem
	if errors.As(err, &made) {
		return made
	}
	kind := fettle.KindOf(err)
	p := &Problem{Title: http.StatusText(statusOf(kind)), Status: statusOf(kind), Detail: err.Error()}
	if reason := fettle.ReasonOf(err); reason != "other" {
		p.Code = reason
	}
	switch kind {
	case fettle.Internal:
		a.log.Error("request failed", "operation", operation, "err", err)
		p.Detail = "something went wrong inside fettle; its log says what"
		if db.NoSpace(err) {
			p.Title, p.Status = http.StatusText(http.StatusInsufficientStorage), http.StatusInsufficientStorage
			p.Detail = "the server's disk is full; free some of it, then try again"
		}
	case fettle.Invalid:
		faults := faultsOf(err)
		p.Errors = faults[:min(len(faults), maxFaults)]
	case fettle.Busy, fettle.Unavailable:
		p.retryAfter = 1
	}
	return p
}

// faultsOf lists what is wrong with the input, from an error or a list of them.
func faultsOf(err error) []Fault {
	var faults []Fault
	for _, one := range flatten(err) {
		var e *fettle.Error
		if !errors.As(one, &e) {
			faults = append(faults, Fault{Message: one.Error()})
		} else {
			f := Fault{Message: e.Error(), Location: e.Field, Expected: e.Expected}
			if e.Value != "" {
				f.Value = e.Value
			}
			faults = append(faults, f)
		}
	}
	return faults
}

// flatten takes lists of errors apart.
func flatten(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		list, isList := e.(interface{ Unwrap() []error })
		if !isList {
			continue
		}
		var all []error
		for _, one := range list.Unwrap() {
			all = append(all, flatten(one)...)
		}
		return all
	}
	return []error{err}
}

// writeProblem answers with a Problem where huma is not involved.
func writeProblem(w http.ResponseWriter, p *Problem) {
	p.Title = http.StatusText(p.Status)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	writeJSONAs(w, p.Status, p.ContentType(""), p)
}

// writeDetail answers with the old system's shape of an error.
func writeDetail(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, struct {
		Detail string `json:"detail"`
	}{detail})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	writeJSONAs(w, status, "application/json", body)
}

func writeJSONAs(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := marshal(body)
	if err != nil {
		panic("BUG: answer is no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone, which is its own business
}
