package broker

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// An authority signs certificates for tests, in files of a folder.
type authority struct {
	t      testing.TB
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.make("ca", template, nil)
	return a
}

// make writes <file>.pem and <file>.key; without a parent it signs itself.
func (a *authority) make(file string, template, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{file + ".pem": {Type: "CERTIFICATE", Bytes: der}, file + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.path(name), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) path(file string) string { return filepath.Join(a.folder, file) }

// serve makes the certificate of a broker on this computer.
func (a *authority) serve(file string) (cert, key string) {
	a.make(file, &x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.cert)
	return a.path(file + ".pem"), a.path(file + ".key")
}

// issue makes the certificate of a client.
func (a *authority) issue(name string) tls.Certificate {
	a.t.Helper()
	a.make(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.cert)
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// trusting is the setting of a client that trusts the authority.
func (a *authority) trusting(own ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if len(own) > 0 { // shown whether it is asked for or not
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
	}
	return config
}

// enter connects over a stream; the reason is 0xFF if there was no answer.
func enter(t testing.TB, stream net.Conn, id string, options ...connectOption) (*client, byte) {
	t.Helper()
	t.Cleanup(func() { stream.Close() })
	c := &client{t: t, version: 4, net: stream, r: bufio.NewReader(stream)}
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	pk.Connect.ProtocolName, pk.Connect.Clean, pk.Connect.ClientIdentifier, pk.Connect.Keepalive = []byte("MQTT"), true, id, 60
	for _, option := range options {
		option(&pk)
	}
	if err := c.trySend(pk); err != nil {
		return c, 0xFF
	}
	answer, err := c.tryRead()
	if err != nil {
		return c, 0xFF
	}
	return c, answer.ReasonCode
}

func TestTLS(t *testing.T) {
	ca, stranger := newAuthority(t, "plant"), newAuthority(t, "stranger")
	cert, key := ca.serve("server")
	cfg := Config{TLSListen: "0.0.0.0:0", TLSWebSocket: "127.0.0.1:0", TLS: TLS{Cert: cert, Key: key, ClientCA: ca.path("ca.pem")}, Wants: sensors}
	for _, c := range []struct {
		note string
		own  []tls.Certificate
		as   connectOption
		user bool // there is a user press
		in   bool
	}{
		{"a certificate", []tls.Certificate{ca.issue("press")}, nil, false, true},
		{"a certificate, where there are users", []tls.Certificate{ca.issue("hall")}, nil, true, true},
		{"neither certificate nor users", nil, nil, false, false},
		{"a name instead", nil, asUser("press", "s3cret"), true, true},
		{"a wrong name instead", nil, asUser("press", "wr0ng"), true, false},
		{"somebody else's certificate", []tls.Certificate{stranger.issue("press")}, asUser("press", "s3cret"), true, false},
	} {
		t.Run(c.note, func(t *testing.T) {
			cfg := cfg
			if c.user {
				cfg.Users = []User{{"press", "s3cret"}}
			}
			var in inbox
			b := start(t, cfg, in.receive)
			stream, err := tls.Dial("tcp", "127.0.0.1:"+port(b.TLSAddr()), ca.trusting(c.own...))
			if err != nil {
				t.Fatal(err)
			}
			option := c.as
			if option == nil {
				option = func(*packets.Packet) {}
			}
			client, reason := enter(t, stream, "c", option)
			if (reason == 0) != c.in {
				t.Fatalf("answered %#x", reason)
			}
			if c.in {
				client.publish("sensor/data", strings.Repeat("x", 100_000), 1, 1)
				client.want(packets.Puback)
				if got := in.all(); len(got) != 1 || len(got[0].Payload) != 100_000 {
					t.Errorf("%d messages are received", len(got))
				}
			}
		})
	}
	t.Run("over WebSocket", func(t *testing.T) {
		b := start(t, cfg, nil)
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: ca.trusting(ca.issue("page"))}
		ws, _, err := dialer.Dial("wss://"+b.TLSWebSocketAddr(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c, reason := enter(t, &wsConn{Conn: ws.NetConn(), ws: ws}, "c"); reason != 0 {
			t.Errorf("answered %#x", reason)
		} else {
			c.ping()
		}
	})
	t.Run("without TLS", func(t *testing.T) {
		b := start(t, cfg, nil)
		raw, err := net.Dial("tcp", "127.0.0.1:"+port(b.TLSAddr()))
		if err != nil {
			t.Fatal(err)
		}
		if _, reason := enter(t, raw, "c"); reason == 0 {
			t.Error("a client without TLS is in")
		}
	})
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func TestCertificatesAreRenewed(t *testing.T) {
	ca := newAuthority(t, "plant")
	cert, key := ca.serve("server")
	var logged strings.Builder
	c, err := openCertificates(TLS{Cert: cert, Key: key}, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	c.now = func() time.Time { return clock }
	serial := func() int64 {
		clock = clock.Add(lookEvery)
		config, err := c.current(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	first := serial()
	ca.serve("server")
	changed := clock.Add(time.Hour) // a clock of files can be coarse
	if err := os.Chtimes(cert, changed, changed); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != first+1 {
		t.Errorf("serial number is %d after a renewal, want %d", got, first+1)
	}
	if err := os.WriteFile(cert, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != first+1 || !strings.Contains(logged.String(), "not used") {
		t.Errorf("serial number is %d with a broken file, want %d; logged\n%s", got, first+1, &logged)
	}
	ca.serve("server")
	if got := serial(); got != first+2 {
		t.Errorf("serial number is %d after the next renewal, want %d", got, first+2)
	}
}

func TestTLSSettings(t *testing.T) {
	ca := newAuthority(t, "plant")
	cert, key := ca.serve("server")
	for want, cfg := range map[string]Config{
		"mqtt.tls_cert; expected the path of a certificate":              {TLSListen: "127.0.0.1:0"},
		"certificate " + cert + " with key " + ca.path("ca.key"):         {TLSListen: "127.0.0.1:0", TLS: TLS{Cert: cert, Key: ca.path("ca.key")}},
		"certificates of clients, " + key + ": holds no certificate":     {TLSListen: "127.0.0.1:0", TLS: TLS{Cert: cert, Key: key, ClientCA: key}},
		"mqtt.tls_listen is 0.0.0.0:0; expected 127.0.0.1 as host while": {TLSListen: "0.0.0.0:0", TLS: TLS{Cert: cert, Key: key}},
	} {
		_, err := New(cfg, nil, slog.New(slog.DiscardHandler))
		if fettle.KindOf(err) != fettle.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
