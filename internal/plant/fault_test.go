package plant

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFaultSyntax(t *testing.T) {
	good := map[string]Fault{
		"overheating@30s+90s:lathe-1-spindle": {Kind: Overheating, After: 30 * time.Second, For: 90 * time.Second, Machine: "lathe-1-spindle"},
		"gap@0s+1m":                           {Kind: Gap, For: time.Minute},
		"stuck@1h30m+10m:robot-arm-02:accX":   {Kind: Stuck, After: 90 * time.Minute, For: 10 * time.Minute, Machine: "robot-arm-02", Sensor: "accX"},
		"drift@5s+1s::current":                {Kind: Drift, After: 5 * time.Second, For: time.Second, Sensor: "current"},
	}
	for spec, want := range good {
		got, err := ParseFault(spec)
		if err != nil || got != want {
			t.Errorf("%s: %+v (%v), want %+v", spec, got, err, want)
		}
		if again, err := ParseFault(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s, which reads as %+v (%v)", spec, got, again, err)
		}
	}
	bad := map[string]string{
		"":                           "fault; expected kind@start+duration",
		"overheating":                "fault is overheating; expected kind@start+duration",
		"melting@1s+1s":              "kind of fault is melting; expected one of overcurrent, vibration, overheating, drift, stuck, gap, unitjump",
		"gap@1s":                     "time of fault is 1s; expected kind@start+duration",
		"gap@soon+1s":                "start of fault is soon; expected a duration such as 30s or 2h",
		"gap@-1s+1s":                 "start of fault is -1s",
		"gap@1s+0s":                  "duration of fault is 0s; expected a duration such as 90s",
		"stuck@1s+1s:tempA":          "machine of fault is tempA; expected a machine; the sensor comes after it",
		"stuck@1s+1s:lathe:pressure": "sensor of fault is pressure; expected one of current, accX, accY, accZ, tempA, tempB",
		"gap@1s+1s:lathe:tempA":      "sensor of fault is tempA; expected none: gap happens to the whole machine",
	}
	for spec, want := range bad {
		if _, err := ParseFault(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("overheating@30s+90s:lathe-1-spindle")
	f.Add("stuck@1h+10m:a:tempA")
	f.Add("@+:")
	f.Fuzz(func(t *testing.T, spec string) {
		fault, err := ParseFault(spec)
		if err != nil {
			return
		}
		if again, err := ParseFault(fault.String()); err != nil || again != fault {
			t.Errorf("%q reads as %+v and is written %q, which reads as %+v (%v)", spec, fault, fault, again, err)
		}
	})
}

// faulted runs one lathe for eight minutes with a fault from the second minute
// on, and the same lathe without it, tick by tick.
func faulted(t *testing.T, spec string) (with, without []Message) {
	t.Helper()
	fault, err := ParseFault(spec)
	if err != nil {
		t.Fatal(err)
	}
	const ticks = 240
	lathe := Options{Names: []string{"lathe-1-spindle"}}
	without = run(newPlant(t, lathe), ticks)
	lathe.Faults = []Fault{fault}
	return run(newPlant(t, lathe), ticks), without
}

// Rows of faulted: the fault lasts from minute 2 to minute 3.
const (
	begin = 60
	end   = 90
)

func TestWhatFaultsDo(t *testing.T) {
	cases := []struct {
		spec   string
		sensor string
		holds  func(with, without float64) bool // at the end of the fault
	}{
		{"overcurrent@2m+1m", "current", func(with, without float64) bool { return math.Abs(with-1.6*without) < 0.02 }},
		{"vibration@2m+1m", "accX", func(with, without float64) bool { return math.Abs(with-2.5*without) < 0.005 }},
		{"vibration@2m+1m", "accZ", func(with, without float64) bool { return math.Abs(with-2.5*without) < 0.005 }},
		{"overheating@2m+1m", "tempA", func(with, without float64) bool { return with > without+10 }},
		{"overheating@2m+1m", "tempB", func(with, without float64) bool { return with > without+8 }},
		{"drift@2m+1m", "tempA", func(with, without float64) bool { return with > without+2 && with < without+3 }},
		{"drift@2m+1m::current", "current", func(with, without float64) bool { return with > without+0.6 && with < without+0.9 }},
		{"unitjump@2m+1m", "tempA", func(with, without float64) bool { return math.Abs(with-(without*9/5+32)) < 0.2 }},
		{"unitjump@2m+1m::current", "current", func(with, without float64) bool { return math.Abs(with-1000*without) < 10 }},
		{"unitjump@2m+1m::accY", "accY", func(with, without float64) bool { return math.Abs(with-9.80665*without) < 0.01 }},
	}
	for _, c := range cases {
		with, without := faulted(t, c.spec)
		value := func(rows []Message, i int) float64 { return valueOf(t, rows[i].Reading, c.sensor) }
		if w, o := value(with, end-1), value(without, end-1); !c.holds(w, o) {
			t.Errorf("%s: %s is %v, would be %v", c.spec, c.sensor, w, o)
		}
		for _, i := range []int{0, begin - 1} {
			if w, o := value(with, i), value(without, i); w != o {
				t.Errorf("%s: %s is %v before the fault, would be %v", c.spec, c.sensor, w, o)
			}
		}
		if w, o := value(with, end+140), value(without, end+140); math.Abs(w-o) > 0.3 {
			t.Errorf("%s: %s is %v after the fault, would be %v", c.spec, c.sensor, w, o)
		}
	}
}

func TestStuckSensorRepeatsItself(t *testing.T) {
	with, without := faulted(t, "stuck@2m+1m::current")
	for i := range with {
		w, o := valueOf(t, with[i].Reading, "current"), valueOf(t, without[i].Reading, "current")
		if stuck := i >= begin && i < end; stuck && w != valueOf(t, without[begin].Reading, "current") || !stuck && w != o {
			t.Fatalf("row %d: %v, would be %v", i, w, o)
		}
	}
}

func TestGapIsSilence(t *testing.T) {
	with, without := faulted(t, "gap@2m+1m")
	if len(with) != len(without)-(end-begin) {
		t.Fatalf("%d messages, want %d", len(with), len(without)-(end-begin))
	}
	rest := slices.Concat(without[:begin], without[end:])
	for i := range with {
		if string(with[i].Payload) != string(rest[i].Payload) {
			t.Fatalf("message %d: %s, want %s", i, with[i].Payload, rest[i].Payload)
		}
	}
}

func TestFaultsWithoutMachineHappenToTheFirst(t *testing.T) {
	p := newPlant(t, Options{Faults: []Fault{{Kind: Gap, For: time.Hour}}})
	for _, m := range run(p, 10) {
		if m.Reading.Machine == "cnc-mill-5-axis" {
			t.Fatal("the first machine speaks in its gap")
		}
	}
}
