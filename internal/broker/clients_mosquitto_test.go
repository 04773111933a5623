//go:build peers_light

package broker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
)

// command is a real program, given the broker's address. It must be installed:
// scripts/needs.sh does it.
func command(t *testing.T, b *Broker, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; scripts/needs.sh installs it", err)
	}
	host, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port}, args...)...)
}

// pub runs mosquitto_pub, and returns what it says and whether it succeeds.
func pub(t *testing.T, b *Broker, args ...string) (string, error) {
	t.Helper()
	out, err := command(t, b, "mosquitto_pub", args...).CombinedOutput()
	return string(out), err
}

// sub runs mosquitto_sub for n messages, and returns a function that waits for
// them.
func sub(t *testing.T, b *Broker, n int, args ...string) (messages func() []string) {
	t.Helper()
	before := b.Stats().Subscriptions
	c := command(t, b, "mosquitto_sub", append([]string{"-C", fmt.Sprint(n)}, args...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "mosquitto_sub has subscribed", func() bool { return b.Stats().Subscriptions > before })
	return func() []string {
		t.Helper()
		if err := c.Wait(); err != nil {
			t.Errorf("mosquitto_sub: %v\n%s", err, &out)
		}
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
}

var mosquittoVersions = []string{"311", "5"}

func TestMosquittoEveryQoS(t *testing.T) {
	for _, version := range mosquittoVersions {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run("V"+version+"q"+qos, func(t *testing.T) {
				var in inbox
				b := start(t, Config{Wants: sensors}, in.receive)
				messages := sub(t, b, 2, "-V", version, "-q", qos, "-t", "sensor/#")
				for _, text := range []string{"one", "two"} {
					if out, err := pub(t, b, "-V", version, "-q", qos, "-t", "sensor/data", "-m", text); err != nil {
						t.Errorf("mosquitto_pub: %v\n%s", err, out)
					}
				}
				if got := messages(); strings.Join(got, " ") != "one two" {
					t.Errorf("mosquitto_sub got %q", got)
				}
				if got := in.all(); len(got) != 2 {
					t.Errorf("received %v", got)
				}
			})
		}
	}
}

func TestMosquittoRetainedAndWill(t *testing.T) {
	for _, version := range mosquittoVersions {
		b := start(t, Config{}, nil)
		if out, err := pub(t, b, "-V", version, "-r", "-t", "lab/esp32/1/state", "-m", "online"); err != nil {
			t.Errorf("mosquitto_pub: %v\n%s", err, out)
		}
		messages := sub(t, b, 2, "-V", version, "-v", "-t", "lab/#")
		lost := command(t, b, "mosquitto_sub", "-V", version, "-t", "x", "--will-topic", "lab/esp32/1/state", "--will-payload", "offline", "--will-qos", "1")
		if err := lost.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is there", func() bool { return b.Stats().Subscriptions == 2 })
		lost.Process.Kill()
		lost.Wait()
		if got, want := strings.Join(messages(), ","), "lab/esp32/1/state online,lab/esp32/1/state offline"; got != want {
			t.Errorf("MQTT %s: got %q, want %q", version, got, want)
		}
	}
}

func TestMosquittoUserAndPassword(t *testing.T) {
	for _, version := range mosquittoVersions {
		b := start(t, Config{Users: []User{{"press", "s3cret"}}}, nil)
		message := []string{"-V", version, "-t", "a", "-m", "x", "-q", "1"}
		if out, err := pub(t, b, append(message, "-u", "press", "-P", "s3cret")...); err != nil {
			t.Errorf("right password: %v\n%s", err, out)
		}
		for _, wrong := range [][]string{{"-u", "press", "-P", "wrong"}, {"-u", "x", "-P", "s3cret"}, {}} {
			if out, err := pub(t, b, append(message, wrong...)...); err == nil {
				t.Errorf("%v was let in\n%s", wrong, out)
			}
		}
		anybody := start(t, Config{}, nil)
		if out, err := pub(t, anybody, append(message, "-u", "test", "-P", "test")...); err != nil {
			t.Errorf("test/test where anybody may: %v\n%s", err, out)
		}
	}
}

func TestMosquittoForbiddenTopic(t *testing.T) {
	for _, version := range mosquittoVersions {
		b := start(t, Config{}, nil)
		out, err := pub(t, b, "-V", version, "-q", "1", "-t", "fettle/alarm/press-3", "-m", "x")
		if err == nil && !strings.Contains(out, "Not authorized") {
			t.Errorf("MQTT %s: mosquitto_pub does not notice: %q", version, out)
		}
	}
}

func TestMosquittoBusy(t *testing.T) {
	b := start(t, Config{Wants: sensors}, func(context.Context, Message) error { return fettle.Errorf(fettle.Busy, "queue is full") })
	for version, want := range map[string]string{"311": "connection was lost", "5": "quota exceeded"} {
		out, _ := pub(t, b, "-V", version, "-q", "1", "-t", "sensor/data", "-m", "x")
		if !strings.Contains(strings.ToLower(out), want) {
			t.Errorf("MQTT %s: mosquitto_pub says %q, want %q", version, out, want)
		}
	}
}

// TestPythonRedelivers has a client of MQTT 3.1.1 that is refused once: it
// comes back by itself, and sends again.
func TestPythonRedelivers(t *testing.T) {
	var calls atomic.Int32
	b := start(t, Config{Wants: sensors}, func(context.Context, Message) error {
		if calls.Add(1) == 1 {
			return fettle.Errorf(fettle.Busy, "queue is full")
		}
		return nil
	})
	if out, err := python(t, b.Addr(), "testdata/redeliver.py", "sensor/data", "x"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := calls.Load(); got != 2 {
		t.Errorf("it was sent %d times, want twice", got)
	}
}

// TestMosquittoFlood has a subscriber of MQTT 5, which bears 20 unacknowledged
// messages, on a topic where a client publishes as fast as it can, more than waits
// for a subscriber. With mochi's own flow control it comes to a stop in the first
// round.
func TestMosquittoFlood(t *testing.T) {
	const rounds, round = 10, 1500
	b := start(t, Config{Limits: Limits{Queue: 100 << 10, patience: patience}}, nil)
	c := command(t, b, "mosquitto_sub", "-V", "5", "-q", "1", "-t", "flood", "-C", fmt.Sprint(rounds*round))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "mosquitto_sub has subscribed", func() bool { return b.Stats().Subscriptions > 0 })
	lines := bufio.NewScanner(out)
	for n := range rounds {
		flood := command(t, b, "mosquitto_pub", "-V", "5", "-q", "1", "-t", "flood", "-l")
		flood.Stdin = strings.NewReader(strings.Repeat("x\n", round))
		if out, err := flood.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
		for i := range round {
			if !lines.Scan() {
				t.Fatalf("round %d: only %d messages came; dropped: %d", n, i, b.Stats().Dropped)
			}
		}
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// TestPythonWebSocket has Debian's python3-paho-mqtt publish and subscribe over
// WebSocket, as a dashboard would.
func TestPythonWebSocket(t *testing.T) {
	var in inbox
	b := start(t, Config{WebSocket: "127.0.0.1:0", Wants: sensors}, in.receive)
	for _, version := range []string{"MQTTv311", "MQTTv5"} {
		before := len(in.all())
		out, err := python(t, b.WebSocketAddr(), "testdata/websocket.py", version)
		if err != nil || out != "0\n1\n2\n" {
			t.Errorf("%s: %v, got back %q", version, err, out)
		}
		if got := len(in.all()) - before; got != 3 {
			t.Errorf("%s: %d messages were received, want 3", version, got)
		}
	}
}

// python runs a script that needs python3-paho-mqtt, given an address as two
// arguments.
func python(t *testing.T, address, script string, args ...string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/python3", append([]string{script, host, port}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w (scripts/needs.sh installs python3-paho-mqtt)", err)
	}
	return string(out), err
}

// What waits for a client that is away comes after a restart of the broker, as
// mosquitto_sub sees it.
func TestMosquittoSessionOverRestart(t *testing.T) {
	for _, version := range mosquittoVersions {
		r := newRestartable(t, Config{})
		session := []string{"-V", version, "-q", "1", "-i", "watcher", "-c", "-t", "news/#"}
		if version == "5" {
			session = append(session, "-x", "3600")
		}
		messages := sub(t, r.Broker, 1, session...)
		for _, text := range []string{"first", "second", "third"} {
			if out, err := pub(t, r.Broker, "-V", version, "-q", "1", "-r", "-t", "news/"+text, "-m", text); err != nil {
				t.Errorf("mosquitto_pub: %v\n%s", err, out)
			}
			if text == "first" {
				if got := messages(); strings.Join(got, " ") != "first" {
					t.Errorf("MQTT %s: got %q", version, got)
				}
				eventually(t, "mosquitto_sub is gone", func() bool { return r.Stats().Clients == 0 })
			}
		}
		r.restart()
		out, err := command(t, r.Broker, "mosquitto_sub", append(session, "-C", "2", "-W", "20")...).CombinedOutput()
		if got := strings.Fields(string(out)); err != nil || !slices.Contains(got, "second") || !slices.Contains(got, "third") {
			t.Errorf("MQTT %s: after the restart came %q, %v", version, got, err)
		}
	}
}
