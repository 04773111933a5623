package plant

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fettle"
)

// FaultKind names something that goes wrong with a machine or a sensor.
type FaultKind string

// The kinds, with what they do to the machine while they last.
const (
	Overcurrent FaultKind = "overcurrent" // draws 60 % more
	Vibration   FaultKind = "vibration"   // shakes 2.5 times as much on all axes
	Overheating FaultKind = "overheating" // both temperatures climb, and come down again after
	Drift       FaultKind = "drift"       // one sensor slides away from the truth
	Stuck       FaultKind = "stuck"       // one sensor repeats its last value
	Gap         FaultKind = "gap"         // the machine is silent
	UnitJump    FaultKind = "unitjump"    // one sensor speaks in another unit (°F, mA, m/s²)
)

var faultKinds = []FaultKind{Overcurrent, Vibration, Overheating, Drift, Stuck, Gap, UnitJump}

// ofOneSensor tells whether the fault is one sensor's own.
func (k FaultKind) ofOneSensor() bool { return k == Drift || k == Stuck || k == UnitJump }

// A Fault happens to one machine at one time.
type Fault struct {
	Kind    FaultKind
	After   time.Duration // from the plant's start
	For     time.Duration
	Machine string // empty: the plant's first machine
	Sensor  string // of drift, stuck and unitjump; empty: tempA
}

// faultSyntax is what ParseFault reads.
const faultSyntax = "kind@start+duration[:machine[:sensor]], such as overheating@30s+90s:lathe-1-spindle"

// ParseFault reads kind@start+duration[:machine[:sensor]].
func ParseFault(spec string) (Fault, error) {
	kind, rest, found := strings.Cut(spec, "@")
	if !found {
		return Fault{}, fettle.BadField("fault", "fault", spec, faultSyntax)
	}
	f := Fault{Kind: FaultKind(kind)}
	if !slices.Contains(faultKinds, f.Kind) {
		return Fault{}, fettle.BadField("fault", "kind of fault", kind, "one of "+joinKinds())
	}
	when, whom, _ := strings.Cut(rest, ":")
	f.Machine, f.Sensor, _ = strings.Cut(whom, ":")
	start, length, found := strings.Cut(when, "+")
	if !found {
		return Fault{}, fettle.BadField("fault", "time of fault", when, faultSyntax)
	}
	var err error
	if f.After, err = time.ParseDuration(start); err != nil || f.After < 0 {
		return Fault{}, fettle.BadField("fault", "start of fault", start, "a duration such as 30s or 2h")
	}
	if f.For, err = time.ParseDuration(length); err != nil || f.For <= 0 {
		return Fault{}, fettle.BadField("fault", "duration of fault", length, "a duration such as 90s")
	}
	if f.Sensor == "" && slices.Contains(sensors[:], f.Machine) {
		return Fault{}, fettle.BadField("fault", "machine of fault", f.Machine, "a machine; the sensor comes after it: "+faultSyntax)
	}
	if f.Sensor != "" && !f.Kind.ofOneSensor() {
		return Fault{}, fettle.BadField("fault", "sensor of fault", f.Sensor, "none: "+kind+" happens to the whole machine")
	}
	if f.Sensor != "" && !slices.Contains(sensors[:], f.Sensor) {
		return Fault{}, fettle.BadField("fault", "sensor of fault", f.Sensor, "one of "+strings.Join(sensors[:], ", "))
	}
	return f, nil
}

func joinKinds() string {
	names := make([]string, len(faultKinds))
	for i, k := range faultKinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// String writes what ParseFault reads.
func (f Fault) String() string {
	text := fmt.Sprintf("%s@%v+%v", f.Kind, f.After, f.For)
	switch {
	case f.Sensor != "":
		return text + ":" + f.Machine + ":" + f.Sensor
	case f.Machine != "":
		return text + ":" + f.Machine
	default:
		return text
	}
}

// completeFaults gives faults without a machine the first one, those without a
// sensor tempA, and checks that the machines are there.
func (o *Options) completeFaults() error {
	faults := slices.Clone(o.Faults)
	for i := range faults {
		f := &faults[i]
		if f.Machine == "" {
			f.Machine = o.Names[0]
		}
		if f.Sensor == "" && f.Kind.ofOneSensor() {
			f.Sensor = "tempA"
		}
		if !slices.Contains(o.Names, f.Machine) {
			return fettle.BadField("fault", "machine of fault", f.Machine, "one of the machines that are simulated, such as "+o.Names[0])
		}
	}
	o.Faults = faults
	return nil
}

// A fault is a Fault with its times, and what it has to remember.
type fault struct {
	Fault
	starts, ends time.Time
	held         float64 // Stuck: the value repeated
	holds        bool
}

func (f *fault) active(at time.Time) bool { return !at.Before(f.starts) && at.Before(f.ends) }

// How strong the faults are.
const (
	overcurrentFactor = 1.6
	vibrationFactor   = 2.5
	driftPerMinute    = 0.05 // of the sensor's usual value
)

// distort lays the fault over what the sensors read, rounded as they round.
func (f *fault) distort(at time.Time, v *sixValues, base *sixValues) {
	if !f.active(at) {
		return
	}
	i := slices.Index(sensors[:], f.Sensor)
	switch f.Kind {
	case Overcurrent:
		v[current] *= overcurrentFactor
	case Vibration:
		for axis := accX; axis <= accZ; axis++ {
			v[axis] *= vibrationFactor
		}
	case Drift:
		v[i] += base[i] * driftPerMinute * at.Sub(f.starts).Minutes()
	case Stuck:
		if !f.holds {
			f.held, f.holds = v[i], true
		}
		v[i] = f.held
	case UnitJump:
		v[i] = otherUnit(i, v[i])
	}
}

// otherUnit converts a value into the unit that a wrongly set up sensor would
// send: A to mA, g to m/s², °C to °F.
func otherUnit(sensor int, x float64) float64 {
	switch sensor {
	case current:
		return x * 1000
	case tempA, tempB:
		return x*9/5 + 32
	default:
		return x * 9.80665
	}
}
