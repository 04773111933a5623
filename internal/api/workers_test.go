package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"fettle"
	"fettle/internal/train"
)

// jobs are trainings elsewhere: run 17, whose key is "own"; run 18 was
// cancelled.
type jobs struct{ told train.Progress }

func (j *jobs) check(id uint64, key string) error {
	switch {
	case id != 17:
		return fmt.Errorf("run %d: %w", id, train.ErrUnwanted)
	case key != "own":
		return fettle.Errorf(fettle.Forbidden, "this key is not that of run %d", id)
	default:
		return nil
	}
}

func (j *jobs) JobRows(id uint64, key string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("PAR1")), j.check(id, key)
}

func (j *jobs) JobProgress(id uint64, key string, p train.Progress) error {
	j.told = p
	return j.check(id, key)
}

// The worker of a run gets in with the run's key at every door, and nobody with
// another; one that is not wanted any more is told so.
func TestWorkerRoutes(t *testing.T) {
	room := &jobs{}
	r := newRig(t, func(_ *Config, d *Deps) { d.Workers = room })
	admin := r.key(t, Admin)
	const rows, progress, said = "/api/v1/training/17/rows", "/api/v1/training/17/progress", `{"version":1,"id":"17","epoch":3}`
	for _, c := range []struct {
		method, path, key, body string
		status                  int
		want                    string
	}{
		{"GET", rows, "own", "", http.StatusOK, "PAR1"},
		{"POST", progress, "own", said, http.StatusNoContent, ""},
		{"GET", rows, "other", "", http.StatusForbidden, "not that of run 17"},
		{"GET", rows, admin, "", http.StatusForbidden, "not that of run 17"},
		{"GET", rows, "", "", http.StatusForbidden, "Not authenticated: the worker of a training shows the key of its run"},
		{"POST", progress, "other", said, http.StatusForbidden, "not that of run 17"},
		{"GET", "/api/v1/training/18/rows", "own", "", http.StatusGone, "not wanted any more"},
		{"POST", "/api/v1/training/18/progress", "own", said, http.StatusGone, "not wanted any more"},
		{"GET", "/api/v1/training/x/rows", "own", "", http.StatusNotFound, "no training run"},
		{"POST", progress, "own", "{", http.StatusUnprocessableEntity, "read progress"},
		{"POST", progress, "own", `{"id":"` + strings.Repeat("1", maxProgress) + `"}`, http.StatusUnprocessableEntity, "at most 4096 bytes"},
		{"GET", "/api/v1/training/17", "own", "", http.StatusForbidden, "wrong key"},
	} {
		for _, keyed := range []bool{false, true} {
			ask := request(c.method, c.path, c.body, withKey(c.key))
			if c.key == "" {
				ask = request(c.method, c.path, c.body)
			}
			if got := r.ask(keyed, ask); got.Code != c.status || !strings.Contains(got.Body.String(), c.want) {
				t.Errorf("%s %s with %q (keyed %v): %d %s", c.method, c.path, c.key, keyed, got.Code, got.Body)
			}
		}
	}
	if room.told.Epoch != 3 {
		t.Errorf("%+v", room.told)
	}
	for range runRate {
		r.ask(true, request("POST", progress, said, withKey("own")))
	}
	if got := r.ask(true, request("POST", progress, said, withKey("own"))); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" {
		t.Errorf("too often: %d", got.Code)
	}
}

// Where a training is done may be chosen by whoever may have fettle log in
// there.
func TestOnlyAdminsChooseClusters(t *testing.T) {
	room := &trainings{}
	r := newRig(t, func(_ *Config, d *Deps) { d.Training = room })
	json := header("Content-Type", "application/json")
	for body, want := range map[string]int{`{"on":"spark"}`: 202, `{"on":"local"}`: 202, `{"on":"sc://elsewhere:1"}`: 403, `{"on":"spark","confs":{"a":"b"}}`: 403} {
		if got := r.do("POST", "/api/v1/training", body, json); got.Code != want {
			t.Errorf("%s: %d %s", body, got.Code, got.Body)
		}
	}
	if got := r.do("POST", "/api/v1/training", `{"on":"sc://elsewhere:1","confs":{"a":"b"}}`, json, withKey(r.key(t, Admin))); got.Code != 202 || room.asked.On != "sc://elsewhere:1" || room.asked.Confs["a"] != "b" {
		t.Errorf("%d %s; %+v", got.Code, got.Body, room.asked)
	}
}
