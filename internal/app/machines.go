package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/readings"
	"fettle/internal/web"
)

// silentAfter is how many of its own steps a machine may be silent before it
// counts as one without data; never less than silentAtLeast.
const (
	silentAfter   = 5
	silentAtLeast = 30 * time.Second
)

// machines sums up every machine, the one that needs people most on top. Those
// that are well hold still: by name, whatever their scores do.
func (a *App) machines() []fettle.Machine {
	infos := a.flow.readings.Machines()
	machines := make([]fettle.Machine, len(infos))
	for i, info := range infos {
		machines[i] = a.machine(info)
	}
	slices.SortStableFunc(machines, worseFirst)
	return machines
}

func worseFirst(a, b fettle.Machine) int {
	return cmp.Or(
		cmp.Compare(a.State.Rank(), b.State.Rank()),
		cmp.Compare(urgency(a), urgency(b)),
		cmp.Compare(max(b.Score, 1), max(a.Score, 1)),
		strings.Compare(a.Name, b.Name))
}

func urgency(m fettle.Machine) int {
	if len(m.Alarms) == 0 {
		return 0
	}
	return m.Alarms[0].Priority.Rank()
}

// machine sums up one machine.
func (a *App) machine(info readings.Info) fettle.Machine {
	m := fettle.Machine{
		Name: info.Machine, Sensors: info.Sensors, Rows: info.Rows, First: info.First, Last: info.Last,
		Arrived: a.flow.gate.Arrived(info.Machine), StepSeconds: a.flow.rhythm.step(info.Machine).Seconds(),
		Latest: a.flow.readings.Latest(info.Machine), Alarms: a.flow.alarms.OpenOf(info.Machine),
	}
	if champion, found := a.models.Champion(info.Machine, fettle.ShortForecaster); found {
		m.Model = champion.Name
	}
	if silence, found := a.flow.alarms.Silenced(info.Machine, a.now()); found {
		m.Silence = &silence
	}
	v, judged := a.flow.judge.Latest(info.Machine)
	m.Score = v.Score
	m.State, m.Sentence = a.state(m, v, judged)
	return m
}

// state says how a machine is doing, and why.
func (a *App) state(m fettle.Machine, v fettle.Verdict, judged bool) (fettle.MachineState, string) {
	limit := max(silentAtLeast, time.Duration(silentAfter*m.StepSeconds*float64(time.Second)))
	since := m.Arrived
	if since.IsZero() {
		since = a.started
	}
	silent := time.Since(since)
	switch {
	case len(m.Alarms) > 0:
		return fettle.StateAlarm, m.Alarms[0].Sentence
	case silent > limit:
		return fettle.StateNoData, fmt.Sprintf("No data for %s; a reading every %s is usual.", web.Duration(silent), web.Rhythm(m.StepSeconds))
	case !judged || v.Learning:
		return fettle.StateLearning, fmt.Sprintf("Learning what is usual: %d readings so far.", m.Rows)
	case v.Score > 1:
		return fettle.StateNormal, "Just left its usual range: " + a.flow.sentence(v)
	default:
		return fettle.StateNormal, "All sensors as usual."
	}
}
