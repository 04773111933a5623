//go:build peers_light

package broker

import (
	"context"
	"os/exec"
	"testing"
)

func TestMosquittoOverTLS(t *testing.T) {
	ca := newAuthority(t, "plant")
	cert, key := ca.serve("server")
	ca.issue("press")
	var in inbox
	b := start(t, Config{TLSListen: "127.0.0.1:0", TLS: TLS{Cert: cert, Key: key, ClientCA: ca.path("ca.pem")}, Users: []User{{"hall", "s3cret"}}, Wants: sensors}, in.receive)
	pub := func(args ...string) error {
		args = append([]string{"-h", "localhost", "-p", port(b.TLSAddr()), "-q", "1", "-t", "sensor/data", "-m", "{}"}, args...)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, "mosquitto_pub", args...).CombinedOutput()
		t.Logf("%v: %s", args, out)
		return err
	}
	for _, c := range []struct {
		note string
		args []string
		in   bool
	}{
		{"a certificate", []string{"--cafile", ca.path("ca.pem"), "--cert", ca.path("press.pem"), "--key", ca.path("press.key")}, true},
		{"a password", []string{"--cafile", ca.path("ca.pem"), "-u", "hall", "-P", "s3cret"}, true},
		{"neither", []string{"--cafile", ca.path("ca.pem")}, false},
		{"no TLS", nil, false},
	} {
		if err := pub(c.args...); (err == nil) != c.in {
			t.Errorf("%s: %v", c.note, err)
		}
	}
	if got := len(in.all()); got != 2 {
		t.Errorf("%d messages are received, want 2", got)
	}
}
