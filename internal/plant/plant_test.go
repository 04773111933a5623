package plant

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fettle"
)

var monday = time.Date(2026, 3, 2, 7, 0, 0, 123456000, time.UTC)

func newPlant(t testing.TB, o Options) *Plant {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = monday
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run collects the messages of n ticks.
func run(p *Plant, n int) []Message {
	var all []Message
	for range n {
		_, messages := p.Next()
		all = append(all, messages...)
	}
	return all
}

func TestOldProfileSpeaksAsTheLaterGenerator(t *testing.T) {
	p := newPlant(t, Options{Profile: Old, Seed: 1})
	at, messages := p.Next()
	if !at.Equal(monday) || len(messages) != 3 {
		t.Fatalf("%d messages at %v", len(messages), at)
	}
	m := messages[0]
	if m.Topic != "sensor/data" || m.QoS != 1 {
		t.Errorf("topic %s, QoS %d", m.Topic, m.QoS)
	}
	if got, want := keysOf(t, m.Payload), []string{"workspace_id", "timestamp", "current", "accX", "accY", "accZ", "tempA", "tempB"}; !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	if !strings.HasPrefix(string(m.Payload), `{"workspace_id": "cnc-mill-5-axis", "timestamp": "2026-03-02T07:00:00.123456Z", "current": `) {
		t.Errorf("payload %s", m.Payload)
	}
	for _, m := range run(p, 3000) {
		for i, sensor := range sensors {
			x, base := valueOf(t, m.Reading, sensor), baseOf(m.Reading.Machine)[i]
			if math.Abs(x-base) > oldNoise[i]+0.01 {
				t.Fatalf("%s of %s is %v, usual %v", sensor, m.Reading.Machine, x, base)
			}
			if x != round(x, oldDecimals[i]) {
				t.Fatalf("%s is %v, want %d decimals", sensor, x, oldDecimals[i])
			}
		}
	}
}

func TestOldUniformProfileSpeaksAsTheFirstGenerator(t *testing.T) {
	p := newPlant(t, Options{Profile: OldUniform, Seed: 1})
	spoke := map[string]int{}
	for _, m := range run(p, 3000) {
		if m.Topic != "machine_sensor_data" || m.QoS != 0 {
			t.Fatalf("topic %s, QoS %d", m.Topic, m.QoS)
		}
		if got, want := keysOf(t, m.Payload), []string{"workspace_id", "sensor_type", "current", "accX", "accY", "accZ", "tempA", "tempB"}; !slices.Equal(got, want) {
			t.Fatalf("keys %v, want %v", got, want)
		}
		for i, sensor := range sensors {
			if x := valueOf(t, m.Reading, sensor); x < uniformLow[i] || x > uniformHigh[i] || x != round(x, uniformDecimals[i]) {
				t.Fatalf("%s is %v", sensor, x)
			}
		}
		spoke[m.Reading.Machine]++
	}
	if len(spoke) != 3 || spoke["cnc-mill-5-axis"]+spoke["lathe-1-spindle"]+spoke["robot-arm-02"] != 3000 {
		t.Errorf("one machine speaks at each tick, each in its turn; got %v", spoke)
	}
}

func TestPayloadsAreWrittenAsPythonWritesThem(t *testing.T) {
	v := sixValues{12, -0.1, 0.123, 0.18, 45, 42.5}
	want := `{"workspace_id": "a\"b", "timestamp": "2026-03-02T07:00:00.000000Z", "current": 12.0, "accX": -0.1, "accY": 0.123, "accZ": 0.18, "tempA": 45.0, "tempB": 42.5}`
	if got := string(timedPayload(`a"b`, monday.Truncate(time.Second), v)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `{"workspace_id": "m", "sensor_type": "industrial", "current": 12.0, "accX": -0.1, "accY": 0.123, "accZ": 0.18, "tempA": 45.0, "tempB": 42.5}`
	if got := string(untimedPayload("m", v)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The payload and the reading beside it must not tell two stories.
func TestReadingsSayWhatThePayloadsSay(t *testing.T) {
	for _, profile := range []Profile{Physical, Old, OldUniform} {
		for _, m := range run(newPlant(t, Options{Profile: profile, AnomalyRate: 0.2}), 50) {
			var payload map[string]any
			if err := json.Unmarshal(m.Payload, &payload); err != nil {
				t.Fatalf("%s: %v", m.Payload, err)
			}
			for _, v := range m.Reading.Values {
				if payload[v.Sensor] != v.Value {
					t.Errorf("%s: %s is %v, the reading says %v", profile, v.Sensor, payload[v.Sensor], v.Value)
				}
			}
			if payload["workspace_id"] != m.Reading.Machine || len(m.Reading.Values) != 6 {
				t.Errorf("%s: reading %v", profile, m.Reading)
			}
			if stamp, timed := payload["timestamp"]; timed && stamp != m.Reading.Time.Format(oldTime) {
				t.Errorf("%s: %v, the reading says %v", profile, stamp, m.Reading.Time)
			}
		}
	}
}

func TestAnomalyRate(t *testing.T) {
	for _, rate := range []float64{0, 0.05, 1} {
		disturbed := 0
		messages := run(newPlant(t, Options{Profile: Old, AnomalyRate: rate, Seed: 3}), 4000)
		for _, m := range messages {
			base := baseOf(m.Reading.Machine)
			hot := valueOf(t, m.Reading, "tempA") > base[tempA]+2
			high := valueOf(t, m.Reading, "current") > base[current]+1
			if hot || high {
				disturbed++
			}
		}
		// Vibration, a third of the anomalies, often hides in the noise.
		want := rate * 2 / 3 * float64(len(messages))
		if math.Abs(float64(disturbed)-want) > 3*math.Sqrt(want)+1 {
			t.Errorf("rate %v: %d of %d disturbed in current or heat, want about %.0f", rate, disturbed, len(messages), want)
		}
	}
}

func TestSameSeedSameMessages(t *testing.T) {
	for _, profile := range []Profile{Physical, Old, OldUniform} {
		o := Options{Profile: profile, Seed: 7, AnomalyRate: 0.1}
		if diff := cmp.Diff(run(newPlant(t, o), 100), run(newPlant(t, o), 100)); diff != "" {
			t.Errorf("%s: %s", profile, diff)
		}
		other := o
		other.Seed++
		if cmp.Equal(run(newPlant(t, o), 100), run(newPlant(t, other), 100)) {
			t.Errorf("%s: another seed makes the same", profile)
		}
	}
}

// A machine must not depend on which others are simulated beside it.
func TestMachinesAreIndependent(t *testing.T) {
	alone := run(newPlant(t, Options{Names: []string{"lathe-1-spindle"}}), 50)
	var among []Message
	for _, m := range run(newPlant(t, Options{}), 50) {
		if m.Reading.Machine == "lathe-1-spindle" {
			among = append(among, m)
		}
	}
	if diff := cmp.Diff(alone, among); diff != "" {
		t.Error(diff)
	}
}

func TestNames(t *testing.T) {
	cases := []struct {
		n           int
		first, last string
	}{
		{1, "cnc-mill-5-axis", "cnc-mill-5-axis"},
		{3, "cnc-mill-5-axis", "robot-arm-02"},
		{4, "cnc-mill-5-axis", "68889e4d171eff841cba171a"},
		{5, "machine-0001", "machine-0005"},
		{10_000, "machine-0001", "machine-10000"},
	}
	for _, c := range cases {
		names, err := Names(c.n)
		if err != nil || len(names) != c.n || names[0] != c.first || names[c.n-1] != c.last {
			t.Errorf("%d: %s to %s (%v), want %s to %s", c.n, names[0], names[len(names)-1], err, c.first, c.last)
		}
	}
	for _, n := range []int{-1, 0, 10_001} {
		if _, err := Names(n); fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	cases := []struct {
		o    Options
		want string
	}{
		{Options{Profile: "older"}, "profile is older; expected plant, old or old-uniform"},
		{Options{Interval: time.Microsecond}, "interval is 1µs; expected 1ms to 1h"},
		{Options{AnomalyRate: 1.5}, "anomaly rate is 1.5; expected 0 to 1, such as 0.05"},
		{Options{AnomalyRate: math.NaN()}, "anomaly rate is NaN"},
		{Options{Names: []string{"a", "a"}}, "machine is a; expected a name of 1 to 128 bytes without / \\ + # and control characters, each once"},
		{Options{Names: []string{"a/b"}}, "machine is a/b; expected a name"},
		{Options{Profile: Old, Faults: []Fault{{Kind: Gap, For: time.Second}}}, "fault is gap@0s+1s; expected the profile plant"},
		{Options{Faults: []Fault{{Kind: Gap, For: time.Second, Machine: "x"}}}, "machine of fault is x; expected one of the machines that are simulated, such as cnc-mill-5-axis"},
	}
	for _, c := range cases {
		c.o.Start = monday
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a plant without a start")
	}
}

func TestManyMachines(t *testing.T) {
	names, err := Names(MaxMachines)
	if err != nil {
		t.Fatal(err)
	}
	_, messages := newPlant(t, Options{Names: names}).Next()
	if len(messages) != MaxMachines {
		t.Errorf("%d messages", len(messages))
	}
	currents := map[float64]bool{}
	for _, m := range messages {
		currents[valueOf(t, m.Reading, "current")] = true
	}
	if len(currents) < 500 {
		t.Errorf("%d machines draw only %d different currents", MaxMachines, len(currents))
	}
}

func valueOf(t testing.TB, r fettle.Reading, sensor string) float64 {
	t.Helper()
	v, ok := r.Value(sensor)
	if !ok {
		t.Fatalf("no %s in %v", sensor, r)
	}
	return v
}

// keysOf lists the keys of a JSON object in their order.
func keysOf(t *testing.T, object []byte) []string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(object)))
	var keys []string
	for i := 0; ; i++ {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		if i%2 == 1 && token != json.Delim('}') {
			keys = append(keys, fmt.Sprint(token))
		}
	}
	return keys
}
