package api

import (
	"net/http"
	"strings"
	"testing"

	"fettle"
	"fettle/internal/train"
)

// trainings answer what a test puts into them, and note what was asked.
type trainings struct {
	runs  []fettle.Training
	asked train.Request
	done  string
}

func (r *trainings) Start(ask train.Request) ([]fettle.Training, []train.Refusal, error) {
	r.asked = ask
	if len(ask.Machines) == 1 && ask.Machines[0] == "full" {
		return nil, nil, fettle.Errorf(fettle.Busy, "20000 training runs wait already")
	}
	return r.runs, []train.Refusal{{Machine: "small", Forecaster: "short", Reason: "too few readings"}}, nil
}

func (r *trainings) List(f train.Filter) []fettle.Training {
	r.done = "listed " + f.Machine + " " + string(f.State)
	return append([]fettle.Training{}, r.runs...)
}

func (r *trainings) Get(id uint64) (fettle.Training, error) {
	if id != 17 {
		return fettle.Training{}, fettle.Errorf(fettle.NotFound, "no training run %d", id)
	}
	return r.runs[0], nil
}

func (r *trainings) Control(id uint64, what train.Action, by string) (fettle.Training, error) {
	r.done = string(what) + " by " + by
	if what == train.Resume {
		return fettle.Training{}, fettle.Errorf(fettle.Conflict, "run %d is not paused", id)
	}
	return r.Get(id)
}

// Runs are started, listed and stopped by whoever may operate; a key that may
// only read looks on.
func TestTrainingRoutes(t *testing.T) {
	room := &trainings{runs: []fettle.Training{{ID: 17, Machine: "press", Forecaster: "short", State: fettle.TrainingRunning}}}
	r := newRig(t, func(_ *Config, d *Deps) { d.Training = room })
	reader := r.key(t, Read)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/api/v1/training", `{"machines":["press"],"preset":"research"}`, http.StatusAccepted, `"refused":[{"machine":"small"`},
		{"POST", "/api/v1/training", `{"machines":["full"]}`, http.StatusTooManyRequests, "wait already"},
		{"POST", "/api/v1/training", `{"preset":"/etc/passwd"}`, http.StatusUnprocessableEntity, "the name of a preset"},
		{"POST", "/api/v1/training", `{"preset":"x.json"}`, http.StatusUnprocessableEntity, "the name of a preset"},
		{"POST", "/api/v1/training", `{"machine":"press"}`, http.StatusUnprocessableEntity, "unexpected property"},
		{"GET", "/api/v1/training?machine=press&state=running", "", http.StatusOK, `"id":17`},
		{"GET", "/api/v1/training?state=odd", "", http.StatusUnprocessableEntity, "state"},
		{"GET", "/api/v1/training/17", "", http.StatusOK, `"state":"running"`},
		{"GET", "/api/v1/training/18", "", http.StatusNotFound, "no training run 18"},
		{"POST", "/api/v1/training/17/pause", "", http.StatusOK, `"id":17`},
		{"POST", "/api/v1/training/17/resume", "", http.StatusConflict, "run 17 is not paused"},
		{"POST", "/api/v1/training/17/cancel", "", http.StatusOK, `"id":17`},
	} {
		json := header("Content-Type", "application/json")
		got := r.do(c.method, c.path, c.body, json)
		if text := got.Body.String(); got.Code != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s: %d %s; expected %d with %s", c.method, c.path, c.body, got.Code, text, c.status, c.want)
		}
		if c.method == http.MethodPost {
			if got := r.ask(true, request(c.method, c.path, c.body, json, withKey(reader))); got.Code != http.StatusForbidden {
				t.Errorf("%s %s with a reader's key: %d", c.method, c.path, got.Code)
			}
		}
	}
	if room.done != "cancel by local user" || room.asked.By != "local user" && room.asked.By != "" {
		t.Errorf("%s; asked %+v", room.done, room.asked)
	}
}
