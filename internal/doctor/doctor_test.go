package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/app"
	"fettle/internal/config"
)

func settings(t *testing.T) config.Config {
	cfg := config.Defaults()
	cfg.Data.Dir = filepath.Join(t.TempDir(), "data")
	cfg.HTTP.Listen, cfg.HTTP.KeyedListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.MQTT.Listen, cfg.MQTT.WebSocket = "127.0.0.1:0", ""
	return cfg
}

// beside starts a real server and returns it with a patient that asks it.
func beside(t *testing.T, cfg config.Config) (*app.App, Patient) {
	t.Helper()
	server, err := app.New(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	note, err := config.ReadServer(cfg.Data.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return server, Patient{Config: cfg, PID: note.PID, Now: time.Now, Ask: func(ctx context.Context, path string, out any) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+note.HTTP+path, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+note.Token.Reveal())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode >= 300 {
			var p api.Problem
			if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
				return err
			}
			return fettle.Errorf(fettle.Unavailable, "%s", p.Detail)
		}
		return json.NewDecoder(response.Body).Decode(out)
	}}
}

// wants checks one line: its state, and what stands in it or in its advice.
func wants(t *testing.T, r Report, check string, state State, texts ...string) {
	t.Helper()
	for _, f := range r {
		if f.Check != check {
			continue
		}
		whole := f.Says + " -> " + f.Do
		for _, text := range texts {
			if !strings.Contains(whole, text) {
				t.Errorf("%s says %q; want %q in it", check, whole, text)
			}
		}
		if f.State != state {
			t.Errorf("%s is %s, want %s: %s", check, f.State, state, whole)
		}
		return
	}
	t.Errorf("no line %s among %+v", check, r)
}

func TestBesideAServer(t *testing.T) {
	cfg := settings(t)
	server, patient := beside(t, cfg)
	report := Examine(t.Context(), patient)
	wants(t, report, "server", OK, "runs, pid")
	wants(t, report, "http", OK, "answers")
	wants(t, report, "http with a key", OK, "answers")
	wants(t, report, "port http.listen", OK, "is fettle's")
	wants(t, report, "port mqtt.listen", OK, "is fettle's")
	wants(t, report, "tunnel", Off, "off")
	wants(t, report, "unkeyed", OK, "nobody gets in")
	wants(t, report, "keys", OK, "only this computer", "fettle key create")
	wants(t, report, "certificate", Off)
	wants(t, report, "broker", OK, "an MQTT client connects")
	wants(t, report, "influx follow", Off)
	wants(t, report, "workspaces", Warning, "No active workspaces found: no machine has sent anything yet", "mosquitto_pub")
	wants(t, report, "models", OK, "0 versions")
	wants(t, report, "training", OK, "none runs, 0 wait", "the next by schedule at ")
	wants(t, report, "interval", OK, "1m0s")

	now := time.Now()
	if err := server.Submit(t.Context(), []fettle.Reading{{Machine: "press-7", Time: now, Values: []fettle.Value{{Sensor: "current", Value: 12}}}}); err != nil {
		t.Fatal(err)
	}
	report = Examine(t.Context(), patient)
	wants(t, report, "workspaces", OK, "1 of 1 machines")
	wants(t, report, "machine press-7", OK, "no forecast", "have 1 of")

	// The same machine, eleven minutes on: the old system's complaint, with what it takes.
	patient.Now = func() time.Time { return now.Add(11 * time.Minute) }
	report = Examine(t.Context(), patient)
	wants(t, report, "workspaces", Warning, "No active workspaces found: none of 1 machines", "press-7: no forecast", "have 1 of", "10m0s")
}

// A server that was killed leaves its note; a folder that nobody holds is read.
func TestWithoutAServer(t *testing.T) {
	cfg := settings(t)
	absent := fettle.Errorf(fettle.NotFound, "no server")
	report := Examine(t.Context(), Patient{Config: cfg, Absent: absent, Now: time.Now})
	wants(t, report, "server", Warning, "no data", "fettle serve")
	wants(t, report, "http", Error, "502 Bad Gateway", "fettle serve")
	if _, err := os.Stat(cfg.Data.Dir); err == nil {
		t.Error("the doctor made the data folder")
	}

	t.Run("server", func(t *testing.T) {
		server, _ := beside(t, cfg)
		if err := server.Submit(t.Context(), []fettle.Reading{{Machine: "press-7", Time: time.Now(), Values: []fettle.Value{{Sensor: "current", Value: 12}}}}); err != nil {
			t.Fatal(err)
		}
		report := Examine(t.Context(), Patient{Config: cfg, Absent: absent, Now: time.Now}) // as if its note were gone
		wants(t, report, "server", Error, "in use by another fettle")
	})
	bad := filepath.Join(cfg.Data.Models(), "model_press-7_20260101_000000")
	if err := os.MkdirAll(bad, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	report = Examine(t.Context(), Patient{Config: cfg, Absent: absent, Now: time.Now})
	wants(t, report, "server", Warning, "no server runs")
	wants(t, report, "machine press-7", OK, "last reading")
	wants(t, report, "model model_press-7_20260101_000000", Warning, "cannot be used")
	wants(t, report, "training", Off, "the next by schedule")
	if report.ExitCode() != 2 {
		t.Errorf("exit code %d", report.ExitCode())
	}

	silent := Examine(t.Context(), Patient{Config: cfg, Absent: context.DeadlineExceeded, PID: 4711, Now: time.Now})
	wants(t, silent, "server", Error, "pid 4711", "does not answer")
}

// The old page's 502: another program holds the port that a tunnel calls.
func TestPortTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cfg := settings(t)
	cfg.HTTP.Listen = other.Addr().String()
	report := Examine(t.Context(), Patient{Config: cfg, Absent: fettle.Errorf(fettle.NotFound, "none"), Now: time.Now})
	wants(t, report, "port http.listen", Error, "is taken", "FETTLE_HTTP_LISTEN")
	wants(t, report, "http", Error, "502")
	_, number, _ := net.SplitHostPort(other.Addr().String())
	if got := holder(number); got.pid != 0 && got.pid != os.Getpid() {
		t.Errorf("%+v holds our port", got)
	}
}

func TestListeningSockets(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000000000000000 20 4 30 10 -1
   2: garbage
`
	if got := listening(table, "8000"); len(got) != 1 || !got["4242"] {
		t.Errorf("%v", got)
	}
	if got := listening(table, "8001"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// told is a patient whose server says what the test has it say.
func told(t *testing.T, s api.Status, trainings ...fettle.Training) Patient {
	return Patient{Config: settings(t), Now: time.Now, Ask: func(_ context.Context, path string, out any) error {
		answer := any(struct{}{})
		switch path {
		case "/api/v1/status":
			answer = s
		case "/api/v1/training?state=running":
			answer = api.TrainingList{Trainings: trainings}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, out)
	}}
}

// The old page's remaining entries, and whatever else a server may tell.
func TestWhatAServerTells(t *testing.T) {
	open := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // asks nobody for a key
	defer open.Close()
	address := open.Listener.Addr().String()
	run := fettle.Training{ID: 3, Machine: "press-7", State: fettle.TrainingRunning, Progress: fettle.TrainingProgress{Step: 1, Steps: 4}}
	silent := api.MachineStatus{Name: "lathe", State: fettle.StateNoData, StepSeconds: 1, Model: "m", Last: time.Now().Add(-time.Hour)}
	cases := []struct {
		name      string
		status    api.Status
		trainings []fettle.Training
		check     string
		state     State
		says      []string
	}{
		{"tunnel fails", api.Status{Parts: []api.Part{{Name: "tunnel", State: api.PartError, Detail: "cloudflared ended: exit status 1"}}}, nil,
			"tunnel", Error, []string{"exit status 1", "cloudflared --version", "tunnel login", "http.keyed_listen"}},
		{"502", api.Status{Addresses: api.Addresses{HTTP: "127.0.0.1:1"}}, nil, "http", Error, []string{"502 Bad Gateway"}},
		{"high CPU, a training", api.Status{Resources: api.Resources{CPUPercent: 97, Cores: 2}}, []fettle.Training{run},
			"processor", Warning, []string{"97 % of one core of 2", "training 3 of press-7 runs (25 %)", "fettle train pause", "training.threads", "forecast.interval: 300s"}},
		{"high CPU, forecasts", api.Status{Resources: api.Resources{CPUPercent: 97, Cores: 2}}, nil, "processor", Warning, []string{"forecast.interval: 300s"}},
		{"a training, else quiet", api.Status{}, []fettle.Training{run}, "processor", OK, []string{"training 3"}},
		{"what trains", api.Status{}, []fettle.Training{run}, "training", OK, []string{"training 3 of press-7 runs (25 %)", "next by schedule"}},
		{"no way in without a key", api.Status{Addresses: api.Addresses{KeyedHTTP: address, HTTP: address}}, nil,
			"unkeyed", Error, []string{"without a key", "answers 200", "stop the tunnel"}},
		{"no broker", api.Status{Addresses: api.Addresses{MQTT: "127.0.0.1:1"}}, nil, "broker", Error, []string{"no MQTT client gets through", "fettle logs broker"}},
		{"InfluxDB is gone", api.Status{Parts: []api.Part{{Name: "influx follow", State: api.PartError, Detail: "connection refused"}}}, nil,
			"influx follow", Error, []string{"connection refused", "influx.follow.url"}},
		{"a part nobody knew", api.Status{Parts: []api.Part{{Name: "new", State: api.PartWarning, Detail: "odd"}}}, nil, "new", Warning, []string{"odd", "fettle logs"}},
		{"a machine without data", api.Status{Machines: []api.MachineStatus{silent}}, nil, "machine lathe", Warning, []string{"1h0m0s ago", "one every 1s is usual", "gateway"}},
		{"a sender's clock", api.Status{Machines: []api.MachineStatus{silent, {Name: "fast", Last: time.Now().Add(time.Hour)}}}, nil,
			"clock", Warning, []string{"ahead of that, fast by", "set the clock of what sends for fast"}},
		{"our own clock", api.Status{Machines: []api.MachineStatus{{Name: "a", Last: time.Now().Add(time.Hour)}, {Name: "b", Last: time.Now().Add(time.Hour)}}}, nil,
			"clock", Error, []string{"all 2 machines", "this computer's clock is slow"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wants(t, Examine(t.Context(), told(t, c.status, c.trainings...)), c.check, c.state, c.says...)
		})
	}
}

func TestJudgements(t *testing.T) {
	wants(t, judgeSpace(2<<30, "data"), "disk", OK, "2.0 GiB free for data")
	wants(t, judgeSpace(500<<20, "data"), "disk", Warning, "500.0 MiB", "retention.budget")
	wants(t, judgeSpace(1<<20, "data"), "disk", Error, "refused")
	wants(t, judgeSync(time.Millisecond), "disk speed", OK, "1ms")
	wants(t, judgeSync(80*time.Millisecond), "disk speed", Warning, "80ms", "SSD")
	wants(t, judgeSync(2*time.Second), "disk speed", Error, "2s")
	wants(t, judgeMemory(256<<20, 100<<20, 8<<30), "memory", OK, "256.0 MiB, of 8.0 GiB", "holds 100.0 MiB")
	wants(t, judgeMemory(256<<20, 0, 256<<20), "memory", Warning, "lower limits.memory")
	wants(t, judgeMemory(0, 250<<20, 256<<20), "memory", Warning, "not set", "more memory")
	wants(t, judgeMemory(256<<20, 600<<20, 0), "memory", Warning, "raise limits.memory")
	for _, c := range []struct {
		report Report
		code   int
	}{
		{nil, 0}, {Report{{State: OK}, {State: Off}}, 0}, {Report{{State: Warning}, {State: OK}}, 1}, {Report{{State: Error}, {State: Warning}}, 2},
	} {
		if got := c.report.ExitCode(); got != c.code {
			t.Errorf("%v: exit code %d, want %d", c.report, got, c.code)
		}
	}
	f := &facts{Patient: Patient{Config: config.Defaults()}}
	f.Config.Forecast.Interval = config.Duration(time.Second)
	wants(t, interval(t.Context(), f), "interval", Warning, "every 1s", "300s")
	f.Config.HTTP.Listen = "0.0.0.0:8000"
	wants(t, keys(t.Context(), f), "keys", Error, "others can reach", "fettle key create")
}

func TestCertificateDates(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := &facts{Patient: Patient{Config: config.Defaults()}}
	f.Config.MQTT.TLSCert, f.Config.MQTT.TLSKey = writeCertificate(t, begin, begin.AddDate(0, 3, 0))
	for _, c := range []struct {
		at    time.Time
		state State
		says  string
	}{
		{begin.Add(-time.Hour), Error, "from 2026-01-01"},
		{begin.Add(time.Hour), OK, "until 2026-04-01"},
		{begin.AddDate(0, 3, -3), Warning, "renew it"},
		{begin.AddDate(0, 3, 1), Error, "ended at 2026-04-01"},
	} {
		f.Now = func() time.Time { return c.at }
		wants(t, certificates(t.Context(), f), "certificate", c.state, c.says)
	}
	f.Config.MQTT.TLSKey = f.Config.MQTT.TLSCert
	wants(t, certificates(t.Context(), f), "certificate", Error, "of one pair")
}

func writeCertificate(t *testing.T, from, to time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
