package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fettle"
)

// setIn sets a key in a file that holds a text, and returns what it holds then.
func setIn(t testing.TB, text, key, value string) (string, fettle.SettingChange, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fettle.yaml")
	if text != "absent" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change, err := Set(file, key, value)
	after, readErr := os.ReadFile(file)
	if readErr != nil && text != "absent" {
		t.Fatal(readErr)
	}
	return string(after), change, err
}

func TestSetChangesTheValueAndNothingElse(t *testing.T) {
	for _, c := range []struct{ name, text, key, value, want string }{
		{"no file", "absent", "forecast.interval", "300s", "forecast:\n  interval: 300s\n"},
		{"an empty file", "", "log.level", "debug", "log:\n  level: debug\n"},
		{"only comments", "# ours\n", "log.level", "debug", "# ours\nlog:\n  level: debug\n"},
		{"a value with a comment", "forecast:\n  # often\n  interval: 60s   # the old one\n", "forecast.interval", "5m", "forecast:\n  # often\n  interval: 5m   # the old one\n"},
		{"a value in quotes", "auth:\n  local: 'open'  # all\n", "auth.local", "key", "auth:\n  local: key  # all\n"},
		{"quotes in quotes", `http: {hosts: [], keyed_listen: "127.0.0.1:9" }`, "http.keyed_listen", "127.0.0.1:8", `http: {hosts: [], keyed_listen: 127.0.0.1:8 }`},
		{"between braces", "log: {level: info, format: json}\n", "log.level", "warn", "log: {level: warn, format: json}\n"},
		{"new between braces", "log: {format: json}\n", "log.level", "warn", "log: {level: warn, format: json}\n"},
		{"empty braces", "log: {}\n", "log.level", "warn", "log: {level: warn}\n"},
		{"a section that is there", "forecast:   # ours\n    # why\n    lookback: 20m\nlog:\n  level: info\n", "forecast.interval", "300s", "forecast:   # ours\n    interval: 300s\n    # why\n    lookback: 20m\nlog:\n  level: info\n"},
		{"a section without keys", "forecast:\nlog: {level: info}\n", "forecast.interval", "300s", "forecast:\n  interval: 300s\nlog: {level: info}\n"},
		{"a section below a section", "influx:\n  follow:\n    bucket: b\n", "influx.follow.org", "plant 1", "influx:\n  follow:\n    org: \"plant 1\"\n    bucket: b\n"},
		{"a list", "http:\n  hosts: [a, b]\n", "http.hosts", "c, d:80", "http:\n  hosts: [c, d:80]\n"},
		{"a unit", "units:\n  flow: l/min\n", "units.tempA", "°F", "units:\n  tempA: \"°F\"\n  flow: l/min\n"},
		{"a schedule", "", "training.schedule", "0 3 * * 0", "training:\n  schedule: \"0 3 * * 0\"\n"},
		{"an empty text", "http: {}\n", "http.keyed_listen", "", "http: {keyed_listen: \"\"}\n"},
		{"a number", "alarm:\n  high_above: 2\n", "alarm.high_above", "2.5", "alarm:\n  high_above: 2.5\n"},
		{"Windows' lines", "log:\r\n  level: info\r\n", "log.level", "warn", "log:\r\n  level: warn\r\n"},
		{"a file that was wrong there", "log: {level: loud}\n", "log.level", "warn", "log: {level: warn}\n"},
	} {
		if got, change, err := setIn(t, c.text, c.key, c.value); got != c.want || err != nil || change.Setting == "" {
			t.Errorf("%s: %+v, %v\n%q, want\n%q", c.name, change, err, got, c.want)
		}
	}
}

// A secret need not stand on a command line: its file is named.
func TestSetNamesTheFileOfASecret(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, change, err := setIn(t, "smtp: {user: me, password: old}\n", "smtp.password", "new")
	if err != nil || got != "smtp: {user: me, password: new}\n" || change.New != hidden {
		t.Errorf("%q, %+v, %v", got, change, err)
	}
	got, change, err = setIn(t, "influx:\n  mirror: {url: 'http://x', org: o, bucket: b}\n", "influx.mirror.token_file", secret)
	if err != nil || !strings.Contains(got, secret) || change.Setting != "influx.mirror.token" || change.New != hidden {
		t.Errorf("%q, %+v, %v", got, change, err)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, c := range []struct{ text, key, value, want string }{
		{"log:\n  level: info\n", "log.lvel", "warn", "log.lvel is not a setting; expected one that `fettle config show` lists"},
		{"log:\n  level: info\n", "log.level", "loud", `log.level is "loud"; expected debug or info or warn or error`},
		{"log:\n  level: info\n", "forecast.interval", "60", `forecast.interval is "60"; expected a duration with its unit`},
		{"log:\n  level: info\n", "alarm.clear_below", "1.5", "alarm.clear_below is 1.5; expected above 0, up to 1 (alarm.raise_above)"},
		{"log:\n  level: info\n", "mqtt.users", "a", "mqtt.users cannot be set from here: change it in "},
		{"http:\n  hosts:\n    - a\n", "http.hosts", "b", "hosts cannot be set from here, because line 3 has it on several lines"},
		{"mqtt:\n  liste: x\n", "log.level", "warn", "mqtt.liste is not a setting"},
		{"log: [\n", "log.level", "warn", "the file is no YAML as it is"},
		{"log: x\n", "log.level", "warn", "line 1 of the file is one value; expected keys with values"},
	} {
		got, _, err := setIn(t, c.text, c.key, c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %s", c.key, c.value, err, c.want)
		}
		if got != c.text {
			t.Errorf("%s %s: the file was changed to %q", c.key, c.value, got)
		}
	}
}

// Whatever text is set in whatever file: the setting has it, or nothing changed.
func TestSetTextProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{"", "smtp: {}\n", "smtp:\n  user: 'it''s'  # me\n", "smtp: {user: \"a\\\"}b\"}\n", "smtp: {user: a b}\n", "smtp:\n  from: x@example.com\n"}).Draw(rt, "file")
		value := rapid.StringMatching(`[ -~äß°]{0,12}`).Draw(rt, "value")
		after, _, err := setIn(t, text, "smtp.user", value)
		if err != nil {
			if after != text {
				rt.Fatalf("refused (%v), and changed to %q", err, after)
			}
			return
		}
		c, err := load("x", []byte(after), nil)
		if err != nil || c.SMTP.User != value {
			rt.Fatalf("%q: user %q, %v; want %q", after, c.SMTP.User, err, value)
		}
	})
}

func TestChangesAndWhereValuesComeFrom(t *testing.T) {
	was := Defaults()
	is, err := loadText("log: {level: debug}\nsmtp:\n  user: me\n  password: hunter2\nunits: {flow: l/min}\n", "FETTLE_FORECAST_INTERVAL=300s")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"forecast.interval: 60s -> 5m, live true", "smtp.user:  -> me, live false", "smtp.password:  -> (secret), live false", "log.level: info -> debug, live true",
		fmt.Sprintf("units: %s -> %s, live true", show(reflect.ValueOf(was.Units)), show(reflect.ValueOf(is.Units))),
	}
	var got []string
	for _, c := range Changes(was, is) {
		got = append(got, fmt.Sprintf("%s: %s -> %s, live %v", c.Setting, c.Old, c.New, c.Live))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	from := map[string]string{"log.level": "fettle.yaml:1", "smtp.password": "fettle.yaml:4", "forecast.interval": "FETTLE_FORECAST_INTERVAL", "http.listen": "default"}
	for _, v := range is.Settings() {
		if place, asked := from[v.Name]; asked && v.From != place {
			t.Errorf("%s comes from %s, want %s", v.Name, v.From, place)
		}
		if strings.Contains(v.Text, "hunter2") {
			t.Errorf("%s shows the secret", v.Name)
		}
	}
	live := was.Adopt(was, is)
	if rest := Changes(live, is); len(rest) != 2 || rest[1].Setting != "smtp.password" {
		t.Errorf("with what is live, %+v is left; want user and password", rest)
	}
	if was.Units["flow"] != "" {
		t.Error("the Config that was has changed")
	}
}
