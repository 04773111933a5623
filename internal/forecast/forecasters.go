package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// Limits of what a machine is forecast from.
const (
	// maxSensors is how many sensors of a machine its ridge covers: the first
	// ones by name. Those beyond are stored and judged, but not forecast.
	maxSensors = 256
	// maxContext bounds a ridge's look-back and horizon, in rows.
	maxContext = 4096
	// maxStep is the longest time between two rows that counts as a rhythm.
	maxStep = 31 * 24 * time.Hour
	// maxForecasters bounds the work that one machine is.
	maxForecasters = 8
)

// A Forecaster looks ahead at one scale of time and in its own rhythm. Every
// machine has all of them, each with models of its own; one for which a machine
// has no data yet waits until it has.
type Forecaster struct {
	Name     string
	Step     time.Duration // of its rows, each the mean of that time; 0: the machine's own rows
	Context  int           // rows that its ridge looks back on
	Steps    int           // rows that its ridge looks ahead
	Interval time.Duration // event time from tick to tick; never less than a step
	Lookback time.Duration // how old the oldest of the machine's own rows may be; nothing else has such a bound
}

// Short is the forecaster that every machine has: the old system's rhythm, 10
// steps ahead of the machine's own.
func Short() Forecaster {
	return Forecaster{Name: fettle.ShortForecaster, Context: 50, Steps: 10, Interval: 60 * time.Second, Lookback: 10 * time.Minute}
}

// Defaults are the forecasters that a machine has if nobody says anything.
//
// The hour looks back on two: twice what it says, so that a load cycle of up to
// an hour is there twice. The days look back on a week, so that the same hour of
// the same weekday is there; a machine has them after 18 days.
func Defaults() []Forecaster {
	return []Forecaster{
		Short(),
		{Name: "hour", Step: time.Minute, Context: 120, Steps: 60, Interval: 5 * time.Minute},
		{Name: "days", Step: time.Hour, Context: 168, Steps: 48, Interval: time.Hour},
	}
}

// own tells whether the forecaster looks at the machine's own rows.
func (f Forecaster) own() bool { return f.Step == 0 }

// firstFit is how many rows the first fit takes: two whole windows, so 120 for
// the deployed horizon.
func (f Forecaster) firstFit() int64 { return 2 * int64(f.Context+f.Steps) }

// history is how far back a fit looks: a month, or a year of hours. Long steps
// need a long time to be many.
func (f Forecaster) history() time.Duration {
	return max(learnFrom, learnSteps*f.Step)
}

// withShort completes a list of forecasters: the short one comes first.
func withShort(list []Forecaster) []Forecaster {
	at := slices.IndexFunc(list, func(f Forecaster) bool { return f.Name == fettle.ShortForecaster })
	if at < 0 {
		return append([]Forecaster{Short()}, list...)
	}
	short, usual := list[at], Short()
	short.Context, short.Steps = cmp.Or(short.Context, usual.Context), cmp.Or(short.Steps, usual.Steps)
	short.Interval, short.Lookback = cmp.Or(short.Interval, usual.Interval), cmp.Or(short.Lookback, usual.Lookback)
	return append([]Forecaster{short}, slices.Delete(slices.Clone(list), at, at+1)...)
}

func checkForecasters(list []Forecaster) error {
	if len(list) > maxForecasters {
		return fettle.BadField("too many forecasters", "forecasters", fmt.Sprint(len(list)), fmt.Sprintf("at most %d", maxForecasters))
	}
	names := map[string]bool{}
	for _, f := range list {
		if f.Name == "" || len(f.Name) > fettle.MaxName || names[f.Name] {
			return fettle.BadField("bad forecaster", "name", fettle.Shorten(f.Name), fmt.Sprintf("a name of at most %d bytes, each once", fettle.MaxName))
		}
		names[f.Name] = true
		if err := f.check(); err != nil {
			return err
		}
	}
	return nil
}

func (f Forecaster) check() error {
	bad := func(field string, value any, expected string) error {
		return fettle.BadField("bad forecaster", f.Name+"."+field, fmt.Sprint(value), expected)
	}
	switch {
	case f.Name == fettle.ShortForecaster && !f.own():
		return bad("step", f.Step, "0: the machine's own")
	case !f.own() && (f.Step < time.Second || f.Step > 24*time.Hour || 24*time.Hour%f.Step != 0):
		return bad("step", f.Step, "1s to 24h, so that a day has a whole number of them")
	case f.Context < 2 || f.Context > maxContext:
		return bad("context", f.Context, fmt.Sprintf("2..%d", maxContext))
	case f.Steps < 1 || f.Steps > maxContext:
		return bad("steps", f.Steps, fmt.Sprintf("1..%d", maxContext))
	case f.Interval < time.Second:
		return bad("interval", f.Interval, "at least 1s")
	case f.Lookback < 0:
		return bad("lookback", f.Lookback, "a positive duration")
	}
	return nil
}

// rowsUntil is how many rows a machine can have up to a time: those that it
// has, or the steps that have passed since its first.
func (f Forecaster) rowsUntil(info readings.Info, until time.Time) int64 {
	if f.own() {
		return info.Rows
	}
	return max(0, int64(until.Truncate(f.Step).Sub(info.First.Truncate(f.Step))/f.Step))
}

// newest is when the newest row starts that is complete at a time; of the
// machine's own rows each is, so that it is the time itself.
func (f Forecaster) newest(at time.Time) time.Time {
	if f.own() {
		return at
	}
	return at.Truncate(f.Step).Add(-f.Step)
}

// enoughAt is when a machine can have so many rows; zero if that cannot be told.
func (f Forecaster) enoughAt(info readings.Info, rows int64) time.Time {
	if f.own() {
		return time.Time{}
	}
	return info.First.Truncate(f.Step).Add(time.Duration(rows) * f.Step)
}

// rowsWord says what the forecaster's rows are.
func (f Forecaster) rowsWord() string {
	if f.own() {
		return "rows"
	}
	return "steps of " + shortDuration(f.Step)
}

// shortDuration writes 1h for 1h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
