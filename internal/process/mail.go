package process

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A MailServer is a real mail server (aiosmtpd, run by scripts/peers/smtp.py)
// that does as it is told.
type MailServer struct {
	Security string // starttls, tls or none
	Spool    string // file of the mails taken
	Cert     string // file of its certificate; trust it to talk to it
	Port     int    // 0: a free one, which stands here once it has started

	key     string
	process *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

// A Mail is one that was taken.
type Mail struct {
	From, User, Subject, ID, Auto, Text string
	To, Headers                         []string
	TLS                                 bool
}

// NewMailServer makes one that keeps its files in a folder, with a certificate
// for 127.0.0.1. Start it with Start.
func NewMailServer(folder, security string) (*MailServer, error) {
	m := &MailServer{Security: security, Spool: filepath.Join(folder, "spool"), Cert: filepath.Join(folder, "cert.pem"), key: filepath.Join(folder, "key.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return m, errors.Join(
		os.WriteFile(m.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(m.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// Start runs the server with Debian's Python, and waits until it listens. script
// is the path of scripts/peers/smtp.py.
func (m *MailServer) Start(ctx context.Context, script string) error {
	m.process = exec.CommandContext(ctx, "/usr/bin/python3", "-W", "ignore", script, m.Spool, m.Security, m.Cert, m.key)
	m.process.Env = append(os.Environ(), "SMTP_PORT="+strconv.Itoa(m.Port))
	m.process.Stderr = os.Stderr
	out, err := m.process.StdoutPipe()
	if err != nil {
		return err
	}
	if m.orders, err = m.process.StdinPipe(); err != nil {
		return err
	}
	if err := m.process.Start(); err != nil {
		return fmt.Errorf("start mail server: %w", err)
	}
	m.answers = bufio.NewReader(out)
	line, err := m.answers.ReadString('\n')
	if err == nil {
		m.Port, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		m.Kill()
		return fmt.Errorf("start mail server: %w (is python3-aiosmtpd installed? scripts/needs.sh does that)", err)
	}
	return nil
}

// Order tells the server what to do from now on, such as "RCPT 451"; "- -": to
// be good. See the script.
func (m *MailServer) Order(what string) error {
	if _, err := fmt.Fprintln(m.orders, what); err != nil {
		return err
	}
	_, err := m.answers.ReadString('\n')
	return err
}

// Kill ends the server as kill -9 does, and waits.
func (m *MailServer) Kill() {
	_ = m.process.Process.Kill() // it may be gone already
	_ = m.process.Wait()         // how it ended does not matter
}

// Mails lists what the server has taken.
func (m *MailServer) Mails() ([]Mail, error) {
	text, err := os.ReadFile(m.Spool)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var mails []Mail
	for line := range strings.Lines(string(text)) {
		var one Mail
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			return nil, fmt.Errorf("read %s: %w", m.Spool, err)
		}
		mails = append(mails, one)
	}
	return mails, nil
}
