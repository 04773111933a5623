package plant

import (
	"math"
	"math/rand/v2"
	"time"
)

// A physicalMachine is a machine as a few differential equations see it. Its
// work drives everything else:
//
//	program -> load -> current                    at once
//	           load x wear -> vibration           at once
//	           load -> skin -> heat A -> heat B   in half a minute, in minutes
//	           room + heat = temperatures         the room has its day and night
//
// Parts are made in cycles of about a minute, batches of parts in some ten
// minutes with a short pause between them; the night takes it easier than the
// day. Tools wear within hours and are changed in a pause, bearings wear
// within months. All of it is smooth or comes again soon, so that it can be
// learned, and a healthy machine is no surprise to who has watched it for some
// minutes. For that reason no machine stands still for long.
type physicalMachine struct {
	name    string
	base    sixValues // usual values, at usualLoad
	program program
	dice    *rand.Rand
	spoiler spoiler
	faults  []*fault

	now     time.Time
	load    float64 // 0 stands still, 1 full cut; as the drive feels it
	skin    float64 // load that the cutting zone remembers
	heatA   float64 // load that the nearer thermal mass remembers
	heatB   float64 // load that the farther one remembers
	excess  float64 // °C that a failed cooling adds
	bearing time.Time
}

// The physics. Times are how long a change takes to come through by 63 %.
const (
	usualLoad   = 0.6
	driveTime   = 3 * time.Second
	skinTime    = 30 * time.Second
	heatATime   = 5 * time.Minute
	heatBTime   = 12 * time.Minute
	roomMean    = 20.0 // °C
	roomSwing   = 3.0  // °C, warmest at 15:00
	bearingTime = 60 * 24 * time.Hour
	bearingWear = 0.2 // how much more an old bearing shakes
)

// Measurement noise, one standard deviation: a share of the usual value for
// current and vibration, °C for temperatures.
const (
	currentNoise   = 0.03
	vibrationNoise = 0.08
	tempNoise      = 0.2
)

// A failing cooling heats by excessHeating a second, and lets go again with
// excessCooling once it works.
const (
	excessHeating = 0.2 // °C/s
	excessLimit   = 30.0
	excessCooling = 60 * time.Second
)

func newPhysicalMachine(name string, start time.Time, dice *rand.Rand) *physicalMachine {
	m := &physicalMachine{
		name: name, base: baseOf(name), dice: dice, now: start,
		bearing: start.Add(-time.Duration(dice.Float64() * float64(40*24*time.Hour))),
	}
	if _, known := bases[name]; !known {
		m.base = bases[oldNames[dice.IntN(len(oldNames))]]
		for i := range m.base {
			m.base[i] *= 0.85 + 0.3*dice.Float64()
		}
	}
	m.program = newProgram(programOf(name, dice), start, dice)
	m.load = m.program.recipe.usual()
	m.skin, m.heatA, m.heatB = m.load, m.load, m.load
	return m
}

func (m *physicalMachine) message(at time.Time) (Message, bool) {
	m.advance(at)
	v := m.measure()
	m.spoiler.spoil(&v)
	silent := false
	for _, f := range m.faults {
		f.distort(at, &v, &m.base)
		silent = silent || f.Kind == Gap && f.active(at)
	}
	for i := range v {
		v[i] = round(v[i], oldDecimals[i])
	}
	return newMessage(m.name, at, v), !silent
}

// advance lets the time until at pass. What stays constant during it is exact,
// whatever its length.
func (m *physicalMachine) advance(at time.Time) {
	passed := at.Sub(m.now)
	m.now = at
	wanted := m.program.load(at)
	m.load = approach(m.load, wanted, passed, driveTime)
	m.skin = approach(m.skin, m.load, passed, skinTime)
	m.heatA = approach(m.heatA, m.load, passed, heatATime)
	m.heatB = approach(m.heatB, m.heatA, passed, heatBTime)
	heating := false
	for _, f := range m.faults {
		heating = heating || f.Kind == Overheating && f.active(at)
	}
	if heating {
		m.excess = min(m.excess+excessHeating*passed.Seconds(), excessLimit)
	} else {
		m.excess = approach(m.excess, 0, passed, excessCooling)
	}
}

// approach moves x towards a goal as a first-order lag does.
func approach(x, goal float64, passed, lag time.Duration) float64 {
	return goal + (x-goal)*math.Exp(-passed.Seconds()/lag.Seconds())
}

// measure reads the six sensors.
func (m *physicalMachine) measure() sixValues {
	room := roomMean + roomSwing*math.Sin(2*math.Pi*(hourOf(m.now)-9)/24)
	wear := 1 + bearingWear*(1-math.Exp(-m.now.Sub(m.bearing).Seconds()/bearingTime.Seconds())) + m.program.toolWear
	var v sixValues
	v[current] = m.base[current] * (0.2 + 0.8*m.load/usualLoad + currentNoise*m.dice.NormFloat64())
	for axis := accX; axis <= accZ; axis++ {
		v[axis] = max(m.base[axis]*(0.3+0.7*m.load/usualLoad*wear+vibrationNoise*m.dice.NormFloat64()), 0)
	}
	v[tempA] = room + (m.base[tempA]-roomMean)*(0.7*m.heatA+0.3*m.skin)/usualLoad + m.excess + tempNoise*m.dice.NormFloat64()
	v[tempB] = room + (m.base[tempB]-roomMean)*(0.8*m.heatB+0.2*m.skin)/usualLoad + 0.8*m.excess + tempNoise*m.dice.NormFloat64()
	return v
}

// hourOf is the hour of the day, UTC, with its fraction.
func hourOf(t time.Time) float64 {
	u := t.UTC()
	return float64(u.Hour()) + float64(u.Minute())/60 + float64(u.Second())/3600
}
