package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fettle"
)

const oldLine = "sensor_data,workspace_id=m,sensor_type=industrial current=17.2,tempA=60 "

func gzipped(body string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return packed.String()
}

// What is written as line protocol is stored when it is answered, on both
// routes, in every precision, packed or not.
func TestWritesAreStored(t *testing.T) {
	p := newPlant(t)
	*p.now = noon.Add(time.Hour)
	writes := []struct {
		target, body string
		changes      []change
	}{
		{"/api/v2/write?org=o&bucket=b", oldLine + "1764072000000000000", nil},
		{"/api/v2/write?org=o&bucket=b&precision=ms", oldLine + "1764072001000", nil},
		{"/write?db=d&rp=r&precision=s", oldLine + "1764072002\n" + oldLine + "1764072003\n", nil},
		{"/api/v2/write?precision=us", gzipped(oldLine + "1764072004000000"), []change{header("Content-Encoding", "gzip")}},
		{"/api/v2/write", oldLine, nil}, // the arrival, an hour past noon
		{"/api/v2/write", "# nothing\n\n", nil},
	}
	for _, c := range writes {
		w := p.do("POST", c.target, c.body, c.changes...)
		if w.Code != 204 || w.Body.Len() > 0 || w.Header().Get("X-Influxdb-Version") != influxVersion {
			t.Fatalf("%s: %d %s %v", c.target, w.Code, w.Body, w.Header())
		}
	}
	var got []string
	check(t, p.rows.Range("m", time.Time{}, time.Time{}, func(r fettle.Reading) error {
		got = append(got, fmt.Sprintf("%s %v %v", r.Time.Format(time.TimeOnly), r.Values, r.Tags))
		return nil
	}))
	var want []string
	for _, at := range []string{"12:00:00", "12:00:01", "12:00:02", "12:00:03", "12:00:04", "13:00:00"} {
		want = append(want, at+" [{current 17.2} {tempA 60}] map[sensor_type:industrial]")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("stored\n%s", strings.Join(got, "\n"))
	}
}

// A write of more than one batch is stored as a whole, and in bounded pieces.
func TestLongWrite(t *testing.T) {
	p := newPlant(t)
	var body strings.Builder
	for i := range 2*batchLines + 7 {
		fmt.Fprintf(&body, "%s%d\n", oldLine, noon.Unix()-20_000+int64(i))
	}
	if w := p.do("POST", "/write?precision=s", body.String()); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if info, _ := p.rows.Info("m"); info.Rows != 2*batchLines+7 {
		t.Errorf("%d rows", info.Rows)
	}
}

// Refusals come with InfluxDB's statuses, codes and words; good lines beside
// them are stored.
func TestWriteErrors(t *testing.T) {
	for _, c := range []struct {
		note, target, body, encoding string
		status                       int
		answer                       string
		rows                         int64
	}{
		{"a line that is none", "/api/v2/write", "cpu", "", 400, `{"code":"invalid","message":"unable to parse 'cpu': missing fields","line":1}`, 0},
		{"some of several", "/write?precision=s", oldLine + "1\ncpu\n" + oldLine + "2\ncpu,a=b x\n", "", 400,
			`{"code":"invalid","message":"partial write: unable to parse 'cpu': missing fields\nunable to parse 'cpu,a=b x': tag is missing; expected one of [\"workspace_id\" \"machine\"], which name the machine (ingest.line_machine_tags)","line":2}`, 2},
		{"too far ahead", "/write?precision=s", oldLine + "1764072000\n" + oldLine + "1999999999", "", 422,
			`{"code":"unprocessable entity","message":"failure writing points to database: partial write: [1].timestamp is 2033-05-18T03:33:19Z; expected at most 2025-11-25T13:05:00Z, a little ahead of this computer's clock dropped=1"}`, 1},
		{"a precision that is none", "/api/v2/write?precision=fortnight", oldLine, "", 400, `{"code":"invalid","message":"invalid precision; valid precision units are ns, us, ms, and s"}`, 0},
		{"not gzip", "/write", oldLine, "gzip", 400, `{"code":"invalid","message":"unable to read data: gzip: invalid header"}`, 0},
		{"half a gzip", "/write", gzipped(oldLine + "1")[:40], "gzip", 400, `{"code":"invalid","message":"unable to read data: unexpected EOF"}`, 0},
		{"another packing", "/write", oldLine, "br", 400, `{"code":"invalid","message":"unable to read data: Content-Encoding is \"br\"; expected gzip or none"}`, 0},
		{"too much", "/write?precision=s", gzipped(oldLine + "1\n" + strings.Repeat("# nothing to see here\n", maxWrite/22)), "gzip", 413,
			`{"code":"request too large","message":"unable to read data: points batch is too large: more than 67108864 bytes; the 1 readings before are stored"}`, 1},
	} {
		t.Run(c.note, func(t *testing.T) {
			p := newPlant(t)
			w := p.do("POST", c.target, c.body, header("Content-Encoding", c.encoding))
			if w.Code != c.status || w.Body.String() != c.answer || w.Header().Get("X-Platform-Error-Code") == "" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if info, _ := p.rows.Info("m"); info.Rows != c.rows {
				t.Errorf("%d rows stored, want %d", info.Rows, c.rows)
			}
		})
	}
}

// Many refused lines do not make a long answer.
func TestManyBadLines(t *testing.T) {
	p := newPlant(t)
	w := p.do("POST", "/write", strings.Repeat("cpu\n", 3*batchLines))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "and 14980 more") || w.Body.Len() > 10_000 {
		t.Errorf("%d %.500s", w.Code, w.Body)
	}
}

// A gate that is full, or whose disk is, has the client try again.
func TestWriteTriesAgain(t *testing.T) {
	for kind, status := range map[fettle.Kind]int{fettle.Busy: 429, fettle.Unavailable: 503} {
		rig := newRig(t)
		rig.submit = fettle.Errorf(kind, "not now")
		w := rig.do("POST", "/write", oldLine)
		if w.Code != status || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "not now") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
}

// Writers show a key of fettle in any of the ways they know; a key that may
// write and no more suffices for everything that they ask.
func TestWritersShowKeys(t *testing.T) {
	rig := newRig(t)
	key, reader := rig.key(t, Write), rig.key(t, Read)
	basic := func(password string) change {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	for _, c := range []struct {
		note, method, target string
		show                 change
		status               int
	}{
		{"a token", "POST", "/api/v2/write", header("Authorization", "Token "+key), 204},
		{"a bearer", "POST", "/api/v2/write", header("Authorization", "Bearer "+key), 204},
		{"our own header", "POST", "/write", withKey(key), 204},
		{"in the query", "POST", "/write?u=anybody&p=" + key, func(*http.Request) {}, 204},
		{"basic", "POST", "/write", basic(key), 204},
		{"ping", "GET", "/ping", header("Authorization", "Token "+key), 204},
		{"ping by head", "HEAD", "/ping", header("Authorization", "Token "+key), 204},
		{"health", "GET", "/health", header("Authorization", "Token "+key), 200},
		{"ready", "GET", "/ready", header("Authorization", "Token "+key), 200},
		{"nobody", "POST", "/write", func(*http.Request) {}, 401},
		{"nobody, with the word", "POST", "/write", header("Authorization", "Token "), 401},
		{"nobody pings", "GET", "/ping", func(*http.Request) {}, 401},
		{"a stranger's token", "POST", "/api/v2/write", header("Authorization", "Token my-super-secret-token"), 401},
		{"a wrong password", "POST", "/write?p=wrong", func(*http.Request) {}, 401},
		{"a key that may not write", "POST", "/write", header("Authorization", "Token "+reader), 403},
		{"the query means nothing elsewhere", "GET", "/api/v1/status?p=" + reader, func(*http.Request) {}, 403},
		{"a write key cannot read", "GET", "/api/v1/status", header("Authorization", "Token "+key), 403},
	} {
		body := ""
		if c.method == "POST" {
			body = oldLine
		}
		w := rig.ask(true, request(c.method, c.target, body, c.show))
		if w.Code != c.status {
			t.Errorf("%s: %d %s", c.note, w.Code, w.Body)
		}
		if w.Code == 401 && w.Body.String() != `{"code":"unauthorized","message":"unauthorized access"}` {
			t.Errorf("%s: %s", c.note, w.Body)
		}
	}
	if w := rig.do("POST", "/write", oldLine); w.Code != 204 {
		t.Errorf("the local user: %d %s", w.Code, w.Body)
	}
	if w := rig.do("POST", "/write", oldLine, header("Origin", "https://evil.example")); w.Code != 403 || !strings.Contains(w.Body.String(), "forbidden") {
		t.Errorf("a page of another site: %d %s", w.Code, w.Body)
	}
}

func TestInfluxHealth(t *testing.T) {
	rig := newRig(t)
	rig.status = Status{Started: noon, UptimeSeconds: 1.5}
	for target, want := range map[string]string{
		"/health": `{"name":"fettle","message":"ready for writes","status":"pass","checks":[],"version":"v2.7.12","commit":""}`,
		"/ready":  `{"status":"ready","started":"2025-11-25T12:00:00Z","up":"1.5s"}`,
	} {
		if w := rig.get(target); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	rig.notReady = fettle.Errorf(fettle.Unavailable, "the disk is full")
	if w := rig.get("/health"); w.Code != 503 || !strings.Contains(w.Body.String(), `"status":"fail"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A body that breaks off tells of no reading that was cut in half.
func TestWriteThatBreaksOff(t *testing.T) {
	p := newPlant(t)
	server := httptest.NewServer(p.Handler(false))
	defer server.Close()
	from, to := io.Pipe()
	go func() {
		_, _ = io.WriteString(to, oldLine+"1764072000\n"+oldLine+"176407200")
		_ = to.CloseWithError(io.ErrClosedPipe)
	}()
	if response, err := http.Post(server.URL+"/write?precision=s", "text/plain", from); err == nil {
		_ = response.Body.Close()
	}
	server.Close() // waits for the handler
	if info, found := p.rows.Info("m"); found && (info.Rows != 1 || info.Last.Unix() != 1764072000) {
		t.Errorf("%+v", info)
	}
}
