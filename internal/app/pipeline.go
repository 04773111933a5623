package app

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/broker"
	"fettle/internal/codec"
	"fettle/internal/events"
	"fettle/internal/forecast"
	"fettle/internal/ingest"
	"fettle/internal/readings"
	"fettle/internal/verdict"
)

// pipeline connects the stages: a reading goes all the way from a message to
// an alarm in this file, and nowhere else.
type pipeline struct {
	topics    *codec.Topics
	gate      *ingest.Gate
	readings  *readings.Store
	forecasts *forecast.Engine
	judge     *verdict.Judge
	alarms    *alarm.Book
	events    *events.Log
	broker    *broker.Broker
	awake     *wakeSet // machines with readings that the stages behind the gate have not seen
	curves    *wakeSet // machines whose newest reading nobody was shown yet
	rhythm    *rhythm
	turns     turns
	tried     func(forecast.Trial) error // a challenger was forecast in the shadow once more
	unit      func(sensor string) string
	now       func() time.Time
	log       *slog.Logger

	complained atomic.Int64 // unix seconds of the last machine that failed
}

// A message is what came in on a topic, from the embedded broker or another.
type message struct {
	from, topic string // from says which broker it was
	names       codec.Names
	payload     []byte
	qos         byte
	old         bool // retained by its broker: nobody knows since when
}

// receive takes a message of the embedded broker.
func (p *pipeline) receive(ctx context.Context, m broker.Message, done func(error)) {
	names, _ := p.topics.Match(m.Topic)
	p.take(ctx, message{from: "mqtt", topic: m.Topic, names: names, payload: m.Payload, qos: m.QoS}, done)
}

// take: a message becomes readings, is made durable, and only then acknowledged
// (by done with nil). What cannot be read is booked and acknowledged too:
// sending it again would not help.
func (p *pipeline) take(ctx context.Context, m message, done func(error)) {
	rows, err := codec.Decode(m.names, m.payload)
	if err != nil {
		p.gate.Refuse(m.from+" "+m.topic, m.payload, err)
	}
	if undated := func(r fettle.Reading) bool { return r.Time.IsZero() }; m.old && slices.ContainsFunc(rows, undated) {
		// The time of its arrival would be a lie.
		p.gate.Refuse(m.from+" "+m.topic, m.payload, fettle.BadField("retained without a time", "timestamp", "missing", "one, in a message that its broker has kept"))
		rows = slices.DeleteFunc(rows, undated)
	}
	switch {
	case len(rows) == 0:
		done(nil)
	case m.qos == 0:
		done(p.gate.Offer(rows))
	default:
		p.gate.Begin(ctx, rows, done)
	}
}

// committed: readings that are on disk wake what comes after, and wait for none
// of it.
func (p *pipeline) committed(rows []fettle.Reading) {
	p.awake.add(rows)
	p.curves.add(rows)
}

// show: a machine's newest reading goes to whoever watches.
func (p *pipeline) show(machine string) {
	if newest, err := p.readings.Last(machine, time.Time{}, 1); err == nil && len(newest) > 0 {
		p.say(fettle.EventReadings, machine, newest[0])
	}
}

// advance: a machine is brought up to a time. In the order of its own event
// time, rows are judged and forecasts made as they fall due, so that live data,
// back-fill and the replay of an old recording are one path.
func (p *pipeline) advance(ctx context.Context, machine string, until time.Time) error {
	for {
		tick, due := p.forecasts.Due(machine, until)
		if !due {
			p.forecastSwapped(ctx, machine)
			return p.judgeUntil(ctx, machine, until)
		}
		if err := p.judgeUntil(ctx, machine, tick.At); err != nil {
			return err
		}
		if err := p.forecastAt(ctx, machine, tick); err != nil {
			return err
		}
	}
}

// judgeUntil: rows become verdicts, verdicts become alarms.
func (p *pipeline) judgeUntil(ctx context.Context, machine string, until time.Time) error {
	return p.eachBlock(ctx, machine, p.judge.Cursor(machine), until, func(rows []fettle.Reading) error {
		defer p.turns.take(machine)()
		verdicts, err := p.judge.Judge(machine, rows)
		if err != nil {
			return err
		}
		if err := p.alarms.Apply(machine, verdicts, p.sentence); err != nil {
			return err
		}
		if len(verdicts) > 0 {
			p.say(fettle.EventVerdict, machine, verdicts[len(verdicts)-1])
		}
		return p.judge.Save(machine)
	})
}

// forecastAt: the champion of a forecaster looks ahead from a time, and the old
// rule judges what the short one sees there. A machine that cannot be forecast
// yet stops nothing.
func (p *pipeline) forecastAt(ctx context.Context, machine string, tick forecast.Tick) error {
	if _, err := p.forecasts.Learn(ctx, machine, tick, p.judge.Quarantined); err != nil {
		return err
	}
	made, err := p.forecasts.Forecast(ctx, machine, tick)
	if fettle.KindOf(err) == fettle.Unavailable {
		return nil // the engine remembers why, for whoever asks
	} else if err != nil {
		return err
	}
	if trial, found := p.forecasts.Trial(machine, tick.Forecaster); found {
		if err := p.tried(trial); err != nil { // the next tick asks again
			p.log.Warn("cannot decide on a challenger", "machine", machine, "model", trial.Model, "err", err)
		}
	}
	if tick.Forecaster != fettle.ShortForecaster {
		return nil
	}
	p.say(fettle.EventForecast, machine, made.Forecast)
	if anomaly, found := verdict.RangeRule(made.Forecast, made.Window, made.Scale); found {
		return p.judge.AddAnomaly(anomaly)
	}
	return nil
}

// forecastSwapped: a model that serves now, and did not when the newest forecast
// was made, makes it anew.
func (p *pipeline) forecastSwapped(ctx context.Context, machine string) {
	for _, made := range p.forecasts.Swapped(ctx, machine) {
		if made.Forecaster == fettle.ShortForecaster {
			p.say(fettle.EventForecast, machine, made.Forecast)
		}
	}
}

// alarmed: an alarm that changed goes to the event log and, retained, to MQTT.
// What goes out by e-mail and webhook is on its way already: it was queued in
// the alarm's own commit (alarm.Outbox), so that no crash can come between.
func (p *pipeline) alarmed(a fettle.Alarm) {
	p.say(fettle.EventAlarm, a.Machine, a)
	p.tell(a)
}
