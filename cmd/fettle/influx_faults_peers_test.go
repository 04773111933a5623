//go:build peers

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"fettle/internal/api"
	"fettle/internal/codec"
	"fettle/internal/influx"
	"fettle/internal/process"
)

// A neighbourhood is fettle between two buckets of an InfluxDB: it follows what a
// bridge writes into one, takes readings of a press over HTTP meanwhile, and
// mirrors everything into the other. It counts what was sent, acknowledged, stored
// and mirrored.
type neighbourhood struct {
	t              *testing.T
	binary, folder string
	next           *process.Influxd
	client         *influx.Client // past whatever is in the way
	server         *process.Server
	plant          *senders // what the bridge writes
	begin          time.Time

	sent, acknowledged int // readings of the press
}

// newNeighbourhood has fettle reach InfluxDB through what a test puts between.
func newNeighbourhood(t *testing.T, folder string, through func(*process.Influxd) string) *neighbourhood {
	t.Helper()
	h := &neighbourhood{t: t, binary: buildFettle(t), folder: folder, next: newInfluxd(t, "New_Sensor"), plant: newSenders(t, time.Now().Add(-2*time.Hour)), begin: time.Now().Add(-2 * time.Hour)}
	var err error
	if h.client, err = influx.NewClient(influx.Target{URL: h.next.URL, Org: h.next.Org, Token: h.next.Token}); err != nil {
		t.Fatal(err)
	}
	url := through(h.next)
	for _, way := range []string{"FOLLOW", "MIRROR"} {
		t.Setenv("FETTLE_INFLUX_"+way+"_URL", url)
		t.Setenv("FETTLE_INFLUX_"+way+"_ORG", h.next.Org)
		t.Setenv("FETTLE_INFLUX_"+way+"_TOKEN", h.next.Token)
	}
	t.Setenv("FETTLE_INFLUX_FOLLOW_BUCKET", "New_Sensor")
	t.Setenv("FETTLE_INFLUX_FOLLOW_EVERY", "200ms")
	t.Setenv("FETTLE_INFLUX_FOLLOW_LOOKBACK", "3h")
	t.Setenv("FETTLE_INFLUX_MIRROR_BUCKET", "Mirrored")
	h.server = serve(t, h.binary, folder)
	t.Cleanup(func() { h.server.Stop() })
	return h
}

// bridge writes readings into InfluxDB, as the old bridge did.
func (h *neighbourhood) bridge(ticks int) {
	h.t.Helper()
	var lines []byte
	for _, r := range h.plant.next(ticks) {
		lines = codec.AppendLine(lines, r)
	}
	if err := h.client.Write(h.t.Context(), "New_Sensor", lines); err != nil {
		h.t.Fatal(err)
	}
}

// press sends readings to fettle, some at a time, each once.
func (h *neighbourhood) press(rows int) {
	h.t.Helper()
	for rows > 0 {
		var body bytes.Buffer
		n := min(rows, 100)
		for range n {
			fmt.Fprintf(&body, "sensor_data,workspace_id=press force=%d %d\n", h.sent, h.begin.Add(time.Duration(h.sent)*time.Second/4).UnixMicro())
			h.sent++
		}
		response, err := http.Post("http://"+h.server.HTTP+"/api/v2/write?precision=us", "text/plain", &body)
		if err != nil {
			h.t.Fatalf("%v\n%s", err, h.server.Log())
		}
		response.Body.Close()
		if response.StatusCode == http.StatusNoContent {
			h.acknowledged += n
		}
		rows -= n
	}
}

// troubled waits until both ways to InfluxDB are known to be broken.
func (h *neighbourhood) troubled(parts ...string) {
	h.t.Helper()
	for _, name := range parts {
		waitForPart(h.t, h.server, name, func(p api.Part) bool { return p.State == api.PartError })
	}
}

// whole waits until everything is where it should be: all that the bridge wrote
// is stored, all that was acknowledged is, and all that is stored is mirrored,
// each reading once.
func (h *neighbourhood) whole() {
	h.t.Helper()
	var stored, press, mirrored int
	err := process.WaitFor(h.t.Context(), "all to be stored and mirrored", func() (bool, error) {
		stored = 0
		for _, name := range h.plant.names {
			stored += storedRows(h.t, h.server, name)
		}
		press = storedRows(h.t, h.server, "press")
		mirrored = valuesIn(h.t, h.client, "Mirrored", "sensor_data")
		return stored == 3*h.plant.rows && press >= h.acknowledged && mirrored == 3*stored+press, nil
	})
	h.t.Logf("the bridge sent %d readings, stored are %d; the press sent %d, acknowledged are %d, stored %d; mirrored are %d values of %d",
		3*h.plant.rows, stored, h.sent, h.acknowledged, press, mirrored, 3*stored+press)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, h.server.Log())
	}
	if press > h.sent {
		h.t.Errorf("the press has %d readings, and sent %d", press, h.sent)
	}
	found := oldQueries(h.t, h.next, "Mirrored", "Anomalies")
	for _, name := range append([]string{"press"}, h.plant.names...) {
		if problem := differs(found.Machines[name], reckon(h.t, h.folder, name, time.Time{})); problem != "" {
			h.t.Errorf("mirrored of %s: %s", name, problem)
		}
	}
}

// TestInfluxNetworkCut cuts the network between fettle and InfluxDB in every way,
// again and again: connections are reset, run into a hole, or break off half-way.
// fettle is killed meanwhile too.
func TestInfluxNetworkCut(t *testing.T) {
	var line *cutter
	h := newNeighbourhood(t, filepath.Join(t.TempDir(), "data"), func(next *process.Influxd) string {
		line = newCutter(t, next.URL)
		return line.url()
	})
	h.bridge(500)
	h.press(500)
	h.whole()
	for round, way := range []cut{cutReset, cutHole, cutHalfway, cutHole, cutReset, cutHalfway} {
		line.set(way)
		h.bridge(300)
		h.press(300)
		line.catch(t, 2)
		if way == cutReset {
			h.troubled("influx follow", "influx mirror")
		}
		if round%2 == 1 {
			h.server.Kill()
			h.server = serve(t, h.binary, h.folder)
			h.press(300)
		}
		line.set(cutNot)
		h.press(100)
	}
	h.whole()
	if h.acknowledged != h.sent {
		t.Errorf("%d readings of %d were acknowledged: the network to InfluxDB is none of their business", h.acknowledged, h.sent)
	}
}

// TestInfluxFullDisk fills the disk under the readings while InfluxDB has more to
// be followed, and frees it. What was refused was not acknowledged; what InfluxDB
// has is fetched by itself, and everything is mirrored. The disk is one in memory,
// of this test's own, which takes root to mount.
func TestInfluxFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256m", "none", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount a disk (as root): %v\n%s", err, out)
	}
	t.Cleanup(func() { // after the server's end
		if out, err := exec.Command("umount", "-l", disk).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	h := newNeighbourhood(t, filepath.Join(disk, "data"), func(next *process.Influxd) string { return next.URL })
	h.bridge(500)
	h.press(500)
	h.whole()
	for range 2 {
		ballast := fill100(t, disk)
		err := process.WaitFor(t.Context(), "the full disk to be felt", func() (bool, error) {
			fillUp(t, ballast)
			sent, before := h.sent, h.acknowledged
			h.press(100)
			return h.acknowledged-before < h.sent-sent, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		h.bridge(500)
		h.troubled("influx follow")
		if err := os.Remove(ballast.Name()); err != nil {
			t.Fatal(err)
		}
		_ = ballast.Close() // its room is what counts
		h.press(100)
		h.whole()
	}
	if h.acknowledged == h.sent {
		t.Error("nothing was refused: the disk was not full")
	}
}

// fill100 makes a file that takes all the room there is.
func fill100(t *testing.T, disk string) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	fillUp(t, file)
	return file
}

// fillUp takes what room has become free since.
func fillUp(t *testing.T, file *os.File) {
	t.Helper()
	for size := 1 << 20; size > 0; {
		if n, err := file.Write(make([]byte, size)); err != nil || n < size {
			size /= 2
		}
	}
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
}
