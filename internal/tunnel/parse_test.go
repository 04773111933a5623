package tunnel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReady(t *testing.T) {
	for _, c := range []struct {
		status int
		text   string
		ready  bool
		wrong  bool
	}{
		{200, `{"status":200,"readyConnections":4,"connectorId":"x"}`, true, false},
		{503, `{"status":503,"readyConnections":0,"connectorId":"x"}`, false, false},
		{200, `{"readyConnections":0}`, false, false},
		{200, `OK`, false, true},
		{200, `{}`, false, true},
		{404, `404 page not found`, false, true},
	} {
		ready, err := parseReady(c.status, []byte(c.text))
		if ready != c.ready || (err != nil) != c.wrong {
			t.Errorf("%d %s: %v, %v", c.status, c.text, ready, err)
		}
	}
}

func TestParseQuickTunnel(t *testing.T) {
	for text, want := range map[string]string{
		`{"hostname":"Brave-Cat.trycloudflare.com"}`: "brave-cat.trycloudflare.com", `{"hostname":"127.0.0.1:4000"}`: "127.0.0.1:4000", `{"hostname":""}`: "", `{}`: "",
	} {
		if got, err := parseQuickTunnel([]byte(text)); got != want || err != nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[]`, `{"hostname":"a/b"}`, `{"hostname":"a.example:x"}`, `{"hostname":"user@a.example"}`, `{"hostname":"-a"}`, `{"hostname":"a\u001b[31m"}`, `{"hostname":"` + strings.Repeat("a", 300) + `"}`} {
		if got, err := parseQuickTunnel([]byte(text)); err == nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestParseList(t *testing.T) {
	list, err := parseList([]byte(`[{"id":"1","name":"plant","created_at":"2026-03-02T07:00:00Z","deleted_at":"0001-01-01T00:00:00Z","connections":[{"colo_name":"fra08"},{}]},
		{"id":"2","name":"old","created_at":"2026-03-02T07:00:00Z","deleted_at":"2026-03-03T07:00:00Z","connections":[]}]`))
	if err != nil || len(list) != 1 || list[0].Name != "plant" || list[0].Connections != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := parseList([]byte("null")); err != nil || list == nil || len(list) != 0 {
		t.Errorf("no tunnels: %v, %v", list, err)
	}
}

// Services as cloudflared installs them on each system.
func TestParseService(t *testing.T) {
	for text, want := range map[string]Service{
		"[Service]\nExecStart=/usr/bin/cloudflared --no-autoupdate --config /etc/cloudflared/config.yml tunnel run\n":   {Name: "cloudflared", Config: "/etc/cloudflared/config.yml"},
		"ExecStart=/usr/bin/cloudflared --no-autoupdate tunnel run --token eyJhIjoi\n":                                  {Name: "cloudflared", ByToken: true},
		`C:\Program Files (x86)\cloudflared\cloudflared.exe --config="C:\Users\a b\.cloudflared\config.yml" tunnel run`: {Name: "cloudflared", Config: `C:\Users\a b\.cloudflared\config.yml`},
		"<array><string>/usr/local/bin/cloudflared</string><string>--config</string>\n<string>/etc/c.yml</string>":      {Name: "cloudflared", Config: "/etc/c.yml"},
		"": {Name: "cloudflared"},
	} {
		if diff := cmp.Diff(want, parseService(text)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if strings.Contains(parseService(text).Config, "eyJ") {
			t.Error("the token is kept")
		}
	}
}

// Where a rule leads, however it is written.
func TestLeadsTo(t *testing.T) {
	for service, want := range map[string]bool{
		"http://localhost:8001": true, "http://127.0.0.1:8001": true, "https://[::1]:8001/x": true, "http://0.0.0.0:8001": true, "tcp://127.0.0.2:8001": true,
		"http://localhost:8000": false, "http://localhost": false, "http://10.0.0.1:8001": false, "http_status:404": false, "": false, "http://[": false,
	} {
		if got := leadsTo(service, "127.0.0.1:8001"); got != want {
			t.Errorf("%s: %v", service, got)
		}
	}
	if leadsTo("http://localhost:8001", "") {
		t.Error("a listener that is off")
	}
}

// A written file reads back as what it was made of, whatever the path holds.
func TestFileThereAndBack(t *testing.T) {
	for _, credentials := range []string{"/home/a/.cloudflared/x.json", `C:\Users\O'Neill\.cloudflared\x.json`} {
		f, err := parseFile([]byte(fileText("id-1", credentials, "iot.example.com", "127.0.0.1:8001")))
		want := File{Tunnel: "id-1", Credentials: credentials, Ingress: []Rule{
			{Hostname: "iot.example.com", Service: "http://127.0.0.1:8001"}, {Service: "http_status:404"},
		}}
		if diff := cmp.Diff(want, f); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

// The log is bounded, and its last line is told without what a terminal would obey.
func TestLogRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x", LogFile)
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 5 {
		if _, err := l.Write([]byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 900))); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = l.Write([]byte("half \x1b[31ma li"))
	_, _ = l.Write([]byte("ne\n\n  \n"))
	if got := l.lastLine(); got != "half  [31ma line" {
		t.Errorf("last line %q", got)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", f.Name(), info.Size(), err)
		}
	}
}

// What could lead cloudflared elsewhere, or tell it our secrets, is left out.
func TestCleanEnvironment(t *testing.T) {
	got := cleanEnvironment([]string{"PATH=/bin", "FETTLE_MQTT_USERS=x", "TUNNEL_TOKEN=x", "tunnel_url=x", "TUNNEL_TRANSPORT_PROTOCOL=http2"})
	if diff := cmp.Diff([]string{"PATH=/bin", "TUNNEL_TRANSPORT_PROTOCOL=http2"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{`{"status":200,"readyConnections":4}`, `{"hostname":"a.trycloudflare.com"}`, `[{"id":"1","name":"a","connections":[]}]`, "null", "{", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = parseReady(200, text)
		_, _ = parseList(text)
		if name, err := parseQuickTunnel(text); err == nil && name != "" && strings.ContainsAny(name, "/@ <>\"\x1b") {
			t.Errorf("%q stands in an address", name)
		}
	})
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{fileText("id", "/c.json", "a.example", "127.0.0.1:8001"), "tunnel: [", "ingress: {a: b}", "&a *a", "a: !!binary x", "- - -", "url: http://localhost:8000"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseFile(text)
		if err != nil {
			return
		}
		l := Listeners{Keyed: "127.0.0.1:8001", Open: "127.0.0.1:8000"}
		if host := l.Hostname(file); host != "" && !isHostname(host) {
			t.Errorf("%q stands in an address", host)
		}
		_ = l.Warning(file)
	})
}

func FuzzService(f *testing.F) {
	for _, seed := range []string{"ExecStart=cloudflared --config /x tunnel run", `--config="a b"`, "--config</string><string>/x</string>", "--token x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s := parseService(text); strings.ContainsAny(s.Config, "\r\n") {
			t.Errorf("%q", s.Config)
		}
	})
}
