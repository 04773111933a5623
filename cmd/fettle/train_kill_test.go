//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/process"
)

// A server that is killed in mid-training takes its worker with it. The next one
// goes on from the checkpoint, and makes the same model as one that was never
// disturbed; meanwhile the machine was served as before.
func TestServerKilledInMidTraining(t *testing.T) {
	binary := copyOfTest(t)
	const preset = `{"context":16,"horizon":4,"patch":4,"stride":4,"d_model":8,"heads":2,"layers":1,"ffn":8,"epochs":60,"patience":0}`
	serve := func(dir string) *process.Server {
		server, err := process.Start(t.Context(), binary, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Kill)
		return server
	}
	begin := func(dir string) (*process.Server, *remote, uint64) {
		if err := fillWaves(dir, "press", 1000); err != nil {
			t.Fatal(err)
		}
		server := serve(dir)
		r := remoteOf(t, dir)
		var answer api.TrainingStarted
		if err := r.call(t.Context(), "POST", "/api/v1/training", api.TrainingRequest{Machines: []string{"press"}, Forecaster: fettle.ShortForecaster, Preset: preset}, &answer); err != nil {
			t.Fatal(err)
		}
		return server, r, answer.Trainings[0].ID
	}
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	server, r, id := begin(whole)
	want := awaitRun(t, r, id, func(run fettle.Training) bool { return run.State.Over() })
	server.Kill()

	server, r, id = begin(killed)
	awaitRun(t, r, id, func(run fettle.Training) bool { return run.Progress.Epoch >= 3 || run.State.Over() })
	champion := championOf(t, r)
	workers := childrenOf(t, server.PID)
	server.Kill()
	for _, pid := range workers {
		for end := time.Now().Add(time.Minute); alive(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("worker %d outlives its server", pid)
			}
		}
	}
	serve(killed)
	r = remoteOf(t, killed)
	if now := championOf(t, r); now == "" || champion == "" {
		t.Errorf("%q served before, %q after", champion, now)
	}
	got := awaitRun(t, r, id, func(run fettle.Training) bool { return run.State.Over() })
	if want.State != fettle.TrainingSucceeded || got.State != fettle.TrainingSucceeded {
		t.Fatalf("undisturbed: %+v\nkilled: %+v", want, got)
	}
	if weightsOf(t, whole, want.Model) != weightsOf(t, killed, got.Model) {
		t.Error("the model is another")
	}
}

// copyOfTest is this very program under the name by which it is fettle.
func copyOfTest(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "fettle")
	if err := os.WriteFile(binary, text, 0o700); err != nil {
		t.Fatal(err)
	}
	return binary
}

func remoteOf(t *testing.T, dir string) *remote {
	t.Helper()
	r, err := findServer(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func awaitRun(t *testing.T, r *remote, id uint64, wanted func(fettle.Training) bool) fettle.Training {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		run, err := r.training(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(run) {
			return run
		}
		if time.Now().After(end) {
			t.Fatalf("run %d after three minutes: %+v", id, run)
		}
	}
}

// championOf is the model that serves, once there is one.
func championOf(t *testing.T, r *remote) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var machine fettle.Machine
		if err := r.call(t.Context(), "GET", "/api/v1/machines/press", nil, &machine); err != nil {
			t.Fatal(err)
		}
		if machine.Model != "" {
			return machine.Model
		}
	}
	return ""
}

func weightsOf(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "models", name, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// childrenOf lists the processes that a process has started (proc(5)); where the
// system does not tell, none.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		t.Fatal(err)
	}
	var children []int
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may be gone
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// alive tells whether a process runs; one that nobody has buried yet does not.
func alive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}
