// Package plant plays machines that are not there: simulated ones, and
// recordings of real ones. Out come the messages that their sensors would
// send, each with the reading it carries; who publishes or stores them is
// somebody else's business.
//
// Three profiles are simulated. "plant" is a small physical model of each
// machine, with something to learn in it: jobs and pauses, temperatures that
// follow the load, wear, faults at named times. "old" and "old-uniform" are
// the two generators of the system that fettle replaces, message for message.
//
// The package opens no connection and reads no clock: time starts where the
// caller says and moves by one interval a tick, so that history is made as
// fast as it can be computed. The same seed makes the same messages.
package plant

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"

	"fettle"
)

// Profile names a way to simulate machines.
type Profile string

// The profiles.
const (
	Physical   Profile = "plant"       // a physical model of each machine
	Old        Profile = "old"         // the old system's later generator
	OldUniform Profile = "old-uniform" // the old system's first generator, which made its models
)

// Limits and defaults of a simulation.
const (
	MaxMachines     = 10_000
	DefaultInterval = 2 * time.Second
)

// Options say which machines to simulate, and how.
type Options struct {
	Profile     Profile       // Physical if empty
	Names       []string      // of the machines; Names(3) if empty
	Seed        uint64        // the same seed, the same messages
	Start       time.Time     // time of the first tick
	Interval    time.Duration // from tick to tick; DefaultInterval if 0
	AnomalyRate float64       // share of messages that are disturbed, 0..1
	Faults      []Fault       // on the Physical profile only
}

// A Message is what a machine's sensors publish at once.
type Message struct {
	Topic   string
	QoS     byte
	Payload []byte
	Reading fettle.Reading // what the payload says; its time is the tick's even if the payload has none
}

// A Plant is a set of simulated machines. It is not safe for concurrent use.
type Plant struct {
	interval time.Duration
	next     time.Time
	machines []machine
	anyone   *rand.Rand // picks the one machine that speaks, in OldUniform
	oneOf    bool
}

// A machine makes one message a tick; none if ok is false.
type machine interface {
	message(at time.Time) (m Message, ok bool)
}

// The machines of the old system; the last sent data without having a place in
// its descriptions.
var oldNames = []string{"cnc-mill-5-axis", "lathe-1-spindle", "robot-arm-02", "68889e4d171eff841cba171a"}

// Names names n machines: up to four are called as in the old system, more are
// machine-0001 and so on.
func Names(n int) ([]string, error) {
	if n < 1 || n > MaxMachines {
		return nil, fettle.BadField("machines", "machines", fmt.Sprint(n), fmt.Sprintf("1 to %d", MaxMachines))
	}
	if n <= len(oldNames) {
		return slices.Clone(oldNames[:n]), nil
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("machine-%04d", i+1)
	}
	return names, nil
}

// DefaultAnomalyRate is the share of disturbed messages that a profile is
// known for.
func DefaultAnomalyRate(p Profile) float64 {
	if p == Old {
		return 0.05
	}
	return 0
}

// New makes the machines, ready for the first tick.
func New(o Options) (*Plant, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	p := &Plant{interval: o.Interval, next: o.Start, oneOf: o.Profile == OldUniform, anyone: dice(o.Seed, "")}
	for _, name := range o.Names {
		p.machines = append(p.machines, o.machine(name))
	}
	return p, nil
}

// complete fills in what was left open and checks the rest.
func (o *Options) complete() error {
	if o.Profile == "" {
		o.Profile = Physical
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if len(o.Names) == 0 {
		o.Names = slices.Clone(oldNames[:3])
	}
	switch {
	case !slices.Contains([]Profile{Physical, Old, OldUniform}, o.Profile):
		return fettle.BadField("profile", "profile", string(o.Profile), "plant, old or old-uniform")
	case o.Start.IsZero():
		return fettle.BadField("start", "start", "not given", "the time of the first tick")
	case o.Interval < time.Millisecond || o.Interval > time.Hour:
		return fettle.BadField("interval", "interval", o.Interval.String(), "1ms to 1h")
	case !(o.AnomalyRate >= 0 && o.AnomalyRate <= 1):
		return fettle.BadField("anomaly rate", "anomaly rate", fmt.Sprint(o.AnomalyRate), "0 to 1, such as 0.05")
	case len(o.Names) > MaxMachines:
		return fettle.BadField("machines", "machines", fmt.Sprint(len(o.Names)), fmt.Sprintf("1 to %d", MaxMachines))
	case len(o.Faults) > 0 && o.Profile != Physical:
		return fettle.BadField("fault", "fault", o.Faults[0].String(), "the profile plant; the old generators know no faults")
	}
	seen := make(map[string]bool, len(o.Names))
	for _, name := range o.Names {
		if seen[name] || unfit(name) {
			return fettle.BadField("machines", "machine", name, fitMachine+", each once")
		}
		seen[name] = true
	}
	return o.completeFaults()
}

// fitMachine is what a machine may be called: its name becomes part of topics.
const fitMachine = `a name of 1 to 128 bytes without / \ + # and control characters`

func unfit(machine string) bool {
	return machine == "" || len(machine) > fettle.MaxName ||
		strings.ContainsFunc(machine, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`/\+#`, r) })
}

// machine makes one machine of the profile.
func (o *Options) machine(name string) machine {
	spoiler := spoiler{rate: o.AnomalyRate, dice: dice(o.Seed, "anomalies of "+name)}
	switch o.Profile {
	case Old:
		return &oldMachine{name: name, base: baseOf(name), dice: dice(o.Seed, name), spoiler: spoiler}
	case OldUniform:
		return &uniformMachine{name: name, dice: dice(o.Seed, name), spoiler: spoiler}
	default:
		m := newPhysicalMachine(name, o.Start, dice(o.Seed, name))
		m.spoiler = spoiler
		for _, f := range o.Faults {
			if f.Machine == name {
				m.faults = append(m.faults, &fault{Fault: f, starts: o.Start.Add(f.After), ends: o.Start.Add(f.After + f.For)})
			}
		}
		return m
	}
}

// Next returns the time of the next tick and what the machines send then, and
// moves on by one interval.
func (p *Plant) Next() (time.Time, []Message) {
	at := p.next
	p.next = at.Add(p.interval)
	speaking := p.machines
	if p.oneOf {
		i := p.anyone.IntN(len(p.machines))
		speaking = p.machines[i : i+1]
	}
	messages := make([]Message, 0, len(speaking))
	for _, m := range speaking {
		if message, ok := m.message(at); ok {
			messages = append(messages, message)
		}
	}
	return at, messages
}

// dice are random numbers of one purpose, so that a machine behaves the same
// whichever others there are.
func dice(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// sensors of the six-sensor machines, in the order of the old messages. A set
// of six values is held in this order.
var sensors = [6]string{"current", "accX", "accY", "accZ", "tempA", "tempB"}

// Places of sensors in a set of six values.
const (
	current = iota
	accX
	accY
	accZ
	tempA
	tempB
)

type sixValues [6]float64

// values makes a reading's values of six, without those that are absent.
func (v *sixValues) values(absent [6]bool) []fettle.Value {
	list := make([]fettle.Value, 0, len(v))
	for i, sensor := range sensors {
		if !absent[i] {
			list = append(list, fettle.Value{Sensor: sensor, Value: v[i]})
		}
	}
	slices.SortFunc(list, func(a, b fettle.Value) int { return strings.Compare(a.Sensor, b.Sensor) })
	return list
}
