//go:build peers_light

package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/process"
)

// mailServer starts a real mail server, and gives a mailer that talks to it.
func mailServer(t *testing.T, security string) (*process.MailServer, *mailer) {
	t.Helper()
	server, err := process.NewMailServer(t.TempDir(), security)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context(), "../../scripts/peers/smtp.py"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	pem, err := os.ReadFile(server.Cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	m := &mailer{
		server: Mail{Host: "127.0.0.1", Port: server.Port, Security: security, User: "fettle", Password: "correct horse", From: "fettle@plant.example"},
		to:     "anna@plant.example", tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	if security == NoTLS {
		m.server.User, m.server.Password, m.tls = "", "", nil
	}
	return server, m
}

var mailLetter = letter{id: "K7Q3", made: noon, subject: subject, text: "Machine at Risk: Stay alert on Öldruck (Checked at: t)\n" + strings.Repeat("A long line. ", 100) + "\n.\nhttp://page/m/M%C3%BChle\n"}

func TestMailArrives(t *testing.T) {
	for _, security := range []string{StartTLS, TLS, NoTLS} {
		server, m := mailServer(t, security)
		if err := m.send(t.Context(), mailLetter); err != nil {
			t.Errorf("%s: %v", security, err)
			continue
		}
		mails, err := server.Mails()
		if err != nil || len(mails) != 1 {
			t.Fatalf("%s: %d mails (%v)", security, len(mails), err)
		}
		got := mails[0]
		if got.From != "fettle@plant.example" || strings.Join(got.To, " ") != "anna@plant.example" || got.Subject != "Machine Condition Alert" ||
			got.ID != "<K7Q3@plant.example>" || got.Auto != "auto-generated" || got.Text != mailLetter.text {
			t.Errorf("%s: got %+v", security, got)
		}
		if got.TLS != (security != NoTLS) || got.User != m.server.User {
			t.Errorf("%s: TLS %v, user %q", security, got.TLS, got.User)
		}
	}
}

// Whatever the server answers: worth another attempt, or never.
func TestAnswersOfMailServers(t *testing.T) {
	server, good := mailServer(t, StartTLS)
	wrong := *good
	wrong.server.Password = "wrong battery"
	stranger := *good
	stranger.tls = nil
	other := *good
	other.server.Host = "localhost" // the certificate is for 127.0.0.1
	const taken = fettle.Kind(-1)
	for _, c := range []struct {
		order  string
		mailer *mailer
		kind   fettle.Kind
		text   string
		mails  int
	}{
		{"- -", good, taken, "", 1},
		{"RCPT 451", good, fettle.Unavailable, "451", 0},
		{"RCPT 550", good, fettle.Invalid, "550", 0},
		{"RCPT 530", good, fettle.Unavailable, "530", 0},
		{"DATA 452", good, fettle.Unavailable, "452", 0},
		{"DATA 554", good, fettle.Invalid, "554", 0},
		{"DATA drop", good, fettle.Unavailable, "", 0},
		{"DATA cut", good, taken, "", 1},
		{"AUTH 454", good, fettle.Unavailable, "454", 0},
		{"AUTH 535", good, fettle.Unavailable, "535", 0},
		{"- -", &wrong, fettle.Unavailable, "535", 0},
		{"- -", &stranger, fettle.Unavailable, "certificate", 0},
		{"- -", &other, fettle.Unavailable, "certificate", 0},
	} {
		if err := server.Order("- -"); err != nil {
			t.Fatal(err)
		}
		if err := server.Order(c.order); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(server.Spool); err != nil {
			t.Fatal(err)
		}
		err := c.mailer.send(t.Context(), mailLetter)
		mails, readErr := server.Mails()
		if readErr != nil || len(mails) != c.mails {
			t.Errorf("%s: %d mails were taken, expected %d (%v)", c.order, len(mails), c.mails, readErr)
		}
		switch {
		case c.kind == taken:
			if err != nil {
				t.Errorf("%s: %v", c.order, err)
			}
		case err == nil || fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text):
			t.Errorf("%s: %v (kind %d), expected %q (kind %d)", c.order, err, fettle.KindOf(err), c.text, c.kind)
		case strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "battery"):
			t.Errorf("%s: error shows the password: %v", c.order, err)
		}
	}
}

// A password is not sent to a server that offers no encryption.
func TestMailServerWithoutTLS(t *testing.T) {
	server, m := mailServer(t, NoTLS)
	m.server.Security, m.server.User, m.server.Password = StartTLS, "fettle", "correct horse"
	err := m.send(t.Context(), mailLetter)
	if fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("no STARTTLS: %v", err)
	}
	if mails, err := server.Mails(); err != nil || len(mails) > 0 {
		t.Errorf("mails were taken: %v (%v)", mails, err)
	}
}

func TestMailServerThatHangsOrIsGone(t *testing.T) {
	server, m := mailServer(t, StartTLS)
	if err := server.Order("DATA hang"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := m.send(ctx, mailLetter); fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("it hangs: %v", err)
	}
	server.Kill()
	if err := m.send(t.Context(), mailLetter); fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("it is gone: %v", err)
	}
}
