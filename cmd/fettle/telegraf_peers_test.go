//go:build peers

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/bridge"
	"fettle/internal/process"
)

// TestTelegraf lets a real Telegraf carry readings from a topic of fettle's
// broker that fettle itself does not read, to fettle as its InfluxDB.
func TestTelegraf(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	server := serve(t, buildFettle(t), folder)
	defer func() { server.Stop() }()
	telegraf := startTelegraf(t, server)

	publisher, err := bridge.Dial(t.Context(), bridge.Options{URL: "mqtt://" + server.MQTT, ClientID: "sensors"})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	begin := time.Date(2025, 11, 25, 4, 0, 0, 0, time.UTC)
	publish := func(machine string, n int) {
		t.Helper()
		message := fmt.Sprintf(`{"workspace_id": %q, "sensor_type": "industrial", "timestamp": %q, "current": %.2f, "tempA": 60.5}`,
			machine, begin.Add(time.Duration(n)*2*time.Second).Format("2006-01-02T15:04:05.000000Z"), 10+float64(n)/100)
		if err := publisher.Publish(t.Context(), "line/1/data", []byte(message), 1); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	wait := func(machine string, rows int, meanwhile func()) {
		t.Helper()
		err := process.WaitFor(t.Context(), "Telegraf to carry "+machine, func() (bool, error) {
			meanwhile()
			return storedRows(t, server, machine) >= rows, nil
		})
		if err != nil {
			said, _ := os.ReadFile(telegraf)
			t.Fatalf("%v\n%s\n%s", err, said, server.Log())
		}
	}
	wait("probe", 1, func() { publish("probe", n); n++ }) // it has subscribed
	const rows = 2000
	for i := range rows {
		publish("lathe-1", i)
	}
	if err := publisher.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait("lathe-1", rows, func() {})
	want := reckoning{Rows: rows, First: begin.UnixMicro(), Last: begin.Add((rows - 1) * 2 * time.Second).UnixMicro(),
		Sensors: map[string][2]float64{"current": {10*rows + rows*(rows-1)/200., rows}, "tempA": {60.5 * rows, rows}}}
	if problem := differs(reckon(t, folder, "lathe-1", time.Time{}), want); problem != "" {
		t.Error(problem)
	}
}

// startTelegraf runs it until the test ends, and returns the file of its log.
func startTelegraf(t *testing.T, server *process.Server) string {
	t.Helper()
	binary, err := exec.Command("../../scripts/peers/telegraf.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "telegraf.conf")
	text := fmt.Sprintf(`
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 500
[[outputs.influxdb_v2]]
  urls = ["http://%s"]
  token = %q
  organization = "any"
  bucket = "any"
[[inputs.mqtt_consumer]]
  servers = ["tcp://%s"]
  topics = ["line/+/data"]
  qos = 1
  data_format = "json"
  name_override = "sensor_data"
  tag_keys = ["workspace_id", "sensor_type"]
  json_time_key = "timestamp"
  json_time_format = "2006-01-02T15:04:05.999999Z07:00"
`, server.KeyedHTTP, writeKey(t, server), server.MQTT)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(binary)), "--config", config)
	log, err := os.Create(filepath.Join(t.TempDir(), "telegraf.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // how it ended is of no interest
		_ = log.Close()
	})
	return log.Name()
}
