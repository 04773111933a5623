package plant

import (
	"math"
	"math/rand/v2"
	"time"
)

// A recipe is how a machine makes one part: phases, each with the load it asks
// for and how long it usually takes.
type recipe []phase

type phase struct {
	load    float64
	seconds float64
}

var recipes = map[string]recipe{
	// load the blank, rapid, roughing, finishing, wash and unload
	"cnc-mill-5-axis": {{0.15, 8}, {0.45, 6}, {1, 34}, {0.7, 24}, {0.3, 10}},
	// feed the bar, roughing, groove, finishing
	"lathe-1-spindle": {{0.25, 8}, {0.95, 24}, {0.8, 12}, {0.55, 16}},
	// pick, swing, place, return
	"robot-arm-02": {{0.5, 8}, {0.9, 10}, {0.65, 12}, {0.35, 10}},
}

// programOf is the recipe of a machine; unknown machines take a known one.
func programOf(name string, dice *rand.Rand) recipe {
	if r, known := recipes[name]; known {
		return r
	}
	return recipes[oldNames[dice.IntN(3)]]
}

// A program is what a machine is told to do: parts, in batches, in shifts.
type program struct {
	recipe   recipe
	dice     *rand.Rand
	phase    int       // in the recipe
	ends     time.Time // of the phase, or of the pause
	paused   bool
	parts    int     // still to make in this batch
	material float64 // how hard this batch's material is, about 1
	toolWear float64 // how much more the worn tool shakes
}

// How work is cut up.
const (
	leastParts, mostParts = 6, 14 // in a batch
	leastPause, mostPause = 20.0, 40.0
	nightRest             = 0.15 // how much less is done at midnight than at noon
	phaseJitter           = 0.03 // of a phase's length, one standard deviation
	toolWearPart          = 0.0005
	toolWearLimit         = 0.05 // then the next pause changes the tool
)

func newProgram(r recipe, start time.Time, dice *rand.Rand) program {
	p := program{recipe: r, dice: dice, phase: dice.IntN(len(r)), ends: start, toolWear: toolWearLimit * dice.Float64()}
	p.newBatch()
	p.parts = 1 // so that a pause is among the first things to be learned
	return p
}

// load says what the program asks for at a time; times ascend.
func (p *program) load(at time.Time) float64 {
	for !at.Before(p.ends) {
		p.nextPhase()
	}
	if p.paused {
		return p.recipe[0].load
	}
	return p.recipe[p.phase].load * p.material * shiftPace(p.ends)
}

// usual is the mean load of a part.
func (r recipe) usual() float64 {
	var work, time float64
	for _, p := range r {
		work += p.load * p.seconds
		time += p.seconds
	}
	return work / time
}

func (p *program) nextPhase() {
	p.phase++
	switch {
	case p.paused:
		p.paused = false
		p.phase = 0
		p.newBatch()
	case p.phase == len(p.recipe):
		p.phase = 0
		p.parts--
		p.toolWear += toolWearPart
		if p.parts <= 0 {
			p.paused = true
			p.ends = p.ends.Add(seconds(leastPause + p.dice.Float64()*(mostPause-leastPause)))
			return
		}
	}
	length := p.recipe[p.phase].seconds * (1 + phaseJitter*p.dice.NormFloat64())
	p.ends = p.ends.Add(seconds(max(length, 1)))
}

func (p *program) newBatch() {
	p.parts = leastParts + p.dice.IntN(mostParts-leastParts)
	p.material = 0.97 + 0.06*p.dice.Float64()
	if p.toolWear > toolWearLimit {
		p.toolWear = 0
	}
}

// shiftPace is how hard the shifts drive their machines: most at noon, least
// in the small hours.
func shiftPace(t time.Time) float64 {
	return 1 - nightRest*(1-math.Cos(2*math.Pi*(hourOf(t)-12)/24))/2
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
