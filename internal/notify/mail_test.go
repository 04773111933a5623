package notify

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A server that never stops talking is cut off.
func TestMailServerThatTalksTooMuch(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			if _, err := conn.Write([]byte("220-" + strings.Repeat("blah ", 100) + "\r\n")); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := &mailer{server: Mail{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Security: NoTLS, From: "fettle@plant.example"}, to: "anna@plant.example"}
	err = m.send(ctx, letter{id: "K7", made: noon, subject: subject, text: "x"})
	if fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "says more than 262144 bytes") || len(err.Error()) > 600 {
		t.Errorf("it talks: %v", err)
	}
}
