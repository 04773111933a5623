package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fettle/internal/plant"
)

type simulateCmd struct {
	brokerFlags
	Profile     string        `default:"plant" enum:"plant,old,old-uniform" help:"plant: machines with load cycles, heat and wear; old, old-uniform: the two generators of the old system, message for message."`
	Machines    int           `default:"3" placeholder:"N" help:"How many machines, up to 10000 (default: ${default})."`
	Interval    time.Duration `default:"2s" help:"Time between a machine's readings."`
	AnomalyRate *float64      `placeholder:"SHARE" help:"Share of messages that are disturbed, 0 to 1. Default: 0.05 for the profile old, else 0."`
	Fault       []fault       `placeholder:"FAULT" help:"Something that goes wrong, as kind@start+duration[:machine[:sensor]]; may be repeated. Kinds: overcurrent, vibration, overheating, drift, stuck, gap, unitjump."`
	Seed        uint64        `default:"1" help:"The same seed makes the same readings."`
	Start       moment        `placeholder:"TIME" help:"Begin in the past, such as 36h, and go on in step with the clock once it has been reached."`
	Speed       speed         `default:"max" help:"How fast the past is played, such as 60x."`
	For         time.Duration `placeholder:"DURATION" help:"Stop after this time. Default: Ctrl-C stops."`
	QoS         *int          `name:"qos" placeholder:"0|1" help:"MQTT quality of service, instead of the profile's own."`
	JSON        bool          `help:"Print the summary as JSON."`
}

func (simulateCmd) Help() string {
	return examples(
		"fettle simulate                                  three machines, to the broker on this computer",
		"fettle simulate --for 30s --profile old          the old data generator, half a minute of it",
		"fettle simulate --machines 1000 --interval 10s   many machines",
		"fettle simulate --fault overheating@30s+90s:lathe-1-spindle",
		"fettle simulate --start 48h                      two days of history first, as fast as it goes",
		"fettle simulate --broker mqtts://broker.example:8883 --user press",
	)
}

// Validate checks what kong cannot.
func (c *simulateCmd) Validate() error {
	switch {
	case c.QoS != nil && (*c.QoS < 0 || *c.QoS > 1):
		return fmt.Errorf("--qos is %d; expected 0 or 1", *c.QoS)
	case c.Start.given() && c.Profile == string(plant.OldUniform):
		return fmt.Errorf("--start makes no sense with the profile %s, whose messages carry no time", c.Profile)
	case c.For < 0:
		return fmt.Errorf("--for is %v; expected a duration such as 30s", c.For)
	}
	return nil
}

func (c *simulateCmd) Run(ctx context.Context, out io.Writer) error {
	start := c.Start.time(time.Now())
	if !c.Start.given() {
		start = time.Now()
	}
	if start.After(time.Now()) {
		return usage(fmt.Errorf("--start is %s; expected a time in the past", start.Format(time.RFC3339)))
	}
	machines, err := c.plant(start)
	if err != nil {
		return usage(err)
	}
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	summary, err := c.publish(ctx, client, machines, start)
	return errors.Join(summary.print(out, c.JSON), err)
}

// plant makes the machines.
func (c *simulateCmd) plant(start time.Time) (*plant.Plant, error) {
	names, err := plant.Names(c.Machines)
	if err != nil {
		return nil, err
	}
	o := plant.Options{
		Profile: plant.Profile(c.Profile), Names: names, Seed: c.Seed, Start: start, Interval: c.Interval,
		AnomalyRate: plant.DefaultAnomalyRate(plant.Profile(c.Profile)),
	}
	if c.AnomalyRate != nil {
		o.AnomalyRate = *c.AnomalyRate
	}
	for _, f := range c.Fault {
		o.Faults = append(o.Faults, f.Fault)
	}
	return plant.New(o)
}

// publish sends tick after tick until the context ends: ticks of the past at
// the speed asked for, then each at its time.
func (c *simulateCmd) publish(ctx context.Context, to publisher, machines *plant.Plant, start time.Time) (*sent, error) {
	began := time.Now()
	summary := &sent{started: began}
	progress := newProgress(-1, "messages")
	defer progress.end()
	for {
		at, messages := machines.Next()
		// In the past the speed says when, in the present the clock does.
		due := began.Add(c.Speed.of(at.Sub(start)))
		if due.Before(at) {
			due = at
		}
		sleepUntil(ctx, due)
		if ctx.Err() != nil {
			return summary, summary.finish(ctx, to)
		}
		for _, m := range messages {
			if c.QoS != nil {
				m.QoS = byte(*c.QoS)
			}
			if err := summary.publish(ctx, to, m); err != nil && ctx.Err() == nil {
				return summary, err
			}
		}
		progress.step(len(messages), at)
	}
}
