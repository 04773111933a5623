package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"fettle"
)

// TLSFiles are the files, in PEM, for an encrypted connection. They are read
// at each, so that renewed ones need no restart.
type TLSFiles struct {
	CA        string // certificates that sign the broker's; "": those of the system
	Cert, Key string // our own certificate and its key; "": none
}

// load makes the setting for a connection to a host.
func (f TLSFiles) load(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read certificates of the broker's authority: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fettle.BadField("bad option", "CA file", f.CA, "certificates in PEM")
		}
	}
	if f.Cert != "" || f.Key != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("read our certificate and its key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// reach makes the connection under MQTT.
func (s *Subscriber) reach(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	secure, err := s.TLS.load(s.address.Hostname())
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	dialer := &net.Dialer{Timeout: connectTime}
	switch s.address.Scheme {
	case "ws", "wss":
		conn, err = dialWebSocket(ctx, s.address.String(), secure)
	case "mqtts", "ssl", "tls":
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext(ctx, "tcp", s.address.Host)
	default:
		conn, err = dialer.DialContext(ctx, "tcp", s.address.Host)
	}
	if err != nil {
		return nil, fettle.Errorf(fettle.Unavailable, "reach mqtt broker at %s: %w", s.address.String(), err)
	}
	if s.isOwn(conn) {
		conn.Close()
		return nil, fettle.Errorf(fettle.Conflict, "the broker at %s is fettle's own; what is published there arrives already, so take it out of the outside brokers", s.address.String())
	}
	return conn, nil
}

// isOwn tells whether the other end of a connection is this program's own
// broker: on one of its ports, and on this computer.
func (s *Subscriber) isOwn(conn net.Conn) bool {
	local, ok1 := conn.LocalAddr().(*net.TCPAddr)
	remote, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if s.Own == nil || !ok1 || !ok2 || !remote.IP.IsLoopback() && !remote.IP.Equal(local.IP) {
		return false
	}
	for _, address := range s.Own() {
		if _, port, err := net.SplitHostPort(address); err == nil && port == fmt.Sprint(remote.Port) {
			return true
		}
	}
	return false
}

func dialWebSocket(ctx context.Context, url string, secure *tls.Config) (net.Conn, error) {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, Subprotocols: []string{"mqtt"}, HandshakeTimeout: connectTime}
	ws, response, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%w (HTTP %d)", err, response.StatusCode)
		}
		return nil, err
	}
	return &webSocket{Conn: ws}, nil
}

// A webSocket is a stream of bytes over binary messages: MQTT's packets need
// not begin where messages do.
type webSocket struct {
	*websocket.Conn
	message io.Reader // the rest of the present one; nil before the next
}

func (w *webSocket) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			_, message, err := w.NextReader()
			if err != nil {
				return 0, err
			}
			w.message = message
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *webSocket) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
