package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fettle/internal/bridge"
	"fettle/internal/plant"
)

// A tape is a broker's end of a line: it notes what was published, and when.
type tape struct {
	topics   []string
	payloads []string
	qos      []byte
	after    []time.Duration // since the first
	first    time.Time
	flushed  error // what Flush says
}

func (t *tape) Publish(_ context.Context, topic string, payload []byte, qos byte) error {
	if len(t.topics) == 0 {
		t.first = time.Now()
	}
	t.topics = append(t.topics, topic)
	t.payloads = append(t.payloads, string(payload))
	t.qos = append(t.qos, qos)
	t.after = append(t.after, time.Since(t.first))
	return nil
}

func (t *tape) Flush(context.Context) error { return t.flushed }

func (t *tape) Stats() bridge.Stats {
	asked := len(t.qos) - strings.Count(string(t.qos), "\x00")
	return bridge.Stats{Sent: int64(len(t.qos)), Acknowledged: int64(asked)}
}

// simulated runs simulate for a while, in time that passes by itself.
func simulated(t *testing.T, c simulateCmd, ago, length time.Duration) (*tape, *sent) {
	t.Helper()
	var out tape
	var summary *sent
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		start := time.Now().Add(-ago)
		if c.Machines == 0 {
			c.Machines, c.Profile, c.Interval = 1, "plant", 2*time.Second
		}
		machines, err := c.plant(start)
		if err != nil {
			t.Fatal(err)
		}
		if summary, err = c.publish(ctx, &out, machines, start); err != nil {
			t.Fatal(err)
		}
	})
	return &out, summary
}

func TestSimulateKeepsStepWithTheClock(t *testing.T) {
	out, summary := simulated(t, simulateCmd{}, 0, 7*time.Second)
	if want := []time.Duration{0, 2 * time.Second, 4 * time.Second, 6 * time.Second}; !slices.Equal(out.after, want) {
		t.Errorf("sent at %v, want %v", out.after, want)
	}
	if summary.Messages != 4 || summary.Acknowledged != 4 || out.qos[0] != 1 {
		t.Errorf("%+v", summary)
	}
}

func TestSimulatePlaysThePastAndGoesOn(t *testing.T) {
	cases := []struct {
		name  string
		speed speed
		want  []time.Duration
	}{
		{"as fast as possible", 0, []time.Duration{0, 0, 0, 0, 0, 2 * time.Second, 4 * time.Second}},
		{"four times as fast", 4, []time.Duration{0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond, 4 * time.Second}},
	}
	for _, c := range cases {
		out, _ := simulated(t, simulateCmd{Speed: c.speed}, 8*time.Second, 5*time.Second)
		if !slices.Equal(out.after, c.want) {
			t.Errorf("%s: sent at %v, want %v", c.name, out.after, c.want)
		}
	}
}

func TestSimulateAtQoS0AsksForNothing(t *testing.T) {
	zero := 0
	out, summary := simulated(t, simulateCmd{QoS: &zero}, 0, time.Second)
	var text bytes.Buffer
	if err := summary.print(&text, false); err != nil {
		t.Fatal(err)
	}
	if out.qos[0] != 0 || text.String() != "1 message sent in 1s, 1 without asking for it (QoS 0).\n" {
		t.Errorf("QoS %d; %s", out.qos[0], text.String())
	}
}

func TestWhatIsNotAcknowledgedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		summary := &sent{started: time.Now(), Messages: 3}
		err := summary.finish(t.Context(), &tape{flushed: errors.New("connection lost")})
		if err == nil || !strings.Contains(err.Error(), "not all messages were acknowledged: connection lost") {
			t.Error(err)
		}
	})
}

const recording = `datetime;Current;Temperature;anomaly;changepoint
2020-03-09 10:00:00;1;20;0.0;0.0
2020-03-09 10:00:10;2;21;0.0;0.0
broken
2020-03-09 10:01:00;3;22;1.0;1.0
`

func replayed(t *testing.T, c replayCmd) (*tape, *sent) {
	t.Helper()
	var out tape
	var summary *sent
	synctest.Test(t, func(t *testing.T) {
		rec, err := plant.Replay(strings.NewReader(recording), plant.ReplayOptions{Machine: "rig", Columns: c.Columns})
		if err != nil {
			t.Fatal(err)
		}
		if summary, err = c.publish(t.Context(), &out, rec, 3); err != nil {
			t.Fatal(err)
		}
	})
	return &out, summary
}

func TestReplayKeepsTheRecordingsPace(t *testing.T) {
	cases := map[speed][]time.Duration{
		1:  {0, 10 * time.Second, 60 * time.Second},
		10: {0, time.Second, 6 * time.Second},
		0:  {0, 0, 0},
	}
	for speed, want := range cases {
		out, summary := replayed(t, replayCmd{Speed: speed})
		if !slices.Equal(out.after, want) {
			t.Errorf("%vx: sent after %v, want %v", speed, out.after, want)
		}
		if summary.Messages != 3 || summary.Acknowledged != 3 || summary.BadLines != 1 {
			t.Errorf("%+v", summary)
		}
	}
}

func TestReplayPublishesNoLabels(t *testing.T) {
	out, _ := replayed(t, replayCmd{})
	want := []string{
		`{"machine":"rig","timestamp":"2020-03-09T10:00:00Z","Current":1,"Temperature":20}`,
		`{"machine":"rig","timestamp":"2020-03-09T10:00:10Z","Current":2,"Temperature":21}`,
		`{"machine":"rig","timestamp":"2020-03-09T10:01:00Z","Current":3,"Temperature":22}`,
	}
	if !slices.Equal(out.payloads, want) || out.topics[0] != "fettle/rig/readings" {
		t.Errorf("topic %s: %q", out.topics[0], out.payloads)
	}
}

func TestMachineIsNamedAfterTheFile(t *testing.T) {
	cases := map[string]string{
		filepath.Join("skab", "valve1", "0.csv"):        "0",
		filepath.Join("nab", "machine_temperature.csv"): "machine_temperature",
		"a+b#c.tar.csv":                   "a-b-c.tar",
		strings.Repeat("x", 200) + ".csv": strings.Repeat("x", 128),
		string(os.PathSeparator) + filepath.Join("tmp", "plain"): "plain",
	}
	for path, want := range cases {
		if got := machineOf(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
