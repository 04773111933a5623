//go:build peers

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/influx"
	"fettle/internal/process"
)

// TestMovingIn goes the steps of docs/moving-in.md with one real InfluxDB:
// migrate, follow, then take the readings and mirror into the very bucket that
// was followed, and back to following. Whatever way it goes, InfluxDB and fettle
// have each reading once, though the old bridge's times have nanoseconds.
func TestMovingIn(t *testing.T) {
	next := newInfluxd(t, "iot_data")
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	binary, home := buildFettle(t), t.TempDir()
	folder, token, settings := filepath.Join(home, "data"), filepath.Join(home, "token"), filepath.Join(home, "fettle.yaml")
	if err := os.WriteFile(token, []byte(next.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	sent := 0
	lines := func(rows int) string {
		var text bytes.Buffer
		for range rows {
			fmt.Fprintf(&text, "sensor_data,workspace_id=lathe,sensor_type=industrial current=%d %d\n", sent, at.UnixNano()+123)
			at, sent = at.Add(2*time.Second), sent+1
		}
		return text.String()
	}
	write := func(url, body string) {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, url+"/api/v2/write?org="+next.Org+"&bucket=iot_data", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if url == next.URL {
			request.Header.Set("Authorization", "Token "+next.Token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusNoContent {
			t.Fatal(err, response)
		}
	}
	start := func(influx string) *process.Server {
		t.Helper()
		if err := os.WriteFile(settings, []byte("influx: {"+influx+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		server, err := process.Start(t.Context(), binary, folder, "serve", "-c", settings)
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	there := fmt.Sprintf("url: %q, org: %s, token: %s, bucket: iot_data", next.URL, next.Org, next.Token)
	follow, mirror := "follow: {"+there+", every: 200ms, backfill: 24h, lookback: 3h}", "mirror: {"+there+", anomalies: ''}"
	both := func(server *process.Server, step string) {
		t.Helper()
		var here, values int
		err := process.WaitFor(t.Context(), step, func() (bool, error) {
			here, values = storedRows(t, server, "lathe"), valuesIn(t, client, "iot_data", "sensor_data")
			return here >= sent && values >= sent, nil
		})
		if err != nil || here != sent || values != sent {
			t.Fatalf("%s: of %d readings fettle has %d, InfluxDB %d (%v)\n%s", step, sent, here, values, err, server.Log())
		}
	}

	write(next.URL, lines(1000))
	command := exec.CommandContext(t.Context(), binary, "migrate", "--influx", next.URL, "--token-file", token, "--data", folder)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := start(follow)
	defer func() { server.Stop() }()
	write(next.URL, lines(200))
	both(server, "followed")
	server.Stop()

	server = start(mirror) // the bridge has ended
	write("http://"+server.HTTP, lines(200))
	both(server, "mirrored into what was followed")
	server.Stop()

	server = start(follow) // and back
	write(next.URL, lines(200))
	both(server, "followed again")
	server.Stop()

	server = start(mirror)
	write("http://"+server.HTTP, lines(200))
	both(server, "mirrored again")
}
