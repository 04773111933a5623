//go:build peers

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/codec"
	"fettle/internal/influx"
	"fettle/internal/process"
)

// TestMigrate moves in from a real InfluxDB: killed on the way and taken up
// again, then beside the running server for what has come since. At the end
// fettle has what InfluxDB has, each reading once.
func TestMigrate(t *testing.T) {
	next := newInfluxd(t, "iot_data")
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	binary, home := buildFettle(t), t.TempDir()
	folder, token, models := filepath.Join(home, "data"), filepath.Join(home, "token"), filepath.Join(home, "models")
	if err := os.WriteFile(token, []byte(next.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	oldModelIn(t, binary, models)
	plant := newSenders(t, time.Now().Add(-5*24*time.Hour))
	write := func(ticks int) { // as the old bridge did
		t.Helper()
		for left := ticks; left > 0; left -= 2000 {
			var lines []byte
			for _, r := range plant.next(min(left, 2000)) {
				r.Tags = map[string]string{"sensor_type": "industrial"}
				lines = codec.AppendLine(lines, r)
			}
			if err := client.Write(t.Context(), "iot_data", lines); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(30_000)
	args := []string{"migrate", "--influx", next.URL, "--token-file", token, "--bucket", "iot_data", "--models", models, "--data", folder, "--json"}
	migrate := func(ctx context.Context) (said migrated, err error) {
		command := exec.CommandContext(ctx, binary, args...)
		out, err := command.Output()
		if err == nil {
			err = json.Unmarshal(out, &said)
		}
		return said, err
	}

	dry, err := exec.CommandContext(t.Context(), binary, append(args, "--dry-run")...).Output()
	var plan struct {
		Sensors []planned
		Models  []oldModel
	}
	if err != nil || json.Unmarshal(dry, &plan) != nil || len(plan.Sensors) != 9 || plan.Sensors[0].Count != 30_000 || len(plan.Models) != 1 {
		t.Fatalf("a dry run says %s, %v", dry, err)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("a dry run made the data folder")
	}

	// Killed, again and again, as soon as it is somewhat further.
	var until time.Time
	for kills := range 3 {
		ctx, kill := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := migrate(ctx)
			ended <- err
		}()
		err := process.WaitFor(t.Context(), "migrate to get further", func() (bool, error) {
			m, err := readMoved(folder)
			return m.Until.After(until), err
		})
		kill()
		if ended := <-ended; err != nil {
			t.Fatal(err, ended)
		}
		m, err := readMoved(folder)
		if err != nil {
			t.Fatal(err)
		}
		until = m.Until
		t.Logf("killed %d times, at %s", kills+1, until.Format(time.DateTime))
	}
	said, err := migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, said, 9)
	if len(said.Models) != 1 || said.Models[0].Imported == nil || said.Models[0].Before {
		t.Errorf("models: %+v", said.Models)
	}
	if problem := differs(reckon(t, folder, plant.names[2], time.Time{}), oldQueries(t, next, "iot_data", "").Machines[plant.names[2]]); problem != "" {
		t.Error(problem)
	}

	// What comes after goes through the server that runs by now.
	server := serve(t, binary, folder)
	defer func() { server.Stop() }()
	plant.jump(time.Now().Add(-4 * time.Minute))
	write(100)
	if said, err = migrate(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, server.Log())
	}
	same(t, said, 9)
	if said.Stored != 300 || !said.Models[0].Before {
		t.Errorf("beside the server: %+v", said)
	}
	for _, name := range plant.names {
		if n := storedRows(t, server, name); n != 30_100 {
			t.Errorf("%s has %d rows", name, n)
		}
	}
	if strings.Contains(server.Log(), "panic") {
		t.Error(server.Log())
	}
	migrateRefuses(t, binary, next, token, models)
}

func same(t *testing.T, said migrated, sensors int) {
	t.Helper()
	if len(said.Sensors) != sensors || said.Refused > 0 {
		t.Errorf("%+v", said)
	}
	for _, s := range said.Sensors {
		if s.Verdict != verdictSame {
			t.Errorf("%+v", s)
		}
	}
}

// migrateRefuses: every wrong argument is an error that says what to do.
func migrateRefuses(t *testing.T, binary string, next *process.Influxd, token, models string) {
	t.Helper()
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.EnsureBucket(t.Context(), "empty", 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--token-file", wrong}, "401 Unauthorized: unauthorized access. The token is none of " + next.URL},
		{[]string{"--token-file", token, "--org", "Other"}, `organization name "Other" not found`},
		{[]string{"--token-file", token, "--bucket", "nope"}, `could not find bucket "nope". The token sees these buckets of organization Ruhuna_Eng: empty, iot_data`},
		{[]string{"--token-file", token, "--bucket", "empty"}, "bucket empty is empty"},
		{[]string{"--token-file", token, "--measurement", "sensors"}, "it has sensor_data: --measurement says which"},
		{[]string{"--token-file", token, "--machine-tag", "host"}, "with the tag host"},
		{[]string{"--token-file", token, "--models", models + "-not"}, "there is no folder of models"},
		{[]string{"--token-file", token, "--models", t.TempDir()}, "holds no folder model_<machine>_<YYYYMMDD_HHMMSS>"},
	} {
		command := exec.CommandContext(t.Context(), binary, append([]string{"migrate", "--influx", next.URL, "--data", filepath.Join(t.TempDir(), "data")}, c.args...)...)
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
}

// oldModelIn makes a folder of models as the old system has one.
func oldModelIn(t *testing.T, binary, dir string) {
	t.Helper()
	table := filepath.Join(t.TempDir(), "table.csv")
	var text strings.Builder
	text.WriteString("time,accX,current,tempA\n")
	for _, r := range newSenders(t, time.Now().Add(-time.Hour)).next(200) {
		if r.Machine == "lathe-1-spindle" {
			text.WriteString(r.Time.Format(time.RFC3339Nano))
			for _, v := range r.Values {
				text.WriteString("," + number(r, v.Sensor, ""))
			}
			text.WriteByte('\n')
		}
	}
	if err := os.WriteFile(table, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "fit", table, "--machine", "lathe-1-spindle", "--scaler", "minmax", "--epochs", "1",
		"--d-model", "16", "--ffn", "16", "--layers", "1", "--out", filepath.Join(dir, "model_lathe-1-spindle_20251124_093154"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("fettle fit: %v\n%s", err, out)
	}
}
