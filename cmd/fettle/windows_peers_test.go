//go:build peers

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/process"
	"fettle/internal/tunnel/fake"
)

// TestWindows runs the program for Windows under Wine, from a folder and over
// data whose names have spaces and umlauts. docs/windows.md lists what Wine
// cannot tell.
func TestWindows(t *testing.T) {
	w := newWindows(t)
	t.Run("demo", w.demo)
	t.Run("kill", w.kill)
	t.Run("tunnel", w.tunnel)
	t.Run("training", w.training)
	t.Run("rooms", w.rooms)
}

// windows has the programs for Windows.
type windows struct {
	wine        string // runs a program
	overlay     string // of Go's library, for what is built
	fettle      string // runs it, here
	cloudflared string // the fake, by its name there
}

func newWindows(t *testing.T) windows {
	t.Helper()
	script := exec.Command("../../scripts/peers/wine.sh")
	script.Stderr = os.Stderr
	said, err := script.Output()
	if err != nil {
		t.Fatal(err)
	}
	wine := strings.TrimSpace(string(said))
	stayOn(t, wine)
	dir, overlay := filepath.Join(t.TempDir(), "Fräs Werk"), deletesUnderWine(t)
	build := exec.Command("go", "build", "-trimpath", "-overlay", overlay, "-o", dir+"/", ".", "../../internal/tunnel/fake/cloudflared")
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := filepath.Join(dir, "fettle")
	text := fmt.Sprintf("#!/bin/sh\nexec '%s' '%s.exe' \"$@\"\n", wine, run)
	if err := os.WriteFile(run, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return windows{wine: wine, overlay: overlay, fettle: run, cloudflared: "Z:" + strings.ReplaceAll(filepath.Join(dir, "cloudflared.exe"), "/", `\`)}
}

// stayOn keeps Wine's own processes there until the test is over. Each would
// come with the first program and hold its output open when that is killed.
func stayOn(t *testing.T, wine string) {
	t.Helper()
	shell := exec.Command(wine, "cmd.exe")
	open, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		open.Close()
		_ = shell.Wait() // how it ended is of no interest
	})
	first := exec.Command(wine, "cmd.exe", "/c", "exit") // returns once Wine is up
	if err := first.Run(); err != nil {
		t.Fatal(err)
	}
}

// deletesUnderWine makes an overlay of Go's library: os.RemoveAll tries a call
// that Windows has since 2016, and does without where it is told that it cannot
// be had. Wine says so in other words than Windows before that.
func deletesUnderWine(t *testing.T) (file string) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(root)), "src", "internal", "syscall", "windows", "at_windows.go")
	source, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const told, notImplemented = "case STATUS_INVALID_INFO_CLASS,", " NTStatus(0xC0000002),"
	if bytes.Count(source, []byte(told)) != 1 {
		t.Fatalf("%s has no %q; how does it delete now?", name, told)
	}
	changed := filepath.Join(t.TempDir(), "at_windows.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{name: changed}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "overlay.json")
	for path, text := range map[string][]byte{changed: bytes.Replace(source, []byte(told), []byte(told+notImplemented), 1), file: overlay} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func (w windows) start(t *testing.T, folder string, args ...string) *process.Server {
	t.Helper()
	server, err := process.Start(t.Context(), w.fettle, folder, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Kill()
		if t.Failed() {
			t.Logf("fettle said:\n%s", server.Log())
		}
	})
	return server
}

// stop has the server end well, and take its note away.
func (w windows) stop(t *testing.T, server *process.Server) {
	t.Helper()
	if out, err := server.Command(t.Context(), "stop"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := server.Ended(t.Context()); err != nil {
		t.Error(err)
	}
	if note, err := config.ReadServer(server.Folder); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("a server that was stopped left its note: %+v (%v)", note, err)
	}
}

// demo: the demo raises its alarm, the old routes answer, the folder is backed
// up while it is in use, and the copy is whole.
func (w windows) demo(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "Daten Müller")
	server := w.start(t, folder, "demo", "--dir", folder, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--history", "2h", "--fault", "overheating@1s+10m:lathe-1-spindle")
	w.oldRoutes(t, server)
	err := process.WaitFor(t.Context(), "the alarm", func() (bool, error) {
		var list struct{ Alarms []fettle.Alarm }
		err := server.Get(t.Context(), "/api/v1/alarms", &list)
		return len(list.Alarms) > 0 && list.Alarms[0].Machine == "lathe-1-spindle", err
	})
	if err != nil {
		t.Error(err)
	}
	do := func(args ...string) string {
		t.Helper()
		out, err := server.Command(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	copied, restored := filepath.Join(t.TempDir(), "Sicherung 1"), filepath.Join(t.TempDir(), "zurück geholt")
	do("backup", copied)
	if out := do("status"); !strings.Contains(out, "lathe-1-spindle") {
		t.Errorf("fettle status says\n%s", out)
	}
	w.stop(t, server)
	do("restore", copied, "--data", restored)
	do("check", "--data", restored)
	var counts []counted
	if err := json.Unmarshal([]byte(do("query", "--count", "--json", "--data", restored)), &counts); err != nil {
		t.Fatal(err)
	}
	if len(counts) != 3 || counts[1].Machine != "lathe-1-spindle" || counts[1].Rows < 3600 {
		t.Errorf("restored are %+v; expected two hours of the demo's three machines", counts)
	}
}

// oldRoutes asks what programs of the old system ask.
func (w windows) oldRoutes(t *testing.T, server *process.Server) {
	t.Helper()
	err := process.WaitFor(t.Context(), "forecasts", func() (bool, error) {
		_, body, err := ask(t.Context(), server, "GET", "/validate/robot-arm-02")
		return strings.Contains(body, `"status":"success"`), err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request string
		status  int
		answer  string
	}{
		{"GET /", 200, `"service":"IOT Inference","status":"running"`},
		{"GET /workspaces", 200, `["cnc-mill-5-axis","lathe-1-spindle","robot-arm-02"]`},
		{"GET /workspaces?format=object", 200, `"total_models":`},
		{"GET /inference/status", 200, `"interval_seconds":60,"lookback_minutes":10`},
		{"GET /predict/cnc-mill-5-axis", 200, `"prediction_horizon":10`},
		{"GET /validate/cnc-mill-5-axis", 200, `"overall_accuracy":`},
		{"GET /predict/nobody", 200, `"code":"unknown_workspace"`},
		{"GET /api", 200, `"version":"2.0"`},
		{"GET /docs", 200, "<html"},
		{"GET /openapi.json", 200, `"openapi":"3.1.0"`},
		{"GET /nowhere", 404, `{"detail":"Not Found"}`},
		{"POST /workspaces", 405, `{"detail":"Method Not Allowed"}`},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		status, body, err := ask(t.Context(), server, method, path)
		if err != nil || status != c.status || !strings.Contains(body, c.answer) {
			t.Errorf("%s: %d, %v; expected %d with %s in\n%s", c.request, status, err, c.status, c.answer, fettle.Shorten(body))
		}
	}
}

func ask(ctx context.Context, server *process.Server, method, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+server.HTTP+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// kill: nothing that was acknowledged is lost, as TestKill has it.
func (w windows) kill(t *testing.T) {
	t.Setenv("FETTLE_RETENTION_EVERY", "100ms")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killing{
		t: t, draw: rand.New(rand.NewPCG(seed, 0)), binary: w.fettle, folder: filepath.Join(t.TempDir(), "Daten Müller"),
		witness: newWitness(), books: newBooks(),
	}
	for round := range 4 {
		if round%2 == 1 {
			k.killAtStart()
		}
		server := k.start()
		k.recovered(server)
		k.killUnderLoad(server, 1+k.draw.Int64N(3000))
		if round == 2 {
			k.commandsBesideNobody(server)
		}
	}
	server := k.start()
	k.recovered(server)
	w.stop(t, server)
	k.complete()
	t.Log(k.checked)
}

// tunnel: the server keeps a cloudflared, starts it again when it dies, and
// leaves nothing of it behind, even when it is killed.
func (w windows) tunnel(t *testing.T) {
	t.Setenv("FETTLE_TUNNEL_BINARY", w.cloudflared)
	t.Setenv("FETTLE_TUNNEL_MODE", "quick")
	for _, c := range []struct {
		mode string
		end  func(*testing.T, *process.Server)
	}{
		{fake.Ready, w.stop},
		{fake.IgnoresTerm, w.stop},
		{fake.IgnoresTerm, func(_ *testing.T, s *process.Server) { s.Kill() }},
	} {
		t.Run(c.mode, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "Daten Müller")
			t.Setenv(fake.Mode, c.mode)
			t.Setenv(fake.Calls, filepath.Join(t.TempDir(), "calls"))
			if out, err := w.beside(t, folder, "key", "create", "phone"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			server := w.start(t, folder)
			tunnel := tunnelOf(t, server, func(u fettle.Tunnel) bool { return u.State == fettle.TunnelUp })
			edge := strings.TrimPrefix(tunnel.URL, "https://")
			public := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
			answer, err := public.Get(tunnel.URL + "/workspaces")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("without a key the public address answers %s", answer.Status)
			}
			c.end(t, server)
			err = process.WaitFor(t.Context(), "cloudflared to be gone", func() (bool, error) {
				conn, err := net.Dial("tcp", edge)
				if err == nil {
					conn.Close()
				}
				return err != nil, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run(fake.Dies, func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "Daten Müller")
		t.Setenv(fake.Mode, fake.Dies)
		if out, err := w.beside(t, folder, "key", "create", "phone"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		server := w.start(t, folder)
		tunnelOf(t, server, func(u fettle.Tunnel) bool { return u.Starts >= 2 })
		w.stop(t, server)
	})
}

// beside runs a command where no server is.
func (w windows) beside(t *testing.T, folder string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(t.Context(), w.fettle, append(args, "--data", folder)...)
	cmd.Dir = filepath.Dir(folder)
	return cmd.CombinedOutput()
}

func tunnelOf(t *testing.T, server *process.Server, wanted func(fettle.Tunnel) bool) (tunnel fettle.Tunnel) {
	t.Helper()
	err := process.WaitFor(t.Context(), "the tunnel", func() (bool, error) {
		err := server.Get(t.Context(), "/api/v1/tunnel", &tunnel)
		return wanted(tunnel), err
	})
	if err != nil {
		t.Fatalf("%v; it is %+v", err, tunnel)
	}
	return tunnel
}

// training: a worker of its own makes a model, which serves.
func (w windows) training(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "Daten Müller")
	if err := fillWaves(folder, "press", 1000); err != nil {
		t.Fatal(err)
	}
	server := w.start(t, folder)
	const preset = `{"context":16,"horizon":4,"patch":4,"stride":4,"d_model":8,"heads":2,"layers":1,"ffn":8,"epochs":2,"patience":0}`
	r := remoteOf(t, folder)
	var answer api.TrainingStarted
	if err := r.call(t.Context(), "POST", "/api/v1/training", api.TrainingRequest{Machines: []string{"press"}, Forecaster: fettle.ShortForecaster, Preset: preset}, &answer); err != nil {
		t.Fatal(err)
	}
	run := awaitRun(t, r, answer.Trainings[0].ID, func(run fettle.Training) bool { return run.State.Over() })
	if run.State != fettle.TrainingSucceeded {
		t.Errorf("%+v", run)
	}
	w.stop(t, server)
}

// rooms: what is written for Windows alone passes its own tests there.
func (w windows) rooms(t *testing.T) {
	for _, c := range []struct{ room, run string }{
		{"child", "."}, {"config", "Server"}, {"db", "NoSpace|Scan|Checkpoint|FullDisk"}, {"logfile", "."}, {"rename", "."},
		{"tunnel", "."}, {"backup", "WhereNot"}, {"model", "Publish"},
	} {
		test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-trimpath", "-overlay", w.overlay, "-exec", w.wine, "-run", c.run, "../../internal/"+c.room)
		test.Env = append(test.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
		out, err := test.CombinedOutput()
		if err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("%s: %v\n%s", c.room, err, out)
		}
	}
}
