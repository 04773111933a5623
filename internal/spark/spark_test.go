package spark

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

func TestAddress(t *testing.T) {
	noCertificates := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noCertificates, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ url, ca, want string }{
		{"sc://spark", "", "spark:15002 fettle"},
		{"sc://spark:443/;use_ssl=true;token=a%2Fb;user_id=u;user_agent=x", "", "spark:443 u TLS a/b"},
		{"sc://spark;token=a", "", "spark:15002 fettle TLS a"}, // as Spark's own clients do
		{"sc://spark;token=a;use_ssl=false", "", "spark:15002 fettle a in the open"},
		{"sc://localhost;token=a", "", "localhost:15002 fettle a"},
		{"sc://[::1]:1;token=a", "", "[::1]:1 fettle a"},
		{"spark://m:7077", "", "spark://m:7077 is the address of a standalone master, and fettle talks to a Spark Connect server: `fettle spark serve-command spark://m:7077` prints the command that starts one on that cluster; then use sc://HOST:15002"},
		{"http://spark:15002;token=secret", "", "url is http://spark:15002;token=…; expected the address of a Spark Connect server, such as sc://spark-connect:15002"},
		{"sc://", "", "url is sc://; expected the address of a Spark Connect server, such as sc://spark-connect:15002"},
		{"sc://spark:99999", "", "url is sc://spark:99999; expected a port from 1 to 65535"},
		{"sc://spark/path", "", "url is sc://spark/path; expected the address of a Spark Connect server, such as sc://spark-connect:15002"},
		{"sc://spark;use_ssl=perhaps", "", "use_ssl is perhaps; expected true or false"},
		{"sc://spark;x=1", "", "url is x; expected only token, use_ssl, user_id and user_agent after the address"},
		{"sc://spark;token=a%0ab", "", "token; expected letters, digits and signs of ASCII, without spaces and line ends"},
		{"sc://spark;use_ssl=true", noCertificates, "ca_file is " + noCertificates + "; expected a file with at least one certificate in PEM (BEGIN CERTIFICATE)"},
	} {
		got, err := Config{URL: x.url, CAFile: x.ca}.target()
		text := got.address + " " + got.user
		if got.tls != nil {
			text += " TLS"
		}
		if got.token != "" {
			text += " " + got.token
		}
		if got.open {
			text += " in the open"
		}
		if err != nil {
			text = err.Error()
			if fettle.KindOf(err) != fettle.Invalid {
				t.Errorf("%s: kind %v", x.url, fettle.KindOf(err))
			}
		}
		if text != fettle.Shorten(x.want) && text != x.want {
			t.Errorf("%s: %s; expected %s", x.url, text, x.want)
		}
	}
}

func TestNames(t *testing.T) {
	for id, good := range map[string]bool{NewID(): true, strings.ToUpper(NewID()): true, "": false, "x": false, strings.Repeat("-", 36): false, strings.Repeat("0", 36): false, NewID()[:35] + "g": false} {
		if err := checkID("operation", id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for version, good := range map[string]bool{"4.0.1": true, "4.3.0-SNAPSHOT": true, "5.0": true, "3.5.9": false, "": false, "x": false} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestTransform(t *testing.T) {
	const want = `SELECT TRANSFORM(job) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' USING './id/it\'s \u0024{x} \\ y' AS (result STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' FROM VALUES (?) AS t(job)`
	if got := Transform(`./id/it's ${x} \ y`); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}
}

func TestServeCommand(t *testing.T) {
	got := ServeCommand{Master: "spark://m:7077", Port: 15002, Memory: "1g", Confs: []string{"spark.executor.memory=2g", "spark.x=it's"}}.String()
	for _, want := range []string{
		`SPARK_CONNECT_AUTHENTICATE_TOKEN="${TOKEN:?is not set}" SPARK_DAEMON_MEMORY= "${SPARK_HOME:?is not set}"/bin/spark-submit \` + "\n",
		"  --master spark://m:7077 \\\n", "  --conf spark.connect.grpc.binding.port=15002 \\\n", "  --conf spark.task.reaper.enabled=true \\\n",
		"  --conf spark.executor.memory=2g \\\n  --conf 'spark.x=it'\\''s' \\\n  spark-internal",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "memory=1g ") {
		t.Errorf("two settings of one name:\n%s", got)
	}
	for master, good := range map[string]bool{"spark://m:7077": true, "spark://a:7077,b:7077": true, "m:7077": false, "spark://m": false, "spark://:7077": false, "sc://m:7077": false} {
		if err := CheckMaster(master); (err == nil) != good {
			t.Errorf("%s: %v", master, err)
		}
	}
}

func TestExplain(t *testing.T) {
	at := target{address: "spark:15002", host: "spark"}
	for _, x := range []struct {
		err  error
		kind fettle.Kind
		says string
	}{
		{&Status{16, "Authentication token not found"}, fettle.Forbidden, "wants a token"},
		{&Status{13, "[INVALID_HANDLE.SESSION_CHANGED] The handle …"}, fettle.NotFound, "no longer knows it"},
		{&Status{8, "gRPC message exceeds maximum size"}, fettle.Invalid, "raise its spark.connect.grpc.maxInboundMessageSize"},
		{&Status{14, "going away"}, fettle.Unavailable, "not available"},
		{&Status{12, "unknown method"}, fettle.Conflict, "expected Spark Connect of Spark 4.0 or newer"},
		{&Status{13, "Subprocess exited with status 3. Error: no"}, fettle.Internal, "Spark says: Subprocess exited"},
		{&notGRPC{"HTTP 404 Not Found, text/html"}, fettle.Invalid, "but something else: no gRPC answer (HTTP 404 Not Found, text/html)"},
		{&fault{syscall.ECONNREFUSED}, fettle.Unavailable, "no Spark Connect server runs at spark:15002"},
		{&fault{io.ErrUnexpectedEOF}, fettle.Unavailable, "if it expects TLS, add ;use_ssl=true"},
	} {
		if err := at.explain(x.err); fettle.KindOf(err) != x.kind || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%v: %v", x.err, err)
		}
	}
	if err := at.explain(&Status{13, "[INVALID_HANDLE.OPERATION_NOT_FOUND] gone"}); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if err := at.explain(&Status{1, "[OPERATION_CANCELED] it"}); !errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
	if err := at.explain(context.Canceled); err != context.Canceled {
		t.Error(err)
	}
}

// TestRetry: faults that pass are got over for a minute, refused connections for
// ten seconds, what the server refuses not at all.
func TestRetry(t *testing.T) {
	for _, x := range []struct {
		err  error
		upTo time.Duration
	}{
		{&fault{io.ErrUnexpectedEOF}, patience},
		{&Status{14, "going away"}, patience},
		{&fault{syscall.ECONNREFUSED}, refusalPatience},
		{&Status{13, "no"}, 0},
		{&notGRPC{"HTTP 404"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Session{log: slog.New(slog.DiscardHandler), patience: patience}
			began, tries := time.Now(), 0
			err := s.persist(t.Context(), func() error { tries++; return x.err })
			if took := time.Since(began); err == nil || took < x.upTo || took > x.upTo+2*longWait {
				t.Errorf("%v: given up after %s and %d tries; expected %s", x.err, took, tries, x.upTo)
			}
			if err := s.persist(t.Context(), func() error {
				if tries++; tries%3 > 0 {
					return x.err
				}
				return nil
			}); x.upTo > 0 && err != nil {
				t.Errorf("not got over: %v", err)
			}
		})
	}
}

// frame is a message behind its length.
func frame(text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text)))) + text
}

func answer(body string, trailer http.Header) *stream {
	return &stream{ctx: context.Background(), response: &http.Response{Body: io.NopCloser(strings.NewReader(body)), Trailer: trailer}}
}

func TestStream(t *testing.T) {
	well := http.Header{"Grpc-Status": {"0"}}
	for _, x := range []struct {
		name, body string
		trailer    http.Header
		want       []string
		says       string
	}{
		{"two", frame("a") + frame(""), well, []string{"a", ""}, "EOF"},
		{"refused", frame("a"), http.Header{"Grpc-Status": {"13"}, "Grpc-Message": {"100%25 wrong"}}, []string{"a"}, "Spark says: 100% wrong"},
		{"no status", frame("a"), nil, []string{"a"}, "unexpected EOF"},
		{"cut off", frame("abc")[:7], well, nil, "unexpected EOF"},
		{"cut off early", "\x00\x00", well, nil, "unexpected EOF"},
		{"compressed", "\x01\x00\x00\x00\x01a", well, nil, "a compressed message"},
		{"too large", "\x00\x08\x00\x00\x01", well, nil, "a message of 134217729 bytes; expected at most 134217728"},
		{"odd status", "", http.Header{"Grpc-Status": {"x"}}, nil, "status x"},
	} {
		s, got := answer(x.body, x.trailer), []string(nil)
		var err error
		for err == nil {
			var m []byte
			if m, err = s.next(); err == nil {
				got = append(got, string(m))
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", x.want) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %q, %v; expected %q, %q", x.name, got, err, x.want, x.says)
		}
	}
}

// FuzzStream feeds the reader of answers with anything: it gives messages that
// lie in it, and an end.
func FuzzStream(f *testing.F) {
	f.Add(frame("a")+frame(""), "0", "")
	f.Add(frame("a")[:5], "13", "100%25 wrong")
	f.Fuzz(func(t *testing.T, body, status, message string) {
		s, size := answer(body, http.Header{"Grpc-Status": {status}, "Grpc-Message": {message}}), 0
		m, err := s.next()
		for ; err == nil; m, err = s.next() {
			size += prefixSize + len(m)
		}
		if size > len(body) || class(err) != "" && status == "0" {
			t.Errorf("%d bytes out of %d, %v", size, len(body), err)
		}
	})
}

// TestBody: a request's value is not copied, and still lies where it should.
func TestBody(t *testing.T) {
	s := &Session{id: "id", target: target{user: "u", agent: "fettle"}}
	for _, values := range [][]string{nil, {""}, {"a job"}} {
		b := s.executePlan("op", "SELECT ?", values)
		text, err := io.ReadAll(b.open())
		if err != nil || int64(len(text)) != b.size || binary.BigEndian.Uint32(text[1:]) != uint32(len(text)-prefixSize) {
			t.Fatalf("%x, %v; size %d", text, err, b.size)
		}
		inner := text[prefixSize:]
		for _, number := range []int{3, 1, 10} { // plan, root, sql
			inner = find(t, inner, number)
		}
		if got := string(find(t, inner, 1)); got != "SELECT ?" {
			t.Errorf("%q", got)
		}
		for _, value := range values {
			if got := string(find(t, find(t, find(t, inner, 5), 1), 13)); got != value {
				t.Errorf("%q; expected %q", got, value)
			}
		}
	}
}

func find(t *testing.T, m []byte, number int) (found []byte) {
	t.Helper()
	if err := fields(m, func(f field) error {
		if f.number == number {
			found = f.bytes
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestUpload: the frames of a file, in one chunk and in several.
func TestUpload(t *testing.T) {
	for _, x := range []struct {
		size     int
		payloads []int // fields of the requests
	}{{1, []int{3}}, {chunkSize, []int{3}}, {chunkSize + 1, []int{4, 5}}, {3 * chunkSize, []int{4, 5, 5}}} {
		data := bytes.Repeat([]byte("x"), x.size)
		u := &upload{head: message(nil).text(1, "id"), name: "files/x", from: bytes.NewReader(data), size: int64(x.size), closed: make(chan struct{})}
		text, err := io.ReadAll(u)
		if err != nil {
			t.Fatal(err)
		}
		s := answer(string(text), http.Header{"Grpc-Status": {"0"}})
		var payloads []int
		m, err := s.next()
		for ; err == nil; m, err = s.next() {
			last := 0
			if err := fields(m, func(f field) error { last = f.number; return nil }); err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, last)
		}
		if err != io.EOF || fmt.Sprint(payloads) != fmt.Sprint(x.payloads) {
			t.Errorf("%d bytes: fields %v, %v; expected %v", x.size, payloads, err, x.payloads)
		}
	}
}

// TestSlots: what the tasks of a probe say, and what is made of it.
func TestSlots(t *testing.T) {
	const row0 = "x86_64 a 2000000 max 100.00 102.00 /work/app/0"
	for _, x := range []struct {
		rows []string
		want []Finding
	}{
		{
			[]string{row0, "x86_64 a 1900000 max 101.00 103.00 /work/app/0", "x86_64 a 3000000 max 103.00 105.00 /work/app/0", "x86_64 b 9000000 max 7.00 9.00 /work/with a space/1"},
			[]Finding{
				{"slots", OK, "tasks at once: 3; executors: 2; computers: 2, of the kind x86_64", ""},
				{"memory", OK, "927 MiB are free for each of the trainings that run at once (2 on a, where there is least), beside the executors' own (spark.executor.memory=1g)", ""},
			},
		},
		{
			[]string{row0, "aarch64 b 9000000 104857600 7.00 9.00 /work/app/1"},
			[]Finding{
				{"slots", Warning, "tasks at once: 2; executors: 2; computers: 2, of the kind aarch64 and x86_64", "one program runs on one kind of processor: keep the server to workers of one kind"},
				{"memory", Warning, "100 MiB are free for each of the trainings that run at once (1 on b, where there is least), beside the executors' own (spark.executor.memory=1g)", "have 512 MiB free for each training that runs at once, or fewer cores there"},
			},
		},
	} {
		tasks, err := readTasks(x.rows)
		if err != nil {
			t.Fatal(err)
		}
		e := &examination{}
		e.judgeSlots(tasks)
		if fmt.Sprintf("%+v", e.findings) != fmt.Sprintf("%+v", x.want) {
			t.Errorf("%+v\nexpected %+v", e.findings, x.want)
		}
	}
	for _, rows := range [][]string{nil, {"x"}, {"x86_64 a much max 1 2 /w"}} {
		if _, err := readTasks(rows); err == nil {
			t.Errorf("%q was read", rows)
		}
	}
}
