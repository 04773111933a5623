//go:build peers

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/influx"
)

// TestExport lets everything leave in every form, beside a running server and
// from the folder. DuckDB and pandas find what fettle says; line protocol goes
// into a real InfluxDB, and into another fettle, which then has the same.
func TestExport(t *testing.T) {
	t.Setenv("FETTLE_RETENTION_EVERY", "100ms") // closed days are sealed at once
	binary, home := buildFettle(t), t.TempDir()
	folder := filepath.Join(home, "data")
	server := serve(t, binary, folder)
	defer func() { server.Stop() }()
	machines := []string{"lathe-1", "007", "Mühle 7.b"}
	for n, machine := range machines {
		for day := range 3 {
			post(t, server, machine, n, day)
		}
	}
	export := func(args ...string) {
		t.Helper()
		if out, err := server.Command(t.Context(), append([]string{"export"}, args...)...); err != nil {
			t.Fatal(err, out)
		}
	}
	in := func(name string) string { return filepath.Join(home, name) }
	export("--format", "parquet", "-o", in("plant"))
	export("-o", in("all.csv"))
	export("-o", in("all.lp"))
	export("--machine", machines[2], "--from", "2025-03-04T00:00:00Z", "--to", "2025-03-05T00:00:00Z", "-o", in("day.lp"))
	text, err := os.ReadFile(in("all.lp"))
	if err != nil {
		t.Fatal(err)
	}
	if day, err := os.ReadFile(in("day.lp")); err != nil || strings.Count(string(day), "\n") != 1440 {
		t.Errorf("a day of a machine has %d lines, %v", strings.Count(string(day), "\n"), err)
	}

	var said map[string]map[string]reckoning
	python(t, &said, "dataframes.sh", "exported.py", in("plant"), in("all.csv"))
	for _, form := range []string{"parquet", "csv"} {
		for _, machine := range machines {
			if problem := differs(said[form][machine], reckon(t, folder, machine, time.Time{})); problem != "" {
				t.Errorf("%s, machine %s: %s", form, machine, problem)
			}
		}
	}

	next := newInfluxd(t, "exported")
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Write(t.Context(), "exported", text); err != nil {
		t.Fatal(err)
	}
	bucket := influx.Bucket{Name: "exported", Measurement: "sensor_data", MachineTag: "workspace_id"}
	found, err := bucket.Survey(t.Context(), client, time.Unix(0, 0), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		want := reckon(t, folder, f.Machine, time.Time{}).Sensors[f.Sensor]
		if got := [2]float64{f.Sum, float64(f.Count)}; fmt.Sprintf("%.9g", got) != fmt.Sprintf("%.9g", want) {
			t.Errorf("InfluxDB has %v of %s %s, expected %v", got, f.Machine, f.Sensor, want)
		}
	}
	if len(found) != 3*3+1 {
		t.Errorf("InfluxDB has %d sensors", len(found))
	}

	other := serve(t, binary, in("other"))
	defer func() { other.Stop() }()
	response, err := http.Post("http://"+other.HTTP+"/api/v2/write?precision=us&shape=fettle", "text/plain", strings.NewReader(string(text)))
	if err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusNoContent {
		t.Fatal(err, response)
	}
	mine, theirs := everything(t, folder, machines), everything(t, in("other"), machines)
	if mine != theirs {
		t.Errorf("another fettle has %d bytes of rows, expected %d", len(theirs), len(mine))
	}

	server.Stop() // from the folder it is the same
	export("-o", in("again.lp"))
	export("-o", in("again.csv"))
	for _, name := range []string{"all.lp again.lp", "all.csv again.csv"} {
		a, b, _ := strings.Cut(name, " ")
		beside, err1 := os.ReadFile(in(a))
		alone, err2 := os.ReadFile(in(b))
		if err1 != nil || err2 != nil || string(beside) != string(alone) {
			t.Errorf("%s differ: %d and %d bytes", name, len(beside), len(alone))
		}
	}
}

// everything is all readings of some machines, as text.
func everything(t *testing.T, folder string, machines []string) string {
	t.Helper()
	data, err := openBackend(t.Context(), config.Data{Dir: folder}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	var text strings.Builder
	for _, machine := range machines {
		err := data.Readings(t.Context(), machine, stretch{}, func(r fettle.Reading) error {
			_, err := fmt.Fprintln(&text, r)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}
