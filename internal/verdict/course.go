package verdict

import (
	"math"
	"time"

	"fettle"
)

// When to fit: once firstRows are there, again at each doubling, and daily once
// lookBack of a machine's life, or as much as a fit can take, has been seen.
const (
	firstRows = 120
	lookBack  = 30 * 24 * time.Hour
	daily     = 24 * time.Hour
)

// How much a fit reads at most. 30 days of eight sensors every 2 s are below
// both.
const (
	fitRows     = 1_500_000
	fitReadings = 16_000_000 // rows times sensors
)

// A course decides when a machine is fitted, and on which stretch of its time.
// All times are event times.
type course struct {
	first  time.Time // of the first row judged
	clean  int       // rows that may be learned from
	next   int       // clean rows at which the next fit is due
	fitted time.Time // time of the newest row of the last fit
	width  int       // sensors in the newest row

	anomalous int       // rows in a row that may not be learned from, up to the newest
	since     time.Time // time of the first of them

	// Sensors that the model does not know.
	strangers int       // rows since the last fit in which one of them spoke
	joined    time.Time // time of the first of those rows
	refused   int       // how often a fit took none of them in
	begin     time.Time // no fit looks farther back: some of the sensors were not there then
	blind     bool      // in the newest row nothing was known of any sensor of the model

	// A person's word that how the machine is since joined is normal: rows since
	// then that a fit is to have. 0: there is no such word, or it was followed.
	renewed int
}

func newCourse() course { return course{next: firstRows} }

// count counts a judged row, in which so many of the model's sensors spoke.
func (c *course) count(r fettle.Reading, spoke int, judged, anomalous bool) {
	if c.first.IsZero() {
		c.first = r.Time
	}
	c.width, c.blind = len(r.Values), !judged
	if anomalous {
		if c.anomalous == 0 {
			c.since = r.Time
		}
		c.anomalous++
		return
	}
	c.anomalous = 0
	c.clean++
	if c.renewing() {
		c.strangers++
	} else if c.width > spoke && !c.fitted.IsZero() {
		if c.strangers == 0 {
			c.joined = r.Time
		}
		c.strangers++
	}
}

// due tells whether to fit now. Nothing is learned while the machine is
// different from how it was.
func (c *course) due(now time.Time, live *watch) bool {
	switch {
	case live == nil:
		return c.clean >= c.next
	case c.anomalous > 0:
		return c.outgrown(live)
	case c.welcome(live):
		return true
	case c.renewing():
		return false
	case c.long(now):
		return now.Sub(c.fitted) >= daily
	default:
		return c.clean >= c.next
	}
}

// outgrown tells whether a machine has been different for as many rows as its
// model was fitted on. Then there is more to say for how it is now than for how
// it was: a model of its first minutes, or of the time before a repair, would
// otherwise hold it in alarm for ever, because nothing is learned in an alarm.
func (c *course) outgrown(live *watch) bool { return c.anomalous >= live.rows }

// welcome tells whether to fit on the rows since a sensor joined, so that it is
// judged too. The model then begins with those rows, as it can only learn how
// sensors move together from rows that have them all; so they should be some
// part of what it was fitted on before, or a day. A model whose own sensors
// fell silent is not worth that patience.
func (c *course) welcome(live *watch) bool {
	if c.renewing() {
		return c.strangers >= c.renewed<<min(c.refused, 20)
	}
	if live.dims() == MaxSensors && !c.blind {
		return false
	}
	enough := firstRows
	if !c.blind {
		enough = fair(live)
	}
	return c.strangers >= enough<<min(c.refused, 20)
}

// fair is how many rows a model should be fitted on that begins anew, while the
// one before still serves.
func fair(live *watch) int {
	enough := max(firstRows, live.rows/4)
	if live.step > 0 {
		enough = min(enough, max(firstRows, int(daily/live.step)))
	}
	return enough
}

// renewing tells whether the machine's life began anew by a person's word, and
// no fit on it was made yet.
func (c *course) renewing() bool { return c.renewed > 0 }

// renew lets a machine's life begin anew at a time, since which there were so
// many rows. The model before may serve until there are fair many, if it
// explains them.
func (c *course) renew(since time.Time, rows int, explained bool, live *watch) {
	c.joined, c.begin, c.strangers, c.refused, c.anomalous = since, since, rows, 0, 0
	if c.renewed = firstRows; explained {
		c.renewed = fair(live)
	}
}

// long tells whether a fit cannot look back any farther.
func (c *course) long(now time.Time) bool {
	return now.Sub(c.first) >= lookBack || c.clean >= c.most()
}

// most is how many rows a fit reads at most.
func (c *course) most() int { return min(fitRows, fitReadings/max(c.width, 1)) }

// from is where the rows to fit on begin.
func (c *course) from(now time.Time, step time.Duration) time.Time {
	back := lookBack
	if step > 0 && time.Duration(c.most()) < lookBack/step {
		back = time.Duration(c.most()) * step
	}
	from := now.Add(-back)
	if from.Before(c.begin) {
		return c.begin
	}
	return from
}

// outgrew counts the rows of a time that was different as part of the machine's
// normal life.
func (c *course) outgrew() {
	c.clean += c.anomalous
	c.anomalous = 0
}

// succeeded plans the next fit.
func (c *course) succeeded(now time.Time) {
	c.fitted = now
	for c.next <= c.clean && c.next < math.MaxInt/2 {
		c.next *= 2
	}
}

// welcomed plans on after a fit on the rows since a sensor joined, or since a
// machine's life began anew, of which the model was fitted on so many: as for a
// machine that is new.
func (c *course) welcomed(rows int) {
	c.first, c.begin = c.joined, c.joined
	c.clean, c.next = rows, firstRows
	c.strangers, c.refused, c.renewed = 0, 0, 0
}

// failed plans the next try, ever more seldom.
func (c *course) failed(now time.Time) {
	if !c.fitted.IsZero() {
		c.succeeded(now)
		return
	}
	c.next = c.clean + max(firstRows, c.clean/2)
}
