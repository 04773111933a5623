//go:build peers

package main

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/codec"
	"fettle/internal/influx"
	"fettle/internal/process"
)

// TestInfluxClientWrites lets InfluxData's own client write to fettle.
func TestInfluxClientWrites(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	server := serve(t, buildFettle(t), folder)
	defer func() { server.Stop() }()
	var said struct {
		Ping                   bool
		Version, Health, Ready string
		Failures               []string
		Bad, Stranger          any
		Message                string
	}
	python(t, &said, "influxdb-client.sh", "influx_write.py", "http://"+server.KeyedHTTP, writeKey(t, server))
	if !said.Ping || said.Version != "v2.7.12" || said.Health != "pass" || said.Ready != "ready" || len(said.Failures) > 0 {
		t.Errorf("%+v", said)
	}
	if said.Bad != 400.0 || said.Message != "partial write: unable to parse 'sensor_data,workspace_id=m x=': missing field value" || said.Stranger != 401.0 {
		t.Errorf("errors: %+v", said)
	}
	for machine, rows := range map[string]int{"one by one": 100, "in batches": 2000, "m": 1} {
		got := reckon(t, folder, machine, time.Time{})
		want := reckoning{Rows: int64(rows), First: got.First, Last: got.Last, Sensors: map[string][2]float64{"x": {1, 1}}}
		if machine != "m" {
			n := float64(rows)
			want.First = time.Date(2025, 11, 25, 4, 0, 0, 0, time.UTC).UnixMicro()
			want.Last = want.First + int64(rows-1)*2_000_000
			want.Sensors = map[string][2]float64{"current": {10*n + n*(n-1)/200, n}, "count": {n * (n - 1) / 2, n}, "on": {n / 2, n}}
		}
		if problem := differs(got, want); problem != "" {
			t.Errorf("%s: %s", machine, problem)
		}
	}
}

// TestInfluxMirror lets fettle mirror to a real InfluxDB while both are killed,
// again and again, and while late readings come in. The old queries find there
// what fettle has, each reading once.
func TestInfluxMirror(t *testing.T) {
	next := newInfluxd(t, "seed")
	t.Setenv("FETTLE_INFLUX_MIRROR_URL", next.URL)
	t.Setenv("FETTLE_INFLUX_MIRROR_ORG", next.Org)
	t.Setenv("FETTLE_INFLUX_MIRROR_TOKEN", next.Token)
	t.Setenv("FETTLE_INFLUX_MIRROR_BUCKET", "New_Sensor") // fettle makes it
	folder := filepath.Join(t.TempDir(), "data")
	binary := buildFettle(t)
	server := serve(t, binary, folder)
	defer func() { server.Stop() }()
	plant := newSenders(t, time.Now().Add(-3*time.Hour))

	plant.write(t, server, 400)
	caughtUp(t, server, next, "New_Sensor", plant)
	next.Kill() // away: nothing is lost, and ingest does not feel it
	plant.write(t, server, 300)
	waitForPart(t, server, "influx mirror", func(p api.Part) bool { return p.State == api.PartError })
	server.Kill()
	server = serve(t, binary, folder)
	plant.write(t, server, 300)
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 5 { // killed somewhere on the way
		plant.write(t, server, 300)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		server.Kill()
		server = serve(t, binary, folder)
	}
	for range 3 {
		plant.write(t, server, 300)
		next.Kill()
		if err := next.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	caughtUp(t, server, next, "New_Sensor", plant)

	found := oldQueries(t, next, "New_Sensor", "Anomalies")
	if len(found.Machines) != len(plant.names) {
		t.Errorf("%d machines in InfluxDB", len(found.Machines))
	}
	for _, name := range plant.names {
		want := reckon(t, folder, name, time.Time{})
		if problem := differs(found.Machines[name], want); problem != "" || want.Rows != int64(plant.rows) {
			t.Errorf("%s: %s (%d rows sent)", name, problem, plant.rows)
		}
	}
	t.Logf("sent and acknowledged %d rows of each of %d machines, all stored, all mirrored; %d anomaly records", plant.rows, len(plant.names), len(found.Anomalies))
	if sameAnomalies(t, server, plant.names, found.Anomalies) == 0 {
		t.Error("no anomaly was found, so none was seen to be written")
	}
	if found.Retention["New_Sensor"] != 0 || found.Retention["Anomalies"] != 90*24*3600 {
		t.Errorf("retention %v", found.Retention)
	}
	if text := server.Log(); strings.Contains(text, next.Token) {
		t.Error("the log shows the token")
	}
}

// TestInfluxFollow runs fettle in the old architecture: a bridge of the old kind
// fills InfluxDB, fettle reads from there, forecasts, judges, and writes its
// anomalies to InfluxDB. Both are killed meanwhile, and readings come late.
func TestInfluxFollow(t *testing.T) {
	next := newInfluxd(t, "New_Sensor")
	for _, way := range []string{"FOLLOW", "MIRROR"} {
		t.Setenv("FETTLE_INFLUX_"+way+"_URL", next.URL)
		t.Setenv("FETTLE_INFLUX_"+way+"_ORG", next.Org)
		t.Setenv("FETTLE_INFLUX_"+way+"_TOKEN", next.Token)
	}
	t.Setenv("FETTLE_INFLUX_FOLLOW_BUCKET", "New_Sensor")
	t.Setenv("FETTLE_INFLUX_FOLLOW_EVERY", "200ms")
	t.Setenv("FETTLE_INFLUX_FOLLOW_BACKFILL", "6h")
	folder := filepath.Join(t.TempDir(), "data")
	binary := buildFettle(t)
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	plant := newSenders(t, time.Now().Add(-5*time.Hour))
	write := func(rows int) { // as the old bridge did
		t.Helper()
		var lines []byte
		for _, r := range plant.next(rows) {
			r.Tags = map[string]string{"sensor_type": "industrial"}
			lines = codec.AppendLine(lines, r)
		}
		if err := client.Write(t.Context(), "New_Sensor", lines); err != nil {
			t.Fatal(err)
		}
	}
	arrived := func(server *process.Server) {
		t.Helper()
		err := process.WaitFor(t.Context(), "fettle to have read all", func() (bool, error) {
			for _, name := range plant.names {
				if storedRows(t, server, name) != plant.rows {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			for _, name := range plant.names {
				t.Logf("%s: %d rows of %d", name, storedRows(t, server, name), plant.rows)
			}
			t.Fatalf("%v\n%s", err, server.Log())
		}
	}

	write(6000)
	server := serve(t, binary, folder)
	defer func() { server.Stop() }()
	for range 3 { // in the midst of the back-fill, perhaps
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		server.Kill()
		server = serve(t, binary, folder)
	}
	arrived(server)
	plant.jump(time.Now().Add(-8 * time.Minute)) // what comes now is within the look-back
	write(50)
	arrived(server)
	next.Kill()
	waitForPart(t, server, "influx follow", func(p api.Part) bool { return p.State == api.PartError })
	server.Kill()
	server = serve(t, binary, folder)
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(50)
	plant.late(t, 20, func(rows []fettle.Reading) {
		var lines []byte
		for _, r := range rows {
			lines = codec.AppendLine(lines, r)
		}
		if err := client.Write(t.Context(), "New_Sensor", lines); err != nil {
			t.Fatal(err)
		}
	})
	arrived(server)
	caughtUp(t, server, next, "", plant)

	found := oldQueries(t, next, "New_Sensor", "Anomalies")
	for _, name := range plant.names {
		if problem := differs(reckon(t, folder, name, time.Time{}), found.Machines[name]); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
	}
	t.Logf("%d rows of each of %d machines in InfluxDB, all stored; %d anomaly records written back", plant.rows, len(plant.names), len(found.Anomalies))
	if sameAnomalies(t, server, plant.names, found.Anomalies) == 0 {
		t.Error("no anomaly was found, so none was seen to be written")
	}
}
