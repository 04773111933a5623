package api

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle"
	"fettle/internal/model"
)

// publishRidge makes a version of a machine's ridge.
func publishRidge(t *testing.T, r rig, machine string) string {
	t.Helper()
	m, err := r.Registry.Publish(model.Publication{Machine: machine, Family: model.Ridge, Sensors: []string{"x"}, Context: 50, Horizon: 10},
		func(dir string) error { return os.WriteFile(filepath.Join(dir, "ridge.json"), []byte("{}"), 0o644) })
	if err != nil {
		t.Fatal(err)
	}
	return m.Name
}

// TestModelDecisions lets an administrator decide which version serves, and
// tells everybody.
func TestModelDecisions(t *testing.T) {
	r := newRig(t, func(_ *Config, deps *Deps) { deps.Models = deps.Registry.List })
	admin := header("Authorization", "Bearer "+r.AdminToken)
	first, second := publishRidge(t, r, "press"), publishRidge(t, r, "press")
	post := func(path, body string, want int) string {
		t.Helper()
		answer := r.do("POST", path, body, admin)
		if answer.Code != want {
			t.Fatalf("POST %s: %d %s; want %d", path, answer.Code, answer.Body, want)
		}
		return answer.Body.String()
	}
	post("/api/v1/models/"+first+"/promote", `{"reason": "steadier", "by": "Ada"}`, http.StatusOK)
	if d := read[model.Details](t, r, "/api/v1/models/"+first); !d.Champion || d.Reason != "steadier" || d.By != "Ada" || len(d.History) == 0 {
		t.Errorf("%+v", d)
	}
	post("/api/v1/machines/press/rollback", "", http.StatusOK)
	if list := read[modelList](t, r, "/api/v1/models?machine=press"); len(list.Models) != 2 || list.Models[0].State != fettle.ModelRefused || !list.Models[1].Champion {
		t.Errorf("%+v", list)
	}
	if list := read[modelList](t, r, "/api/v1/models?machine=lathe"); len(list.Models) != 0 {
		t.Errorf("%+v", list)
	}
	if list := read[decisionList](t, r, "/api/v1/machines/press/decisions"); len(list.Decisions) != 4 || list.Decisions[3].Action != model.RolledBack || list.Decisions[3].By == "" {
		t.Errorf("%+v", list)
	}
	if text := post("/api/v1/models/"+second+"/refuse", `{"reason": "no"}`, http.StatusConflict); !strings.Contains(text, "roll back, or promote another") {
		t.Error(text)
	}
	out := filepath.Join(t.TempDir(), "out")
	post("/api/v1/models/"+first+"/export", `{"dir": "`+filepath.ToSlash(out)+`"}`, http.StatusOK)
	if text := post("/api/v1/models", `{"dir": "`+filepath.ToSlash(out)+`", "machine": "lathe"}`, http.StatusCreated); !strings.Contains(text, `"champion":true`) {
		t.Error(text)
	}
	for name, want := range map[string]int{second: http.StatusConflict, first: http.StatusNoContent, "model_x_20990101_000000": http.StatusNotFound} {
		if answer := r.do("DELETE", "/api/v1/models/"+name, "", admin); answer.Code != want {
			t.Errorf("delete %s: %d %s; want %d", name, answer.Code, answer.Body, want)
		}
	}
}

// TestModelDecisionsNeedAdministration: the local user may look, and no more.
func TestModelDecisionsNeedAdministration(t *testing.T) {
	r := newRig(t, func(_ *Config, deps *Deps) { deps.Models = deps.Registry.List })
	publishRidge(t, r, "press")
	name := publishRidge(t, r, "press")
	for _, c := range [][2]string{
		{"POST", "/api/v1/models/" + name + "/promote"}, {"POST", "/api/v1/models/" + name + "/refuse"}, {"POST", "/api/v1/machines/press/rollback"},
		{"POST", "/api/v1/models/" + name + "/export"}, {"POST", "/api/v1/models"}, {"DELETE", "/api/v1/models/" + name},
	} {
		if answer := r.do(c[0], c[1], `{"dir": "/x"}`); answer.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d %s", c[0], c[1], answer.Code, answer.Body)
		}
	}
	if v, _ := r.Registry.Champion("press", fettle.ShortForecaster); v.Name != name {
		t.Errorf("%s serves", v.Name)
	}
}
