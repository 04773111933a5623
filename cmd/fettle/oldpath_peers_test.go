//go:build peers

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/influx"
	"fettle/internal/process"
)

// TestOldPath runs the whole data path of the old system with fettle in it:
// simulated machines publish to Mosquitto, a bridge of the old kind writes to
// InfluxDB, fettle follows it, forecasts, judges, and writes its anomalies there,
// where the old queries find them.
func TestOldPath(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // where Debian has Mosquitto
	mosquitto, err := process.StartMosquitto(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer mosquitto.Stop()
	next := newInfluxd(t, "New_Sensor")
	bridge := startOldBridge(t, mosquitto.Address, next)
	for _, way := range []string{"FOLLOW", "MIRROR"} {
		t.Setenv("FETTLE_INFLUX_"+way+"_URL", next.URL)
		t.Setenv("FETTLE_INFLUX_"+way+"_ORG", next.Org)
		t.Setenv("FETTLE_INFLUX_"+way+"_TOKEN", next.Token)
	}
	t.Setenv("FETTLE_INFLUX_FOLLOW_BUCKET", "New_Sensor")
	t.Setenv("FETTLE_INFLUX_FOLLOW_EVERY", "200ms")
	t.Setenv("FETTLE_INFLUX_FOLLOW_LOOKBACK", "3h") // the history arrives while fettle reads
	folder := filepath.Join(t.TempDir(), "data")
	server := serve(t, buildFettle(t), folder)
	defer func() { server.Stop() }()
	if _, err := server.Command(t.Context(), "simulate", "--broker", "mqtt://"+mosquitto.Address, "--profile", "plant", "--fault", "overheating@40m+3m:lathe-1-spindle", "--start", "1h", "--for", "20s"); err != nil {
		t.Fatal(err)
	}
	err = process.WaitFor(t.Context(), "fettle to have what the bridge wrote", func() (bool, error) {
		wrote := bridge.counts()
		for machine, rows := range wrote {
			if storedRows(t, server, machine) != rows {
				return false, nil
			}
		}
		return len(wrote) == 3 && wrote["lathe-1-spindle"] >= 1000, nil
	})
	if err != nil {
		t.Fatalf("%v: the bridge wrote %v\n%s", err, bridge.counts(), server.Log())
	}
	plant := &senders{names: []string{"cnc-mill-5-axis", "lathe-1-spindle", "robot-arm-02"}}
	caughtUp(t, server, next, "", plant)
	found := oldQueries(t, next, "New_Sensor", "Anomalies")
	for _, name := range plant.names {
		if problem := differs(reckon(t, folder, name, time.Time{}), found.Machines[name]); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
	}
	if sameAnomalies(t, server, plant.names, found.Anomalies) == 0 {
		t.Error("no anomaly was found, so none was seen to be written")
	}
	t.Logf("the bridge wrote %v, fettle has all, and wrote %d anomaly records", bridge.counts(), len(found.Anomalies))
}

// An oldBridge writes what comes on the old topics to InfluxDB, as the old one
// did, but with the time in the message: so that an hour passes in a moment.
type oldBridge struct {
	mu    sync.Mutex
	wrote map[string]int
}

func (b *oldBridge) counts() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for machine, n := range b.wrote {
		counts[machine] = n
	}
	return counts
}

func startOldBridge(t *testing.T, broker string, next *process.Influxd) *oldBridge {
	t.Helper()
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	subscriber := exec.CommandContext(ctx, "mosquitto_sub", "-h", host, "-p", port, "-t", "sensor/data", "-t", "machine_sensor_data", "-q", "1", "-i", "mqtt_influx_bridge")
	messages, err := subscriber.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Start(); err != nil {
		t.Fatal(err)
	}
	rows := make(chan fettle.Reading, 100_000)
	b := &oldBridge{wrote: map[string]int{}}
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { close(rows); ended <- struct{}{} }()
		for lines := bufio.NewScanner(messages); lines.Scan(); {
			if r, ok := oldMessage(lines.Bytes()); ok {
				rows <- r
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for r := range rows {
			b.write(t, ctx, client, r, rows)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		_ = subscriber.Wait() // killed
	})
	return b
}

// write writes a row, and those that wait behind it.
func (b *oldBridge) write(t *testing.T, ctx context.Context, client *influx.Client, first fettle.Reading, more <-chan fettle.Reading) {
	lines, counts := codec.AppendLine(nil, first), map[string]int{first.Machine: 1}
	for range len(more) {
		r := <-more
		lines = codec.AppendLine(lines, r)
		counts[r.Machine]++
	}
	if err := client.Write(ctx, "New_Sensor", lines); err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for machine, n := range counts {
		b.wrote[machine] += n
	}
}

// oldMessage is a message as the old bridge read it: a number that is missing
// is 0.
func oldMessage(payload []byte) (fettle.Reading, bool) {
	var m struct {
		Workspace string    `json:"workspace_id"`
		Timestamp time.Time `json:"timestamp"`
		Current   float64   `json:"current"`
		AccX      float64   `json:"accX"`
		AccY      float64   `json:"accY"`
		AccZ      float64   `json:"accZ"`
		TempA     float64   `json:"tempA"`
		TempB     float64   `json:"tempB"`
	}
	if json.Unmarshal(payload, &m) != nil {
		return fettle.Reading{}, false
	}
	return fettle.Reading{Machine: m.Workspace, Time: m.Timestamp, Tags: map[string]string{"sensor_type": "unknown"}, Values: []fettle.Value{
		{Sensor: "accX", Value: m.AccX}, {Sensor: "accY", Value: m.AccY}, {Sensor: "accZ", Value: m.AccZ},
		{Sensor: "current", Value: m.Current}, {Sensor: "tempA", Value: m.TempA}, {Sensor: "tempB", Value: m.TempB},
	}}, true
}
