package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"fettle"
)

// TLS names the files of the encrypted listeners, in PEM.
type TLS struct {
	Cert, Key string // the server's certificate, with those between it and the root, and its key
	ClientCA  string // whose certificates stand for a user's name and password; "": nobody's
}

// lookEvery is the shortest time between two looks at the files.
const lookEvery = time.Second

// certificates are what the files of a TLS hold, looked up anew when they
// change: a renewed certificate needs no restart. Files that cannot be read, as
// when only one of a pair has been replaced yet, change nothing.
type certificates struct {
	files TLS
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex // guards all below
	config *tls.Config
	seen   []time.Time // when each file last changed
	looked time.Time
}

func openCertificates(files TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log, now: time.Now}
	var err error
	c.seen = c.changes()
	c.config, err = files.load()
	return c, err
}

// load reads the files.
func (t TLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, &fettle.Error{Kind: fettle.Invalid, Reason: "bad setting", Field: "mqtt.tls_cert",
			Err: fmt.Errorf("certificate %s with key %s: %w", t.Cert, t.Key, err)}
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if t.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(t.ClientCA)
	if err == nil {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			err = errors.New("holds no certificate in PEM")
		}
	}
	if err != nil {
		return nil, &fettle.Error{Kind: fettle.Invalid, Reason: "bad setting", Field: "mqtt.tls_client_ca",
			Err: fmt.Errorf("certificates of clients, %s: %w", t.ClientCA, err)}
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}

// changes is when each file last changed; zero if that cannot be told.
func (c *certificates) changes() []time.Time {
	times := make([]time.Time, 0, 3)
	for _, file := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		changed := time.Time{}
		if info, err := os.Stat(file); err == nil {
			changed = info.ModTime()
		}
		times = append(times, changed)
	}
	return times
}

// current returns what the files hold now.
func (c *certificates) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		c.look()
	}
	return c.config, nil
}

func (c *certificates) look() {
	seen := c.changes()
	if slices.EqualFunc(seen, c.seen, time.Time.Equal) {
		return
	}
	c.seen = seen
	config, err := c.files.load()
	if err != nil {
		c.log.Error("changed mqtt certificates are not used", "err", err)
		return
	}
	c.config = config
	c.log.Info("changed mqtt certificates are used from now on", "cert", c.files.Cert)
}

// over has a listener speak TLS.
func (c *certificates) over(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{GetConfigForClient: c.current, MinVersion: tls.VersionTLS12})
}

// tlsOf is the TLS under a connection; nil if there is none.
func tlsOf(c net.Conn) *tls.Conn {
	if ws, ok := c.(*wsConn); ok {
		c = ws.Conn
	}
	encrypted, _ := c.(*tls.Conn)
	return encrypted
}

var errHandshake = errors.New("tls handshake failed")

// shakeHands finishes the handshake of a connection that is over TLS, and
// returns the name in the client's verified certificate, if it showed one.
func shakeHands(c net.Conn) (name string, err error) {
	encrypted := tlsOf(c)
	if encrypted == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", errHandshake, err)
	}
	if chains := encrypted.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0].Subject.CommonName, nil
	}
	return "", nil
}
