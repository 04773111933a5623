//go:build peers_light

package bridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mosquitto is the real broker, which can be killed and started again on the
// same port.
type mosquitto struct {
	t       testing.TB
	conf    string // file
	port    string
	said    lockedBuffer
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// startMosquitto runs one; the lines are added to its configuration, in which
// PORT is its port. Without any it is open to everybody.
func startMosquitto(t testing.TB, lines ...string) *mosquitto {
	t.Helper()
	// Mosquitto takes no port 0: a free one is found for it.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	folder := t.TempDir()
	m := &mosquitto{t: t, conf: filepath.Join(folder, "mosquitto.conf"), port: port}
	conf := "user root\nlog_type error\nlog_type warning\npersistence_location " + folder + "/\nmax_queued_messages 0\nlistener " + port + " 127.0.0.1\n"
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	if err := os.WriteFile(m.conf, []byte(conf+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", m.said.String())
		}
	})
	return m
}

func (m *mosquitto) address() string { return "127.0.0.1:" + m.port }

// start tries again if somebody else has the port for a moment.
func (m *mosquitto) start() {
	m.t.Helper()
	m.run()
	eventually(m.t, "mosquitto listens", func() bool {
		select {
		case <-m.ended:
			m.run()
		default:
		}
		conn, err := net.Dial("tcp", m.address())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) run() {
	m.t.Helper()
	name := "mosquitto"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/mosquitto" // which is on the PATH of root only
	}
	process, ended := exec.Command(name, "-c", m.conf), make(chan struct{})
	process.Stdout, process.Stderr = &m.said, &m.said
	if err := process.Start(); err != nil {
		m.t.Fatalf("%v; scripts/needs.sh installs it", err)
	}
	go func() {
		_ = process.Wait() // how it ended is of no interest
		close(ended)
	}()
	m.process, m.ended = process, ended
}

// kill ends it as kill -9 does; stop as a service manager does.
func (m *mosquitto) kill() { m.end(os.Kill) }
func (m *mosquitto) stop() { m.end(os.Interrupt) }

func (m *mosquitto) end(how os.Signal) {
	_ = m.process.Process.Signal(how) // it may be gone already
	<-m.ended
}

// publish sends numbers on a topic with mosquitto_pub, and returns when the
// broker has acknowledged all.
func (m *mosquitto) publish(topic string, from, to int, args ...string) {
	m.t.Helper()
	var lines strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintln(&lines, i)
	}
	c := exec.Command("mosquitto_pub", append([]string{"-h", "localhost", "-p", m.port, "-q", "1", "-l", "-t", topic}, args...)...)
	c.Stdin = strings.NewReader(lines.String())
	if out, err := c.CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// certificates makes an authority, a certificate for localhost and one for the
// client "press" in a folder: ca.pem, server.pem, server.key, press.pem, press.key.
func certificates(t testing.TB) (folder string) {
	t.Helper()
	folder = t.TempDir()
	var caCert *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range []string{"ca", "server", "press"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"localhost"}, IsCA: name == "ca", BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if name == "ca" {
			template.KeyUsage = x509.KeyUsageCertSign
			caCert, caKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, caCert, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
			if err := os.WriteFile(filepath.Join(folder, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return folder
}
