//go:build peers

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/process"
)

// A reckoning is what a tool says of a machine's closed days.
type reckoning struct {
	Rows    int64                 `json:"rows"`
	First   int64                 `json:"first"`
	Last    int64                 `json:"last"`
	Sensors map[string][2]float64 `json:"sensors"` // sum and number of the values
}

// TestOtherTools lets DuckDB, polars and pandas read the data folder of a server
// that is running and taking readings. They find what fettle itself says.
func TestOtherTools(t *testing.T) {
	t.Setenv("FETTLE_RETENTION_EVERY", "100ms")
	binary := buildFettle(t)
	folder := filepath.Join(t.TempDir(), "data")
	server, err := process.Start(t.Context(), binary, folder)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	const days = 4
	machines := []string{"lathe-1", "007", "Mühle 7.b"}
	for n, machine := range machines {
		for day := range days {
			post(t, server, machine, n, day)
		}
	}
	closed := peersBegin().AddDate(0, 0, days-1)
	want := map[string]reckoning{}
	err = process.WaitFor(t.Context(), "the days to be sealed", func() (bool, error) {
		files, err := filepath.Glob(filepath.Join(folder, "readings", "*", "*.parquet"))
		return len(files) == len(machines)*(days-1), err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range machines {
		want[machine] = reckon(t, folder, machine, closed)
	}
	out, err := exec.Command("../../scripts/peers/dataframes.sh", "testdata/peers/readings.py", folder).Output()
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			t.Fatalf("%v\n%s", err, ended.Stderr)
		}
		t.Fatal(err)
	}
	var said map[string]map[string]reckoning
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, tool := range []string{"duckdb", "polars", "pandas"} {
		for _, machine := range machines {
			if problem := differs(said[tool][machine], want[machine]); problem != "" {
				t.Errorf("%s, machine %s: %s (of %d machines it found)", tool, machine, problem, len(said[tool]))
			}
		}
	}
}

func peersBegin() time.Time { return time.Date(2025, 3, 3, 0, 0, 0, 0, time.UTC) }

// post sends a day of readings, one a minute: different sensors by machine,
// some of them silent now and then or from a day on, some with tags.
func post(t *testing.T, server *process.Server, machine string, n, day int) {
	t.Helper()
	var list []map[string]any
	for i := range 1440 {
		row := map[string]any{"machine": machine, "timestamp": peersBegin().AddDate(0, 0, day).Add(time.Duration(i) * time.Minute),
			"tempA": 20 + math.Round(1e3*math.Sin(float64(i)/50))/1e3, "current": math.Sqrt(float64(i + n))}
		if i%3 == 0 {
			row["flow rate"] = float64(i % 7)
		}
		if day > 0 && n == 1 {
			row["vibration"] = 0.5
		}
		list = append(list, row)
	}
	for len(list) > 0 {
		body, err := json.Marshal(list[:480])
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.Post("http://"+server.HTTP+"/api/v1/readings", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatal(response.Status)
		}
		list = list[480:]
	}
}

// reckon asks fettle what is before a time.
func reckon(t *testing.T, folder, machine string, before time.Time) reckoning {
	t.Helper()
	data, err := openBackend(t.Context(), config.Data{Dir: folder}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	r := reckoning{Sensors: map[string][2]float64{}}
	err = data.Readings(context.Background(), machine, stretch{to: before}, func(row fettle.Reading) error {
		if r.Rows++; r.Rows == 1 {
			r.First = row.Time.UnixMicro()
		}
		r.Last = row.Time.UnixMicro()
		for _, v := range row.Values {
			s := r.Sensors[v.Sensor]
			r.Sensors[v.Sensor] = [2]float64{s[0] + v.Value, s[1] + 1}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func differs(got, want reckoning) string {
	if got.Rows != want.Rows || got.First != want.First || got.Last != want.Last || len(got.Sensors) != len(want.Sensors) {
		return fmt.Sprintf("found %+v, expected %+v", got, want)
	}
	for sensor, w := range want.Sensors {
		g := got.Sensors[sensor]
		if g[1] != w[1] || math.Abs(g[0]-w[0]) > 1e-9*math.Abs(w[0]) {
			return fmt.Sprintf("sensor %s adds up to %v over %v values, expected %v over %v", sensor, g[0], g[1], w[0], w[1])
		}
	}
	return ""
}
