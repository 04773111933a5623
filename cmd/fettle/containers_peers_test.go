//go:build peers

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fettle/internal/process"
	"fettle/internal/tunnel/fake"
)

// TestContainers runs what compose.full.yaml has in its containers as plain
// processes: a reading that is published to its Mosquitto arrives in fettle, and
// from there in its InfluxDB.
func TestContainers(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // where Debian has Mosquitto
	c := composed(t, "compose.full.yaml", secretsOfFull...)
	mqtt, websocket, influx, metrics := freePort(t), freePort(t), freePort(t), freePort(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	influxd, err := exec.Command("../../scripts/peers/influxd.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	cloudflared := filepath.Join(dir, "cloudflared")
	if out, err := exec.Command("go", "build", "-o", cloudflared, "../../internal/tunnel/fake/cloudflared").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	programs := map[string]string{"/fettle": buildFettle(t), "influxd": strings.TrimSpace(string(influxd)), "cloudflared": cloudflared}
	replace := strings.NewReplacer(
		"mqtt://mosquitto:1883", "mqtt://127.0.0.1:"+mqtt, "http://influxdb:8086", "http://127.0.0.1:"+influx,
		"listener 1883", "listener "+mqtt+" 127.0.0.1", "listener 9001", "listener "+websocket+" 127.0.0.1", ":8086", "127.0.0.1:"+influx, "127.0.0.1:20241", "127.0.0.1:"+metrics,
		"/mosquitto/config/mosquitto.conf", filepath.Join(dir, "mosquitto.conf"), "/mosquitto/data/", dir+"/",
		"allow_anonymous true", "allow_anonymous true\nuser root", "/data", data, ":8000", ":0", ":8001", ":0",
	)
	container := func(name string) plain {
		return plain{container: c.Services[name], dir: dir, programs: programs, replace: replace}
	}

	mosquitto := container("mosquitto")
	mosquitto.Environment = map[string]string{"PATH": os.Getenv("PATH")}
	if err := os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte(replace.Replace(c.Configs["mosquitto"].Content)), 0o600); err != nil {
		t.Fatal(err)
	}
	mosquitto.Healthcheck.Test[5] = mqtt // its -p
	defer mosquitto.start(t)()
	mosquitto.healthy(t)

	database := container("influxdb")
	secrets := database.Environment
	database.Environment = map[string]string{ // as its image has it, for a folder here
		"INFLUXD_BOLT_PATH": filepath.Join(dir, "influxd.bolt"), "INFLUXD_ENGINE_PATH": filepath.Join(dir, "engine"), "INFLUXD_SQLITE_PATH": filepath.Join(dir, "influxd.sqlite"),
	}
	defer database.start(t)()
	setUp(t, "http://127.0.0.1:"+influx, secrets)

	alone := container("fettle")
	defer alone.start(t)()
	alone.healthy(t)
	if out, err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", mqtt, "-q", "1", "-t", "sensor/data", "-m", `{"workspace_id": "press", "heat": 20}`).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	arrives(t, "http://127.0.0.1:"+influx, secrets["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"], "press")

	tunnel := container("cloudflared")
	tunnel.Environment[fake.Mode] = fake.Ready
	defer tunnel.start(t)()
	tunnel.healthy(t)
}

// setUp waits for InfluxDB and sets it up, which in the container its image does.
func setUp(t *testing.T, url string, variables map[string]string) {
	t.Helper()
	of := func(name string) string { return variables["DOCKER_INFLUXDB_INIT_"+name] }
	body, err := json.Marshal(map[string]string{"username": of("USERNAME"), "password": of("PASSWORD"), "org": of("ORG"), "bucket": of("BUCKET"), "token": of("ADMIN_TOKEN")})
	if err != nil {
		t.Fatal(err)
	}
	err = process.WaitFor(t.Context(), "InfluxDB to be set up", func() (bool, error) {
		answer, err := http.Post(url+"/api/v2/setup", "application/json", bytes.NewReader(body))
		if err != nil {
			return false, nil // not listening yet
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusCreated, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arrives waits until a machine is in the bucket of readings.
func arrives(t *testing.T, url, token, machine string) {
	t.Helper()
	const query = `from(bucket: "New_Sensor") |> range(start: -1h) |> filter(fn: (r) => r.workspace_id == %q)`
	err := process.WaitFor(t.Context(), "the reading in InfluxDB", func() (bool, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v2/query?org=Ruhuna_Eng", strings.NewReader(fmt.Sprintf(query, machine)))
		if err != nil {
			return false, err
		}
		request.Header.Set("Authorization", "Token "+token)
		request.Header.Set("Content-Type", "application/vnd.flux")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		var csv bytes.Buffer
		_, err = csv.ReadFrom(answer.Body)
		return strings.Contains(csv.String(), machine), err
	})
	if err != nil {
		t.Error(err)
	}
}
