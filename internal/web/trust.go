package web

import (
	"fmt"
	"math"
)

// A Trust says how a machine's forecasts came out so far.
type Trust struct {
	Bands map[string]Band // by sensor; none: nothing was scored yet

	// Skill is how much smaller the errors of the last day were than those of
	// the better yardstick, as a share of them; known if Steps is not 0.
	Skill     float64
	Steps     int64
	Yardstick string // that was better than the model; empty if none was
}

// A Band says how one sensor's bands held.
type Band struct {
	Promise float64 // share of the readings that it promises to hold
	Held    float64 // share that it held
	Of      int     // forecasts, the newest so many
	Width   float64 // mean, in the sensor's unit
}

func (b Band) text(unit string) string {
	return fmt.Sprintf("%.0f %% band: held %.0f %% of the last %d, width %s", 100*b.Promise, 100*b.Held, b.Of, withUnit(number(b.Width), unit))
}

// trust tells what was promised beside what came of it.
func (v *machineView) trust(t Trust) {
	for i, c := range v.Charts {
		if band, known := t.Bands[c.Sensor]; known {
			v.Charts[i].Held = band.text(c.Unit)
		}
	}
	if t.Steps == 0 {
		return
	}
	v.Facts = append(v.Facts, fact{Name: "Forecasts", Text: t.text()})
}

func (t Trust) text() string {
	switch {
	case t.Yardstick != "":
		return fmt.Sprintf("no better than a simple guess: %s has %.0f %% less error, last day", t.Yardstick, 100*(1-1/(1+math.Abs(t.Skill))))
	case t.Skill < 0:
		return fmt.Sprintf("error %.0f %% above that of a simple guess, last day", -100*t.Skill)
	default:
		return fmt.Sprintf("error %.0f %% below that of a simple guess, last day", 100*t.Skill)
	}
}
