package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/readings"
	"fettle/internal/verdict"
)

const (
	// block is how many rows are judged between two saves.
	block = 512
	// visitEvery is how often a machine is brought up to date at most. A visit
	// costs much the same for many new rows as for one, and a machine that sends
	// more often would take the processor from the gate.
	visitEvery = 100 * time.Millisecond
	// curveEvery thins the events of newest readings: a person sees no more.
	curveEvery = 20 * time.Millisecond
	// graceEvery is how often silent machines are looked for whose last row
	// still waits to be judged.
	graceEvery = time.Second
	// retryAfter is how long a machine rests whose stage failed, by a full disk
	// say.
	retryAfter = 5 * time.Second
)

// run keeps the stages behind the gate going until the context ends.
func (p *pipeline) run(ctx context.Context) error {
	for _, info := range p.readings.Machines() {
		p.awake.wake(info.Machine)
	}
	var workers errgroup.Group
	for range max(1, runtime.GOMAXPROCS(0)-1) { // a core stays with the gate
		workers.Go(func() error {
			p.awake.work(ctx, func(machine string) { p.advanceSafely(ctx, machine) })
			return nil
		})
	}
	workers.Go(func() error { return every(ctx, curveEvery, p.showCurves) })
	workers.Go(func() error { return every(ctx, graceEvery, p.wakeSilent) })
	return workers.Wait()
}

// advanceSafely brings one machine up to date. Its failure is its own: it is
// logged, and tried again after a rest.
func (p *pipeline) advanceSafely(ctx context.Context, machine string) {
	err := p.advance(ctx, machine, p.settled(machine))
	if err == nil || ctx.Err() != nil {
		p.awake.rest(machine, visitEvery)
		return
	}
	p.awake.rest(machine, retryAfter)
	p.awake.wake(machine)
	level := slog.LevelDebug // what stops one machine, a full disk say, stops them all
	if now := time.Now().Unix(); now-p.complained.Swap(now) >= int64(retryAfter.Seconds()) {
		level = slog.LevelError
	}
	p.log.Log(ctx, level, "machine is behind, will try again", "machine", machine, "err", err, "behind", p.awake.len())
}

// settled is the event time up to which a machine's rows are complete: all but
// the newest, which a second message may still add to, unless the machine has
// been silent for two of its steps.
//
// Rows ahead of the clock are left alone until their time has come. They may be
// of a clock that jumped, and the rows of the minutes until then must not find
// the judge gone ahead of them: it would never go back. A machine whose clock is
// always fast is judged late by as much, at most what the gate lets in; the
// status names it.
func (p *pipeline) settled(machine string) time.Time {
	info, _ := p.readings.Info(machine)
	now, before := p.now(), info.Last.Add(-time.Microsecond)
	switch {
	case info.Last.After(now):
		if rows, err := p.readings.Last(machine, now, 1); err == nil && len(rows) > 0 {
			return rows[0].Time
		}
		return p.judge.Cursor(machine)
	case now.Sub(p.gate.Arrived(machine)) > 2*p.rhythm.step(machine):
		return info.Last
	default:
		return before
	}
}

// wakeSilent wakes machines that went silent with their last row not judged, and
// those with rows whose time has come.
func (p *pipeline) wakeSilent() {
	now := p.now()
	for _, info := range p.readings.Machines() {
		cursor := p.judge.Cursor(info.Machine)
		if !cursor.Before(info.Last) {
			continue
		}
		if settled := p.settled(info.Machine); cursor.Before(settled) && (settled.Equal(info.Last) || info.Last.After(now)) {
			p.awake.wake(info.Machine)
		}
	}
}

// showCurves shows the newest reading of every machine that has a new one.
func (p *pipeline) showCurves() {
	for _, machine := range p.curves.drain() {
		p.show(machine)
	}
}

// every does something again and again until the context ends. It pauses longer
// after what took long, so that nothing of it takes more than a tenth of a core.
func every(ctx context.Context, pause time.Duration, do func()) error {
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		began := time.Now()
		do()
		next.Reset(max(pause, 9*time.Since(began)))
	}
}

// eachBlock hands over the rows after one time up to another, in blocks.
func (p *pipeline) eachBlock(ctx context.Context, machine string, after, until time.Time, do func([]fettle.Reading) error) error {
	rows := make([]fettle.Reading, 0, block)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := do(rows)
		rows = rows[:0]
		return err
	}
	err := p.readings.Range(machine, after.Add(time.Microsecond), until.Add(time.Microsecond), func(r fettle.Reading) error {
		if ctx.Err() != nil {
			return readings.Stop
		}
		if rows = append(rows, r); len(rows) == block {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// say writes an event. The change it tells of has happened either way, so what
// cannot be kept is only logged.
func (p *pipeline) say(kind fettle.EventKind, machine string, data any) {
	if err := p.events.Append(kind, machine, data); err != nil {
		p.log.Warn("event is not in the log", "machine", machine, "kind", kind, "err", err)
	}
}

func (p *pipeline) sentence(v fettle.Verdict) string { return verdict.Sentence(v.Causes, p.unit) }

// tell keeps the retained message about a machine on MQTT: its worst open
// alarm, or else the one that just ended. Nobody listening is no fault; the
// event log has it all the same.
func (p *pipeline) tell(a fettle.Alarm) {
	if p.broker == nil { // nobody is told of a past that is lived again
		return
	}
	if open := p.alarms.OpenOf(a.Machine); len(open) > 0 {
		a = open[0]
	}
	payload, err := json.Marshal(a)
	if err == nil {
		err = p.broker.Publish(alarmTopic(a.Machine), payload, true)
	}
	if err != nil {
		p.log.Warn("alarm is not on MQTT", "machine", a.Machine, "err", err)
	}
}

// alarmTopic is where a machine's alarm is told. Its name is one level there,
// escaped as in a URL's path, and so is the + that means something in MQTT only.
func alarmTopic(machine string) string {
	return "fettle/alarm/" + strings.ReplaceAll(url.PathEscape(machine), "+", "%2B")
}

// tellAll says again, after a restart, what was last said about each machine:
// what was open, and that the rest is over, for whoever was away when it ended.
func (p *pipeline) tellAll() {
	told := map[string]bool{}
	for _, a := range p.alarms.List(alarm.Filter{}) { // the newest first
		if !told[a.Machine] {
			told[a.Machine] = true
			p.tell(a)
		}
	}
}
