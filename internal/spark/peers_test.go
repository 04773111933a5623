//go:build peers

package spark_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fettle"
	"fettle/internal/process"
	"fettle/internal/spark"
)

const token = "secret-of-a-test"

// A cluster is the one that all scenarios share, and a folder in which they meet
// what runs on its executors.
type cluster struct {
	*process.Spark
	scratch string
}

// TestSpark tries the client on a real standalone cluster of two workers and its
// Connect server, which ends streams of answers sooner than it would. What is
// destroyed, is destroyed last.
func TestSpark(t *testing.T) {
	options := process.SparkOptions{Workers: 2, Token: token, Settings: []string{"spark.connect.execute.reattachable.senderMaxStreamDuration=3s"}}
	real, err := process.StartSpark(t.Context(), "../../scripts/peers/spark.sh", t.TempDir(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer real.Stop()
	defer func() {
		if t.Failed() {
			t.Log(real.Log())
		}
	}()
	for _, scenario := range []struct {
		name string
		run  func(*testing.T, cluster)
	}{
		{"refused", refused},
		{"TLS", overTLS},
		{"statements", statements},
		{"upload", upload},
		{"large", large},
		{"cut off", cutOff},
		{"resumed", resumed},
		{"interrupted", interrupted},
		{"check", check},
		{"worker killed", workerKilled},
		{"server killed", serverKilled},
	} {
		if !t.Run(scenario.name, func(t *testing.T) { scenario.run(t, cluster{real, t.TempDir()}) }) {
			return
		}
	}
}

func (c cluster) config() spark.Config { return spark.Config{URL: c.URL, Token: token} }

func (c cluster) dial(t *testing.T) *spark.Session {
	t.Helper()
	s, err := spark.Dial(t.Context(), c.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) }) // of no interest to a scenario that needs it open to its end
	return s
}

// start starts a command on an executor.
func start(t *testing.T, s *spark.Session, command, job string) *spark.Operation {
	t.Helper()
	op, err := s.Start(t.Context(), spark.NewID(), spark.Transform(command), job)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// run is start, and its rows.
func run(t *testing.T, s *spark.Session, command, job string) ([]string, error) {
	t.Helper()
	op := start(t, s, command, job)
	rows, err := op.Result(t.Context(), nil)
	if err := op.Release(t.Context()); err != nil {
		t.Error(err)
	}
	return rows, err
}

func refused(t *testing.T, c cluster) {
	for _, x := range []struct {
		name, url, token string
		confs            map[string]string
		kind             fettle.Kind
		says             string
	}{
		{"wrong token", c.URL, "another", nil, fettle.Forbidden, "does not take this token"},
		{"no token", c.URL, "", nil, fettle.Forbidden, "wants a token"},
		{"TLS to a server without", c.URL + ";use_ssl=true", token, nil, fettle.Invalid, "does not speak TLS: take ;use_ssl=true out"},
		{"the master", c.Master, token, nil, fettle.Invalid, "`fettle spark serve-command " + c.Master + "`"},
		{"the master's port", "sc" + strings.TrimPrefix(c.Master, "spark"), token, nil, fettle.Unavailable, "the connection to the Spark server"},
		{"a setting of the server's", c.URL, token, map[string]string{"spark.executor.memory": "2g"}, fettle.Invalid, "fettle spark serve-command --conf"},
	} {
		_, err := spark.Dial(t.Context(), spark.Config{URL: x.url, Token: x.token, Confs: x.confs})
		if fettle.KindOf(err) != x.kind || !strings.Contains(fmt.Sprint(err), x.says) {
			t.Errorf("%s: %v; expected %q", x.name, err, x.says)
		}
	}
}

// overTLS puts a proxy that speaks TLS before the server, which cannot itself.
func overTLS(t *testing.T, c cluster) {
	keeper := httptest.NewUnstartedServer(nil)
	keeper.EnableHTTP2 = true
	keeper.StartTLS()
	ca := filepath.Join(c.scratch, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keeper.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper.Close()
	proxy, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: keeper.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer forward(proxy, c).close()
	address := "sc://" + proxy.Addr().String()

	s, err := spark.Dial(t.Context(), spark.Config{URL: address + "/;use_ssl=true;token=" + token, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := run(t, s, "cat", "by TLS"); err != nil || len(rows) != 1 || rows[0] != "by TLS" {
		t.Errorf("%q, %v", rows, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := spark.Dial(t.Context(), spark.Config{URL: address + ";use_ssl=true", Token: token}); fettle.KindOf(err) != fettle.Forbidden || !strings.Contains(err.Error(), "not signed by anybody that is trusted") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	if _, err := spark.Dial(t.Context(), spark.Config{URL: address, Token: token}); !strings.Contains(fmt.Sprint(err), "add ;use_ssl=true") {
		t.Errorf("in the clear: %v", err)
	}
}

// A forwarder stands between a client and the server.
type forwarder struct {
	net.Listener
	all  sync.WaitGroup
	mu   sync.Mutex
	held []net.Conn
}

// forward passes connections on to the Connect server.
func forward(from net.Listener, c cluster) *forwarder {
	f := &forwarder{Listener: from}
	f.all.Go(func() {
		for {
			in, err := from.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(c.URL, "sc://"))
			if err != nil {
				in.Close()
				continue
			}
			f.mu.Lock()
			f.held = append(f.held, in, out)
			f.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				f.all.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // whoever ends it
					in.Close()
					out.Close()
				})
			}
		}
	})
	return f
}

// cut ends all connections that there are; new ones can be made.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.held {
		conn.Close()
	}
	f.held = nil
}

func (f *forwarder) close() {
	f.Close()
	f.cut()
	f.all.Wait()
}

func statements(t *testing.T, c cluster) {
	config := c.config()
	config.Confs = map[string]string{"spark.sql.session.timeZone": "Asia/Colombo"}
	s, err := spark.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	if !strings.HasPrefix(s.Version(), "4.") || len(s.ServerSideID()) != len(s.ID()) {
		t.Errorf("version %q, ids %q %q", s.Version(), s.ID(), s.ServerSideID())
	}
	odd := `{"machine":"it's \"x\" \\ ${spark.master} $HOME ü","x":[1,2]}`
	for _, x := range []struct {
		sql    string
		values []string
		want   []string
		says   string
	}{
		{"SELECT current_timezone()", nil, []string{"Asia/Colombo"}, ""},
		{"SELECT * FROM VALUES ('a'), (NULL), ('') AS t(x)", nil, []string{"a", "", ""}, ""},
		{"SELECT CAST(id AS STRING) FROM range(3) WHERE id > 7", nil, nil, ""},
		{spark.Transform("cat"), []string{odd}, []string{odd}, ""},
		{spark.Transform(`echo '${spark.master} \n'`), []string{"x"}, []string{`${spark.master} \n`}, ""},
		{spark.Transform("echo no such luck >&2; exit 3"), []string{"x"}, nil, "no such luck"},
		{"SELECT 1, 2", nil, nil, "2 columns; expected one of strings"},
		{"SELEC 1", nil, nil, "PARSE_SYNTAX_ERROR"},
	} {
		op, err := s.Start(t.Context(), spark.NewID(), x.sql, x.values...)
		var rows []string
		if err == nil {
			rows, err = op.Result(t.Context(), nil)
		}
		if fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", x.want) || (err == nil) != (x.says == "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %q, %v; expected %q, %q", x.sql, rows, err, x.want, x.says)
		}
	}
}

// upload: a file of one chunk and one of many come whole to an executor, and can
// be run there; another of the same name is refused.
func upload(t *testing.T, c cluster) {
	s := c.dial(t)
	script := "#!/bin/bash\nwc -c < \"$(dirname \"$0\")/data\"\n"
	data := strings.Repeat("0123456789", 300_000)
	for range 2 { // the second time changes nothing
		for name, text := range map[string]string{"size.sh": script, "data": data} {
			if err := s.Upload(t.Context(), name, strings.NewReader(text), int64(len(text))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rows, err := run(t, s, s.Path("size.sh"), "x"); err != nil || len(rows) != 1 || rows[0] != fmt.Sprint(len(data)) {
		t.Errorf("%q, %v", rows, err)
	}
	if err := s.Upload(t.Context(), "data", strings.NewReader("another"), 7); !strings.Contains(fmt.Sprint(err), "ARTIFACT_ALREADY_EXISTS") {
		t.Errorf("another file of the same name: %v", err)
	}
	if err := s.Upload(t.Context(), "short", strings.NewReader("short"), 6); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than it was said: %v", err)
	}
}

// large: a value and a row of 60 MB pass.
func large(t *testing.T, c cluster) {
	s := c.dial(t)
	job := strings.Repeat("0123456789abcde.", 60<<20/16)
	if rows, err := run(t, s, "cat", job); err != nil || len(rows) != 1 || rows[0] != job {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if _, err := s.Start(t.Context(), spark.NewID(), "SELECT ?", strings.Repeat(job, 3)); fettle.KindOf(err) != fettle.Invalid || !strings.Contains(err.Error(), "at most 134217728") {
		t.Errorf("too large: %v", err)
	}
}

func check(t *testing.T, c cluster) {
	config := c.config()
	config.Binary = func() (io.ReadCloser, int64, error) {
		text := "#!/bin/sh\necho fettle $1 here\n"
		return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
	}
	findings, err := spark.Check(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range findings {
		fmt.Fprintln(&text, f.Check, f.State, f.Says, f.Do)
		if f.State == spark.Error {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"server ok Spark 4.", "access ok a token", "settings ok", "program ok it was uploaded, and runs on an executor: fettle version here", "slots ok tasks at once: ", "memory ok"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("found no %q in\n%s", want, &text)
		}
	}
	// A program of another processor: the magic number and nothing after it.
	config.Binary = func() (io.ReadCloser, int64, error) {
		text := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 57)
		return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
	}
	findings, err = spark.Check(t.Context(), config)
	if err != nil || len(findings) < 5 || findings[4].State != spark.Error || !strings.Contains(findings[4].Says, "another processor") {
		t.Errorf("%+v, %v", findings, err)
	}
}
