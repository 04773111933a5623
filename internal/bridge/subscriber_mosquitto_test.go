//go:build peers_light

package bridge

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMosquittoTLSAndUsers(t *testing.T) {
	certs := certificates(t)
	in := func(file string) string { return filepath.Join(certs, file) }
	passwords := in("passwords")
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", passwords, "hall", "s3cret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	open := startMosquitto(t)
	byPassword := startMosquitto(t, "allow_anonymous false", "password_file "+passwords)
	encrypted := startMosquitto(t, "allow_anonymous true", "cafile "+in("ca.pem"), "certfile "+in("server.pem"), "keyfile "+in("server.key"))
	byCertificate := startMosquitto(t, "allow_anonymous false", "cafile "+in("ca.pem"), "certfile "+in("server.pem"), "keyfile "+in("server.key"), "require_certificate true", "use_identity_as_username true")
	ca, press := TLSFiles{CA: in("ca.pem")}, TLSFiles{CA: in("ca.pem"), Cert: in("press.pem"), Key: in("press.key")}
	for _, c := range []struct {
		note           string
		at             *mosquitto
		scheme         string
		user, password string
		files          TLSFiles
		refused        string // "": it connects
	}{
		{"open", open, "mqtt", "", "", TLSFiles{}, ""},
		{"user", byPassword, "mqtt", "hall", "s3cret", TLSFiles{}, ""},
		{"wrong password", byPassword, "mqtt", "hall", "s4cret", TLSFiles{}, "wants another user, password or client certificate"},
		{"no user", byPassword, "mqtt", "", "", TLSFiles{}, "wants another user, password or client certificate"},
		{"TLS", encrypted, "mqtts", "", "", ca, ""},
		{"TLS with an unknown authority", encrypted, "mqtts", "", "", TLSFiles{}, "certificate"},
		{"TLS where there is none", open, "mqtts", "", "", ca, "reach mqtt broker"},
		{"no TLS where there is", encrypted, "mqtt", "", "", TLSFiles{}, "mqtt broker"},
		{"client certificate", byCertificate, "mqtts", "", "", press, ""},
		{"websocket where there is none", open, "ws", "", "", TLSFiles{}, "reach mqtt broker"},
		{"no client certificate", byCertificate, "mqtts", "", "", ca, "mqtt broker"},
	} {
		for version, change := range versions {
			t.Run(c.note+"/"+version, func(t *testing.T) {
				var logged lockedBuffer
				var e ear
				s, stop := listening(t, Subscription{
					URL: c.scheme + "://localhost:" + c.at.port, User: c.user, Password: c.password, TLS: c.files, Log: slog.New(slog.NewTextHandler(&logged, nil)),
				}, e.receive, change)
				if c.refused == "" {
					eventually(t, "connected", connected(s))
				} else {
					eventually(t, "refused", func() bool { return strings.Contains(s.State().LastError, c.refused) })
				}
				stop()
				if c.password != "" && strings.Contains(logged.String()+s.State().LastError, c.password) {
					t.Errorf("the password is shown: %s", &logged)
				}
			})
		}
	}
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func TestMosquittoSharedSubscription(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			const n = 200
			m := startMosquitto(t)
			var ears [2]ear
			for i := range ears {
				s, _ := listening(t, Subscription{URL: m.address(), ClientID: fmt.Sprint("half-", i), Filters: []string{"$share/fettle/plant/+/+"}}, ears[i].receive, change)
				eventually(t, "connected", connected(s))
			}
			m.publish("plant/press-3/temp", 0, n)
			eventually(t, "all messages", func() bool { return len(ears[0].messages())+len(ears[1].messages()) == n })
			for i := range ears {
				if got := len(ears[i].messages()); got == 0 {
					t.Errorf("subscriber %d got none", i)
				}
			}
		})
	}
}

// What is published while nobody listens comes when the session is taken over,
// over a restart of the broker too.
func TestMosquittoKeepsWhatComesMeanwhile(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			m := startMosquitto(t, "allow_anonymous true", "persistence true")
			var e ear
			s, stop := listening(t, Subscription{URL: m.address()}, e.receive, change)
			eventually(t, "connected", connected(s))
			m.publish("plant/a/b", 0, 50)
			eventually(t, "the first half", func() bool { return s.State().Acknowledged == 50 })
			stop()
			m.publish("plant/a/b", 50, 100)
			m.stop()
			m.start()
			s, _ = listening(t, Subscription{URL: m.address()}, e.receive, change)
			eventually(t, "the second half", func() bool { return s.State().Acknowledged == 50 })
			if got := s.State(); got.Resumed != 1 || len(e.messages()) != 100 || e.distinct() != 100 {
				t.Errorf("%d messages, %d different, state %+v", len(e.messages()), e.distinct(), got)
			}
		})
	}
}

// A topic that is no longer wanted is taken back from the session.
func TestMosquittoTakesBackATopic(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			m := startMosquitto(t)
			var e ear
			s, stop := listening(t, Subscription{URL: m.address(), Filters: []string{"plant/#", "hall/#"}}, e.receive, change)
			eventually(t, "connected", connected(s))
			stop()
			s, _ = listening(t, Subscription{URL: m.address(), Filters: []string{"plant/#"}, Former: []string{"hall/#", "never/was"}}, e.receive, change)
			eventually(t, "connected again", connected(s))
			m.publish("hall/a", 0, 1)
			m.publish("plant/a/b", 1, 2)
			eventually(t, "a message", func() bool { return len(e.messages()) > 0 })
			if got := e.messages(); len(got) != 1 || got[0].Topic != "plant/a/b" || s.State().Resumed != 1 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMosquittoKilledAndStartedAgain(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			m := startMosquitto(t)
			var e ear
			s, _ := listening(t, Subscription{URL: m.address()}, e.receive, change)
			for round := range 3 {
				eventually(t, "connected", func() bool { got := s.State(); return got.Connected && got.Connections > int64(round) })
				m.publish("plant/a/b", 50*round, 50*(round+1))
				eventually(t, "what was published", func() bool { return e.distinct() == 50*(round+1) })
				m.kill()
				eventually(t, "the loss is seen", func() bool { got := s.State(); return !got.Connected && got.LastError != "" })
				m.start()
			}
			eventually(t, "connected at last", connected(s))
			if got := s.State(); got.Connections < 4 || time.Since(got.LastErrorAt) < 0 {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// A cutter is a network between a subscriber and a broker that can be cut. old
// makes it a broker of 3.1.1: how it answers the CONNECT of MQTT 5, and then
// hangs up.
type cutter struct {
	net.Listener
	to  string
	old []byte // nil: it lets MQTT 5 through

	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t testing.TB, to string, old []byte) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: listener, to: to, old: old}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.join(near) })
		}
	})
	t.Cleanup(func() { listener.Close(); c.cut(); running.Wait() })
	return c
}

func (c *cutter) join(near net.Conn) {
	defer near.Close()
	begin := make([]byte, 9) // of CONNECT; its last byte is the version
	if _, err := io.ReadFull(near, begin); err != nil {
		return
	}
	if c.old != nil && begin[8] != 4 {
		_, _ = near.Write(c.old)
		return
	}
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.conns = append(c.conns, near, far)
	c.mu.Unlock()
	if _, err := far.Write(begin); err != nil {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			near.Close()
			far.Close()
		})
	}
	both.Wait()
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// The network is cut in the middle of a stream, again and again, while the
// receiver takes its time. Each message is received once: what the broker sends
// again only because an acknowledgement was lost is known.
func TestMosquittoBehindABadNetwork(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			const n, cuts = 3_000, 8
			m := startMosquitto(t)
			network := newCutter(t, m.address(), nil)
			var e ear
			e.answer = func(_ Message, done func(error)) {
				seen := len(e.messages())
				if seen%(n/cuts) == 0 {
					go network.cut()
				}
				time.AfterFunc(time.Duration(seen%7)*time.Millisecond, func() { done(nil) })
			}
			s, _ := listening(t, Subscription{URL: network.Addr().String()}, e.receive, change)
			eventually(t, "connected", connected(s))
			m.publish("plant/a/b", 0, n)
			eventually(t, "all messages", func() bool { return e.distinct() == n && s.State().Waiting == 0 })
			got := s.State()
			if len(e.messages()) != n {
				t.Errorf("%d messages were received, want %d, each once", len(e.messages()), n)
			}
			if got.Connections < 3 || got.Resumed != got.Connections-1 {
				t.Errorf("%d connections, %d of them resumed: %s", got.Connections, got.Resumed, got.LastError)
			}
			t.Logf("MQTT %s: %d connections, %d messages known", version, got.Connections, got.Again)
		})
	}
}

// A silent network is noticed: no answer to a ping.
func TestMosquittoSilent(t *testing.T) {
	m := startMosquitto(t)
	var e ear
	s, _ := listening(t, Subscription{URL: m.address()}, e.receive, func(s *Subscriber) { s.keepAlive = time.Second })
	eventually(t, "connected", connected(s))
	if err := m.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silence is noticed", func() bool { return strings.Contains(s.State().LastError, "is silent") })
	if err := m.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected again", connected(s))
}

// Old brokers refuse MQTT 5 in the words of 3.1.1, or hang up; 3.1.1 is spoken
// with them.
func TestOldBroker(t *testing.T) {
	m := startMosquitto(t)
	for note, answer := range map[string][]byte{"refuses": {0x20, 2, 0, 1}, "refuses as MQTT 5 does": {0x20, 3, 0, unsupportedVersion, 0}, "hangs up": {}} {
		t.Run(note, func(t *testing.T) {
			old := newCutter(t, m.address(), answer)
			var e ear
			s, _ := listening(t, Subscription{URL: old.Addr().String(), ClientID: note}, e.receive)
			eventually(t, "connected", connected(s))
			for round := range 2 {
				m.publish("plant/a/b", 10*round, 10*(round+1))
				eventually(t, "what was published", func() bool { return e.distinct() == 10*(round+1) })
				old.cut()
				eventually(t, "connected again", func() bool { got := s.State(); return got.Connected && got.Connections == int64(round+2) })
			}
			if got := s.State(); got.Protocol != "3.1.1" || got.Resumed != 2 {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// What a broker has retained comes with a new subscription only.
func TestMosquittoRetained(t *testing.T) {
	for version, change := range versions {
		t.Run(version, func(t *testing.T) {
			m := startMosquitto(t)
			m.publish("plant/a/b", 0, 1, "-r")
			network := newCutter(t, m.address(), nil)
			var e ear
			s, _ := listening(t, Subscription{URL: network.Addr().String()}, e.receive, change)
			eventually(t, "the retained message", func() bool { return len(e.messages()) == 1 })
			network.cut()
			eventually(t, "connected again", func() bool { got := s.State(); return got.Connected && got.Connections == 2 })
			m.publish("plant/a/c", 1, 2)
			eventually(t, "the next message", func() bool { return e.distinct() == 2 })
			if got := e.messages(); len(got) != 2 || !got[0].Retained || got[1].Retained {
				t.Errorf("got %+v", got)
			}
		})
	}
}
