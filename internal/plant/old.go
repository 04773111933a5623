package plant

import (
	"math"
	"math/rand/v2"
	"time"

	"fettle"
)

// bases are what the old system's later generator, and the physical model,
// take for a machine's usual values: A, g, g, g, °C, °C.
var bases = map[string]sixValues{
	"cnc-mill-5-axis":          {12.5, 0.15, 0.12, 0.18, 45, 42},
	"lathe-1-spindle":          {15, 0.2, 0.15, 0.25, 50, 48},
	"robot-arm-02":             {8.5, 0.1, 0.08, 0.12, 38, 36},
	"68889e4d171eff841cba171a": {10, 0.13, 0.11, 0.16, 40, 38},
}

// baseOf is a machine's usual values; unknown machines take after the first.
func baseOf(name string) sixValues {
	if base, known := bases[name]; known {
		return base
	}
	return bases[oldNames[0]]
}

// An oldMachine speaks as the old system's later generator made it speak:
// every machine at every tick, with its time, on sensor/data at QoS 1.
type oldMachine struct {
	name    string
	base    sixValues
	dice    *rand.Rand
	spoiler spoiler
}

// oldNoise is the half-width of the even noise on each sensor.
var oldNoise = sixValues{0.5, 0.2, 0.2, 0.2, 1, 1}

// oldDecimals is how that generator rounded.
var oldDecimals = [6]int{2, 3, 3, 3, 1, 1}

func (m *oldMachine) message(at time.Time) (Message, bool) {
	v := m.base
	m.spoiler.spoil(&v) // the bases are disturbed, then the noise is laid on
	for i := range v {
		v[i] = round(v[i]+oldNoise[i]*(2*m.dice.Float64()-1), oldDecimals[i])
	}
	return newMessage(m.name, at, v), true
}

// newMessage is a message in the shape of the later generator.
func newMessage(name string, at time.Time, v sixValues) Message {
	reading := fettle.Reading{Machine: name, Time: at.UTC().Truncate(time.Microsecond), Values: v.values([6]bool{})}
	return Message{Topic: "sensor/data", QoS: 1, Payload: timedPayload(name, at, v), Reading: reading}
}

// A uniformMachine speaks as the old system's first generator made it speak:
// even noise, no time, on machine_sensor_data at QoS 0. Of a plant of them one
// speaks at each tick.
type uniformMachine struct {
	name    string
	dice    *rand.Rand
	spoiler spoiler
}

var (
	uniformLow      = sixValues{10, -0.5, -0.5, 0.8, 55, 55}
	uniformHigh     = sixValues{25, 0.5, 0.5, 1.2, 80, 80}
	uniformDecimals = [6]int{2, 4, 4, 4, 2, 2}
)

func (m *uniformMachine) message(at time.Time) (Message, bool) {
	var v sixValues
	for i := range v {
		v[i] = uniformLow[i] + m.dice.Float64()*(uniformHigh[i]-uniformLow[i])
	}
	m.spoiler.spoil(&v)
	for i := range v {
		v[i] = round(v[i], uniformDecimals[i])
	}
	return Message{
		Topic:   "machine_sensor_data",
		Payload: untimedPayload(m.name, v),
		Reading: fettle.Reading{
			Machine: m.name, Time: at.UTC().Truncate(time.Microsecond), Values: v.values([6]bool{}),
			Tags: map[string]string{"sensor_type": sensorType},
		},
	}, true
}

// A spoiler disturbs single messages, in the three ways of the old system.
type spoiler struct {
	rate float64
	dice *rand.Rand
}

func (s spoiler) spoil(v *sixValues) {
	if s.rate == 0 || s.dice.Float64() >= s.rate {
		return
	}
	between := func(low, high float64) float64 { return low + s.dice.Float64()*(high-low) }
	switch s.dice.IntN(3) {
	case 0: // high_current
		v[current] *= between(1.5, 2)
	case 1: // vibration
		for i := accX; i <= accZ; i++ {
			v[i] *= between(2, 3)
		}
	case 2: // overheating
		v[tempA] += between(10, 20)
		v[tempB] += between(10, 20)
	}
}

// round rounds to decimals places, as a sensor's display does.
func round(x float64, decimals int) float64 {
	shift := math.Pow10(decimals)
	return math.Round(x*shift) / shift
}
