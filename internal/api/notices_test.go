package api

import (
	"strings"
	"testing"
)

func TestNotices(t *testing.T) {
	rig := newRig(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/api/v1/notices?limit=5", "", 200, `"receivers":[{"receiver":"maintenance","kind":"email","to":"anna@example.com","waiting":2`},
		{"GET", "/api/v1/notices?limit=5", "", 200, `"dead":[{"number":7,`},
		{"GET", "/api/v1/notices?limit=5", "", 200, `"notices":5`},
		{"GET", "/api/v1/notices?limit=1001", "", 422, "query.limit"},
		{"POST", "/api/v1/notices/test", `{}`, 200, `"error":"post to http://chat: 500"`},
		{"POST", "/api/v1/notices/test", `{"receiver":"nobody"}`, 404, "no receiver nobody"},
		{"POST", "/api/v1/notices/resend", `{"number":7}`, 200, `"results":[{"number":7,"receiver":"chat","notices":5}]`},
		{"POST", "/api/v1/notices/resend", `{"receiver":"nobody"}`, 404, "no dead letters of nobody"},
	} {
		if w := rig.do(c.method, c.path, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: got %d %s, want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.says)
		}
	}
}
