package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fettle"
)

var update = flag.Bool("update", false, "rewrite the generated page of settings")

// loadText loads a document as if it stood in fettle.yaml in an empty folder.
func loadText(text string, environ ...string) (Config, error) {
	return load("fettle.yaml", []byte(text), environ)
}

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "http:\n# listen: x\nmqtt:\n"} {
		c, err := loadText(text)
		if diff := cmp.Diff(Defaults(), c, cmpopts.IgnoreUnexported(Config{})); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
}

func TestWhatIsSet(t *testing.T) {
	cases := []struct {
		name    string
		text    string
		environ []string
		set     func(*Config)
	}{
		{"a text", "data: {dir: /var/lib/fettle}", nil, func(c *Config) { c.Data.Dir = "/var/lib/fettle" }},
		{"a duration", "forecast:\n  interval: 5m\n", nil, func(c *Config) { c.Forecast.Interval = Duration(5 * time.Minute) }},
		{"no forecasters but the short one", "forecast: {forecasters: []}", nil, func(c *Config) { c.Forecast.Forecasters = []Forecaster{} }},
		{"a forecaster", "forecast: {forecasters: [{name: shift, step: 15m, context: 64, steps: 32, interval: 30m}]}", nil, func(c *Config) {
			c.Forecast.Forecasters = []Forecaster{{"shift", Duration(15 * time.Minute), 64, 32, Duration(30 * time.Minute)}}
		}},
		{"an amount of bytes", "ingest: {queue: 1.5GiB}", nil, func(c *Config) { c.Ingest.Queue = 3 << 29 }},
		{"a plain number of bytes", "mqtt: {max_packet: 2048}", nil, func(c *Config) { c.MQTT.MaxPacket = 2048 }},
		{"a number", "ingest: {max_machines: 50_000}", nil, func(c *Config) { c.Ingest.MaxMachines = 50_000 }},
		{"a list", "http:\n  hosts:\n    - a.example\n    - b.example:80\n", nil, func(c *Config) { c.HTTP.Hosts = []string{"a.example", "b.example:80"} }},
		{"an empty text", `http: {keyed_listen: ""}`, nil, func(c *Config) { c.HTTP.KeyedListen = "" }},
		{"a number as text", "mqtt: {users: [{name: 7, password: 0123}]}", nil, func(c *Config) { c.MQTT.Users = []User{{"7", "0123"}} }},
		{"a unit more", "units: {pressure: bar}", nil, func(c *Config) { c.Units["pressure"] = "bar" }},
		{"a unit less", `units: {accX: ""}`, nil, func(c *Config) { delete(c.Units, "accX") }},
		{"a variable wins", "data: {dir: a}", []string{"FETTLE_DATA_DIR=b"}, func(c *Config) { c.Data.Dir = "b" }},
		{"a key with two words", "", []string{"FETTLE_HTTP_KEYED_LISTEN=[::1]:9"}, func(c *Config) { c.HTTP.KeyedListen = "[::1]:9" }},
		{"a list in a variable", "", []string{"FETTLE_HTTP_HOSTS=a, b"}, func(c *Config) { c.HTTP.Hosts = []string{"a", "b"} }},
		{"a YAML list in a variable", "", []string{"FETTLE_HTTP_HOSTS=[a, b]"}, func(c *Config) { c.HTTP.Hosts = []string{"a", "b"} }},
		{"users in a variable", "", []string{"FETTLE_MQTT_USERS=[{name: press, password: 'a: b'}]"}, func(c *Config) { c.MQTT.Users = []User{{"press", "a: b"}} }},
		{"outside brokers", "ingest: {mqtt: [{url: 'mqtt://a', topics: ['plant/{machine}/{sensor}'], user: me, password: b, window: 10}]}", nil, func(c *Config) {
			c.Ingest.MQTT = []OutsideBroker{{URL: "mqtt://a", Topics: []string{"plant/{machine}/{sensor}"}, User: "me", Password: "b", Window: 10}}
		}},
		{"outside brokers in a variable", "", []string{"FETTLE_INGEST_MQTT=[{name: hall, url: 'mqtts://a'}, {url: 'mqtt://b'}]"}, func(c *Config) {
			c.Ingest.MQTT = []OutsideBroker{{Name: "hall", URL: "mqtts://a"}, {URL: "mqtt://b"}}
		}},
		{"a map in a variable", "", []string{"FETTLE_UNITS={flow: l/min}"}, func(c *Config) { c.Units["flow"] = "l/min" }},
		{"somebody else's variable", "", []string{"FETTLE_DATA=/x", "FETTLED=1", "PATH=/bin"}, func(*Config) {}},
	}
	for _, c := range cases {
		want := Defaults()
		c.set(&want)
		got, err := loadText(c.text, c.environ...)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
		if len(got.Warnings()) > 0 {
			t.Errorf("%s: warnings %q", c.name, got.Warnings())
		}
	}
}

func TestFaults(t *testing.T) {
	cases := []struct {
		text    string
		environ []string
		want    string
	}{
		{"htp: {}", nil, "fettle.yaml:1:1: htp is not a setting; expected one of data, http, auth, tunnel, mqtt, ingest, influx, retention, forecast, alarm, training, notify, smtp, limits, log, units at the top\n    1 | htp: {}\n      | ^"},
		{"http:\n  lisen: x", nil, "fettle.yaml:2:3: http.lisen is not a setting; expected one of listen, keyed_listen, hosts, origins, proxies, requests_per_key, requests_per_address in http\n    2 |   lisen: x\n      |   ^"},
		{"forecast:\n  interval: 60", nil, "fettle.yaml:2:13: forecast.interval is \"60\"; expected a duration with its unit, such as 60s, 5m or 1h30m\n    2 |   interval: 60\n      |             ^"},
		{"forecast: {interval: 1ms}", nil, "forecast.interval is 1ms; expected 1s to 24h"},
		{"forecast: {machines: [{machine: press, step: 0s}]}", nil, "forecast.machines[0].step is 0s; expected 1ms to 744h"},
		{"forecast: {machines: [{machine: a, step: 1s}, {machine: a, step: 1s}]}", nil, `forecast.machines[1].machine is "a"; expected the name of a machine, each once`},
		{"forecast: {forecasters: [{name: short}]}", nil, "forecast.forecasters[0].name is short; expected another name; the short one is always there"},
		{"forecast: {forecasters: [{name: x, step: 7m, context: 2, steps: 1, interval: 1h}]}", nil, "forecast.forecasters[0].step is 7m; expected 1s to 24h, so that a day has a whole number of them"},
		{"forecast: {forecasters: [{name: x, step: 1m, steps: 1, interval: 1h}]}", nil, "forecast.forecasters[0].context is 0; expected 2 to 4096"},
		{"ingest: {queue: lots}", nil, `ingest.queue is "lots"; expected a number of bytes, such as 64MiB, 500kB or 1048576`},
		{"ingest: {max_machines: 1e9}", nil, `ingest.max_machines is "1e9"; expected a whole number`},
		{"ingest: {max_machines: 0}", nil, "ingest.max_machines is 0; expected 1 to 1000000"},
		{"ingest: {topics: []}", nil, "ingest.topics is empty; expected at least one topic"},
		{"ingest: {topics: sensor/data}", nil, "ingest.topics is one value; expected a list, such as [a, b]"},
		{"data: {dir: [a]}", nil, "data.dir is a list; expected one value"},
		{"data:\n  dir:\n", nil, "data.dir is empty; expected one value"},
		{"data: x", nil, "data is one value; expected keys with values"},
		{"[1, 2]", nil, "the file is a list; expected keys with values"},
		{"auth: {local: maybe}", nil, `auth.local is "maybe"; expected open or key`},
		{"log: {level: loud}", nil, `log.level is "loud"; expected debug or info or warn or error`},
		{"http: {listen: localhost}", nil, `http.listen is "localhost"; expected host:port, such as 127.0.0.1:8000`},
		{"http: {listen: '127.0.0.1:70000'}", nil, `http.listen is "127.0.0.1:70000"; expected host:port`},
		{"http: {keyed_listen: '127.0.0.1:8000'}", nil, `http.keyed_listen is "127.0.0.1:8000"; expected an address of its own; http.listen has this one`},
		{"http: {origins: ['https://a.example/']}", nil, `http.origins[0] is "https://a.example/"; expected an origin, such as https://dashboard.example.com, without a path`},
		{"http: {origins: ['*']}", nil, `http.origins[0] is "*"; expected an origin`},
		{"http: {proxies: [nginx]}", nil, `http.proxies[0] is "nginx"; expected an address or a network`},
		{"http: {requests_per_key: -1}", nil, `http.requests_per_key is -1; expected 0 to 10000000`},
		{"tunnel: {mode: quick}\nhttp: {keyed_listen: ''}", nil, `http.keyed_listen is ""; expected an address, such as 127.0.0.1:8001: tunnel.mode is quick`},
		{"tunnel: {mode: named}", nil, `tunnel.name is ""; expected the name of the tunnel, or tunnel.config, or tunnel.token`},
		{"tunnel: {token: x, config: y}", nil, `tunnel.token; expected a token or tunnel.config, not both`},
		{"tunnel: {binary: ''}", nil, `tunnel.binary is ""; expected cloudflared, or its path`},
		{"tunnel: {name: --url}", nil, `tunnel.name is "--url"; expected a name that does not begin with -`},
		{"tunnel: {hostname: 'https://a.example'}", nil, `tunnel.hostname is "https://a.example"; expected a host name`},
		{"http: {hosts: ['https://a.example']}", nil, `http.hosts[0] is "https://a.example"; expected a host name`},
		{"mqtt: {tls_listen: '127.0.0.1:8883', tls_key: b}", nil, `mqtt.tls_cert; expected the file of a certificate`},
		{"mqtt: {tls_websocket: '127.0.0.1:8883', tls_cert: b}", nil, `mqtt.tls_key; expected the file of the certificate's key`},
		{"mqtt: {users: [{name: a, password: b}, {name: a, password: c}]}", nil, `mqtt.users[1].name is "a"; expected a name that no other user has`},
		{"mqtt: {max_queued: 100}", nil, `mqtt.max_queued is 100; expected 1KiB to 1024GiB`},
		{"mqtt: {max_queued: 100MiB}", nil, "mqtt.max_queued_total is 64MiB; expected 100MiB (the larger of mqtt.max_queued and mqtt.max_packet) to 1024GiB"},
		{"mqtt: {users: [{name: a}]}", nil, "mqtt.users[0].password; expected a password, or password_file with the path of one"},
		{"mqtt: {users: [{name: a, password: b, password_file: c}]}", nil, "mqtt.users[0].password_file; expected the path of a file, and no password beside it"},
		{"mqtt: {users: [{name: a, password_file: no/such}]}", nil, "mqtt.users[0].password_file; expected a file that holds the secret"},
		{"ingest: {mqtt: [{url: 'hall:1883'}]}", nil, "ingest.mqtt[0].url; expected mqtt://, mqtts://, ws:// or wss:// and a host"},
		{"ingest: {mqtt: [{url: 'mqtt://me:hunter2@hall'}]}", nil, "ingest.mqtt[0].url; expected mqtt://"},
		{"ingest: {mqtt: [{url: 'mqtt://localhost'}]}", nil, `ingest.mqtt[0].url is "mqtt://localhost"; expected another broker than fettle's own`},
		{"ingest: {mqtt: [{url: 'ws://127.0.0.1:9001/mqtt'}]}", nil, "expected another broker than fettle's own"},
		{"ingest: {mqtt: [{url: 'mqtt://a'}, {url: 'tcp://A:1883'}]}", nil, `ingest.mqtt[1].name is "a:1883"; expected a name that no other broker has`},
		{"ingest: {mqtt: [{url: 'mqtt://a', topics: ['']}]}", nil, `ingest.mqtt[0].topics[0] is ""; expected an MQTT topic`},
		{"ingest: {mqtt: [{url: 'mqtt://a', password: b}]}", nil, `ingest.mqtt[0].user is ""; expected a user for the password`},
		{"ingest: {mqtt: [{url: 'mqtts://a', tls_cert: b}]}", nil, `ingest.mqtt[0].tls_cert is "b"; expected tls_cert and tls_key both`},
		{"ingest: {mqtt: [{url: 'mqtt://a', window: 65_536}]}", nil, "ingest.mqtt[0].window is 65536; expected 0 to 65535"},
		{"", []string{"FETTLE_INGEST_MQTT=[{url: 'http://a'}]"}, "ingest.mqtt[0].url; expected mqtt://"},
		{"influx: {follow: {url: 'influx:8086', org: o, bucket: b}}", nil, `influx.follow.url is "influx:8086"; expected an address such as http://127.0.0.1:8086`},
		{"influx: {mirror: {url: 'http://me:secret@h', org: o}}", nil, `influx.mirror.url is "http://me:xxxxx@h"; expected an address`},
		{"influx: {follow: {url: 'http://h'}}", nil, `influx.follow.bucket is ""; expected the bucket to follow`},
		{"influx: {mirror: {url: 'http://h', org: o, anomalies: ''}}", nil, `influx.mirror.bucket is ""; expected a bucket here or in influx.mirror.anomalies`},
		{"influx: {follow: {url: 'http://localhost:8086', org: o, bucket: b}, mirror: {url: 'http://127.0.0.1:8086/', org: o, bucket: b}}", nil,
			`influx.mirror.bucket is "b"; expected another bucket than influx.follow.bucket: fettle would read what it wrote`},
		{"influx: {follow: {url: 'http://h', org: o, bucket: Anomalies}, mirror: {url: 'http://H:80', org: o}}", nil, `influx.mirror.anomalies is "Anomalies"; expected another bucket`},
		{"", []string{"FETTLE_INFLUX_FOLLOW_EVERY=1ms", "FETTLE_INFLUX_FOLLOW_URL=http://h"}, "influx.follow.every is 1ms; expected 100ms to 24h"},
		{"ingest: {line_machine_tags: []}", nil, "ingest.line_machine_tags is empty; expected at least one tag"},
		{"limits: {memory: 1MiB}", nil, "limits.memory is 1MiB; expected 0 (no limit), or 32MiB to 1024GiB"},
		{"units: {a: [b]}", nil, "units.a is a list; expected one value"},
		{"data: &d {dir: x}\n", nil, "expected a plain value; anchors, aliases and tags are not understood here"},
		{"data: {dir: x}\n---\ndata: {dir: y}\n", nil, "expected one document, found a second"},
		{"data: {dir: x}\ndata: {dir: y}\n", nil, `mapping key "data" already defined`},
		{"data: {dir: x\n", nil, "fettle.yaml:1:"},
		{"\tdata: x\n", nil, "fettle.yaml:1:5: tab character cannot use as a map key directly"},
		{"", []string{"FETTLE_LOG_LEVEL=loud"}, `FETTLE_LOG_LEVEL: log.level is "loud"; expected debug`},
		{"", []string{"FETTLE_INGEST_MAX_FUTURE=5"}, `FETTLE_INGEST_MAX_FUTURE: ingest.max_future is "5"; expected a duration`},
		{"", []string{"FETTLE_MQTT_USERS=[{nam: x}]"}, `FETTLE_MQTT_USERS: mqtt.users[0].nam is not a setting; expected one of name, password, password_file in mqtt.users[0]`},
		{"", []string{"FETTLE_UNITS=A"}, "FETTLE_UNITS: units is one value; expected names with values"},
	}
	for _, c := range cases {
		_, err := loadText(c.text, c.environ...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q:\n%v\nwant\n%s", c.text, c.environ, err, c.want)
		}
		if err != nil && fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("%q: kind %v, want Invalid", c.text, fettle.KindOf(err))
		}
	}
}

func TestAllFaultsComeAtOnceInOrder(t *testing.T) {
	_, err := loadText("log: {level: loud}\nhttp:\n  listen: x\n  port: 1\nforecast: {interval: soon}\n", "FETTLE_AUTH_LOCAL=never")
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range faults {
		fields = append(fields, f.Err.Field)
	}
	want := []string{"log.level", "http.listen", "http.port", "forecast.interval", "auth.local"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(err.Error(), "configuration has 5 faults:\n") {
		t.Error(err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	texts := []string{
		"mqtt:\n  users:\n    - {name: a, password: hunter2, x: 1}\n",
		"mqtt:\n  users:\n    - name: a\n      password: [hunter2]\n",
		"mqtt:\n  users:\n    - name: a\n      password: {hunter2: 1}\n",
		"mqtt: {users: [{name: a, password: \"hunter2}]}\n",
	}
	for _, text := range texts {
		if _, err := loadText(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if s := Secret("hunter2"); s.String() != "(secret)" || s.LogValue().String() != "(secret)" || s.GoString() != "(secret)" {
		t.Error("a secret shows itself")
	}
}

func TestSecretFromAFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("private", "hunter2\n", 0o600)
	write("public", "hunter3\r\n", 0o644)
	write("fettle.yaml", "mqtt:\n  users:\n    - {name: a, password_file: private}\n    - {name: b, password_file: public}\n", 0o644)
	c, err := Load(filepath.Join(dir, "fettle.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.MQTT.Users; got[0].Password.Reveal() != "hunter2" || got[1].Password.Reveal() != "hunter3" {
		t.Errorf("got %q and %q", got[0].Password.Reveal(), got[1].Password.Reveal())
	}
	want := 1
	if runtime.GOOS == "windows" {
		want = 0
	}
	if got := c.Warnings(); len(got) != want || want > 0 && !strings.Contains(got[0], "public can be read by every user") {
		t.Errorf("warnings %q", got)
	}
}

func TestVariableWithoutSettingIsWarnedOf(t *testing.T) {
	c, err := loadText("", "FETTLE_HTTP_LISTN=x")
	if err != nil || len(c.Warnings()) != 1 || c.Warnings()[0] != "FETTLE_HTTP_LISTN is set, but there is no such setting" {
		t.Errorf("%v, %q", err, c.Warnings())
	}
}

func TestLoadNamesTheFileItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	huge := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(huge, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(huge); err == nil || !strings.Contains(err.Error(), "larger than 64KiB") {
		t.Error(err)
	}
}

func TestDurationsAndBytesPrintAsPeopleWriteThem(t *testing.T) {
	durations := map[time.Duration]string{
		0: "0s", time.Second: "1s", 60 * time.Second: "60s", 90 * time.Second: "90s", 5 * time.Minute: "5m", 150 * time.Second: "150s",
		time.Hour: "1h", 36 * time.Hour: "36h", 90 * time.Minute: "90m", 1500 * time.Millisecond: "1.5s", -time.Minute: "-60s",
	}
	for d, want := range durations {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v prints as %s, want %s", d, got, want)
		}
	}
	sizes := map[Bytes]string{0: "0", 1: "1", 1023: "1023", 1 << 10: "1KiB", 64 << 20: "64MiB", 1 << 30: "1GiB", 3 << 29: "1536MiB", 1e6: "1000000"}
	for b, want := range sizes {
		if got := b.String(); got != want {
			t.Errorf("%d prints as %s, want %s", int64(b), got, want)
		}
	}
}

func TestReferencePage(t *testing.T) {
	const page = "../../docs/config.md"
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), Reference()); diff != "" {
		t.Errorf("docs/config.md is out of date; run go test ./internal/config -update\n%s", diff)
	}
}

func TestEverySettingHasItsSentence(t *testing.T) {
	c := Defaults()
	for _, s := range settingsOf(&c) {
		if s.doc == "" {
			t.Errorf("%s has no doc tag", s.path)
		}
	}
}
