package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/readings"
	"fettle/internal/tunnel/fake"
)

// The scripts in testdata/script run this very program: the test binary is
// started again, as fettle.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cloudflared": fake.Main, "fettle": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("FETTLE_BROKER", "mqtt://127.0.0.1:1") // where nobody listens
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fill": fill, "waves": waves, "leftover": leftover, "code": code, "ready": ready, "wave": wave, "appears": appears, "tunnelled": tunnelled, "off": off},
	})
}

// fill DIR MACHINE N SENSOR… stores N readings, a second apart from 2026-03-02
// 07:00:00 UTC on; in row i each sensor reads i, the next one i+0.5 and so on.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	store, err := db.Open(config.Data{Dir: ts.MkAbs(args[0])}.Store(), db.Options{})
	ts.Check(err)
	rows, err := readings.Open(store, ts.MkAbs(args[0]), nil)
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	for i := range n {
		reading := fettle.Reading{Machine: args[1], Time: time.Date(2026, 3, 2, 7, 0, i, 0, time.UTC)}
		for j, sensor := range args[3:] {
			reading.Values = append(reading.Values, fettle.Value{Sensor: sensor, Value: float64(i) + float64(j)/2})
		}
		reading.Values = fettle.SortValues(reading.Values)
		_, err := rows.Append([]fettle.Reading{reading})
		ts.Check(err)
	}
	if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
		ts.Fatalf("check of the readings found %q, %v", r.Faults, err)
	}
	ts.Check(store.Close())
}

// waves DIR MACHINE N stores N readings of the sensors a and b, which go up and
// down, a second apart from 2026-03-02 07:00:00 UTC on.
func waves(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(fillWaves(ts.MkAbs(args[0]), args[1], n))
}

func fillWaves(dir, machine string, n int) error {
	store, err := db.Open(config.Data{Dir: dir}.Store(), db.Options{})
	if err != nil {
		return err
	}
	rows, err := readings.Open(store, dir, nil)
	if err != nil {
		return err
	}
	history := make([]fettle.Reading, n)
	for i := range history {
		x := float64(i)
		history[i] = fettle.Reading{Machine: machine, Time: time.Date(2026, 3, 2, 7, 0, i, 0, time.UTC), Values: []fettle.Value{
			{Sensor: "a", Value: 10 + 3*math.Sin(x/5)}, {Sensor: "b", Value: 50 + 5*math.Sin(x/7)},
		}}
	}
	if _, err := rows.Append(history); err != nil {
		return err
	}
	return store.Close()
}

// leftover DIR writes the note of a server that was killed.
func leftover(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(config.WriteServer(dir, config.Server{PID: 4711, HTTP: "127.0.0.1:1", Token: "t"}))
}

// code N PROGRAM ARG… runs a program that must end with code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("ended with code %d, want %s", got, args[0])
	}
}

// ready DIR waits for the server of a data folder and sets $MQTT to its broker.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if server, err := config.ReadServer(ts.MkAbs(args[0])); err == nil {
			ts.Setenv("MQTT", "mqtt://"+server.MQTT)
			return
		}
	}
	ts.Fatalf("no server on %s after a minute", args[0])
}

// wave FILE N writes a table of N rows, a second apart from 2026-03-02 07:00:00
// UTC on: two sensors that swing, a column of text, and a label.
func wave(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var table strings.Builder
	table.WriteString("time;current;tempA;operator;anomaly\n")
	for i := range n {
		at := time.Date(2026, 3, 2, 7, 0, i, 0, time.UTC)
		fmt.Fprintf(&table, "%s;%.4f;%.4f;kim;0\n", at.Format(time.DateTime), 12+3*math.Sin(float64(i)/4), 60+math.Cos(float64(i)/4))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(table.String()), 0o600))
}

// appears FILE waits for a file that a program in the background writes.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("no %s after a minute", args[0])
}

// tunnelled DIR waits until the tunnel of the server of a data folder is up.
func tunnelled(ts *testscript.TestScript, _ bool, args []string) { tunnelIs(ts, args[0], "up") }

// off DIR waits until it is gone.
func off(ts *testscript.TestScript, _ bool, args []string) { tunnelIs(ts, args[0], "off") }

func tunnelIs(ts *testscript.TestScript, dir, state string) {
	var s fettle.Tunnel
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		server, err := findServer(context.Background(), ts.MkAbs(dir))
		if err != nil {
			continue
		}
		if err := server.call(context.Background(), "GET", "/api/v1/tunnel", nil, &s); err == nil && string(s.State) == state {
			return
		}
	}
	ts.Fatalf("the tunnel never was %s; it is %+v", state, s)
}

// Each command that the page about tunnels shows is in a script.
func TestTunnelPageIsTested(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "tunnel.md"))
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, name := range []string{"tunnel", "tunnel-setup"} {
		text, err := os.ReadFile(filepath.Join("testdata", "script", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	found, shell := 0, false
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "```") {
			shell = strings.TrimSpace(line) == "```sh"
		}
		command, _, _ := strings.Cut(line, " #")
		if command = strings.TrimSpace(command); shell && strings.HasPrefix(command, "fettle ") {
			found++
			if !strings.Contains(scripts.String(), command) {
				t.Errorf("docs/tunnel.md shows %q, which no script runs", command)
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d commands found", found)
	}
}
