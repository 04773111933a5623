package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"fettle"
)

// A Mail is the server that takes e-mails.
type Mail struct {
	Host     string
	Port     int
	Security string // StartTLS, TLS or NoTLS
	User     string // "": no login
	Password string
	From     string // address of the sender
}

// How the connection to the mail server is protected.
const (
	StartTLS = "starttls" // TLS after a greeting; never without
	TLS      = "tls"      // TLS from the first byte
	NoTLS    = "none"
)

// A mailer sends to one e-mail address.
type mailer struct {
	server Mail
	to     string
	tls    *tls.Config
}

func (m *mailer) place() string { return m.to }

// send hands a letter to the mail server. Once the server has taken it, nothing
// that goes wrong with the connection counts.
func (m *mailer) send(ctx context.Context, l letter) error {
	msg, err := m.letter(l)
	if err != nil {
		return err
	}
	client, err := m.client(ctx)
	if err != nil {
		return m.tame(err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = errors.Join(err, cause) // the connection was closed under it
	}
	return m.tame(err)
}

func (m *mailer) letter(l letter) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.server.From), msg.To(m.to)); err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "address an e-mail: %w", err)
	}
	_, domain, _ := strings.Cut(m.server.From, "@")
	msg.SetMessageIDWithValue(l.id + "@" + strings.TrimRight(domain, "> "))
	msg.SetDateWithValue(l.made)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // no answers from absent people (RFC 3834)
	msg.Subject(l.subject)
	msg.SetBodyString(mail.TypeTextPlain, l.text)
	return msg, nil
}

// client is set up anew for each letter: there are few, and a new one has no
// old connection. It ends with the context.
func (m *mailer) client(ctx context.Context) (*mail.Client, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.tls != nil {
		trust = m.tls.Clone()
	}
	trust.ServerName = m.server.Host
	policy := mail.TLSMandatory
	if m.server.Security != StartTLS {
		policy = mail.NoTLS
	}
	options := []mail.Option{
		mail.WithPort(m.server.Port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(trust),
		mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			return m.dial(ctx, network, address, trust)
		}),
	}
	if m.server.Security == TLS {
		options = append(options, mail.WithSSL())
	}
	if m.server.User != "" {
		options = append(options, mail.WithSMTPAuthCustom(&login{Mail: m.server}))
	}
	return mail.NewClient(m.server.Host, options...)
}

// dial connects; the end of the context ends the connection too, whatever the
// server is doing.
func (m *mailer) dial(ctx context.Context, network, address string, trust *tls.Config) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	conn = &quietConn{Conn: conn, left: maxDialogue}
	if m.server.Security == TLS {
		conn = tls.Client(conn, trust)
	}
	return conn, nil
}

// maxDialogue is what a mail server may say in one connection, in bytes, its
// certificates included.
const maxDialogue = 256 << 10

// A quietConn ends when the other side has said too much: the library keeps an
// answer of any length.
type quietConn struct {
	net.Conn
	left int
}

func (c *quietConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the mail server says more than %d bytes", maxDialogue)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A login takes the best way to log in that the server offers. The library's
// own choice knows nothing of a connection that we encrypted (mailer.dial).
type login struct {
	Mail
	smtp.Auth // the way taken
}

func (l *login) Start(server *smtp.ServerInfo) (proto string, toServer []byte, err error) {
	if !server.TLS {
		return "", nil, errors.New("the connection is not encrypted, so the password is not sent")
	}
	for _, way := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(l.User, l.Password)},
		{"PLAIN", smtp.PlainAuth("", l.User, l.Password, l.Host, false)},
		{"LOGIN", smtp.LoginAuth(l.User, l.Password, l.Host, false)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(l.User, l.Password)},
	} {
		if slices.Contains(server.Auth, way.name) {
			l.Auth = way.auth
			return l.Auth.Start(server)
		}
	}
	return "", nil, fmt.Errorf("the server offers no way to log in that fettle knows (SCRAM-SHA-256, PLAIN, LOGIN, CRAM-MD5), but %q", server.Auth)
}

// Answers of a mail server that begin with 5 though somebody may put it right:
// it wants encryption or a login, or does not know this one (RFC 4954).
var loginWanted = []int{530, 534, 535, 538}

// tame hides secrets in an error, and makes it Invalid if the server will never
// take the letter.
func (m *mailer) tame(err error) error {
	kind := fettle.Unavailable
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 && !slices.Contains(loginWanted, refused.ErrorCode()) {
		kind = fettle.Invalid
	}
	text := readable([]byte(hide(err.Error(), m.server.Password)))
	return fettle.Errorf(kind, "send e-mail to %s by %s: %s", m.to, m.server.Host, text)
}
