package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/app"
	"fettle/internal/config"
	"fettle/internal/plant"
	"fettle/internal/train"
)

// demoBudget is how long a demo trains one machine: three of them are done in a
// quarter of an hour.
const demoBudget = 4 * time.Minute

// demoDir is where a demo keeps its data unless told otherwise.
const demoDir = "./fettle-demo"

type demoCmd struct {
	Dir     string        `default:"${demo_dir}" placeholder:"DIR" help:"Folder of the demo's own data (default: ${default}); --data says the same."`
	History time.Duration `default:"72h" help:"How much of the past is filled in first (default: ${default})."`
	Fault   []fault       `default:"overheating@45s+90s:lathe-1-spindle" placeholder:"FAULT" help:"What goes wrong, as kind@start+duration[:machine[:sensor]], counted from the start of the live part; may be repeated (default: ${default}). Kinds: overcurrent, vibration, overheating, drift, stuck, gap, unitjump."`
	Lapse   time.Duration `placeholder:"DURATION" help:"Play the last stretch before now at ten times the speed of life, instead of filling it in; such as 6m."`
	HTTP    string        `placeholder:"ADDRESS" help:"Address of the page, instead of 127.0.0.1:8000; port 0 takes a free one."`
	MQTT    string        `name:"mqtt" placeholder:"ADDRESS" help:"Address of the broker, instead of 127.0.0.1:1883; port 0 takes a free one."`
	For     time.Duration `placeholder:"DURATION" help:"Stop after this time. Default: Ctrl-C stops."`
}

func (demoCmd) Help() string {
	return examples(
		"fettle demo                              three machines; open http://127.0.0.1:8000",
		"fettle demo --for 30s                    half a minute of it",
		"fettle demo --fault vibration@20s+2m:robot-arm-02    another fault",
		"fettle demo --http 127.0.0.1:0 --mqtt 127.0.0.1:0    where the usual ports are taken",
		"fettle status --data "+demoDir+"      from another terminal: how it is doing",
	)
}

// longestHistory bounds what is filled in: 13 million readings.
const longestHistory = 100 * 24 * time.Hour

// Validate checks what kong cannot.
func (c *demoCmd) Validate() error {
	switch {
	case c.History < 0 || c.History > longestHistory:
		return fmt.Errorf("--history is %v; expected a duration from 0s to %v", c.History, longestHistory)
	case c.Lapse < 0 || c.Lapse > longestHistory:
		return fmt.Errorf("--lapse is %v; expected a duration from 0s to %v", c.Lapse, longestHistory)
	case c.For < 0:
		return fmt.Errorf("--for is %v; expected a duration such as 30s", c.For)
	}
	return nil
}

// lapseSpeed is how much faster than life --lapse plays.
const lapseSpeed speed = 10

// Run serves three simulated machines: their past goes through the gate as fast
// as it takes it, their present over MQTT as from real sensors.
func (c *demoCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	live := time.Now().UTC().Truncate(plant.DefaultInterval).Add(-c.Lapse)
	machines, err := c.plant(live)
	if err != nil {
		return usage(err)
	}
	log, err := openLog(os.Stderr, cfg)
	if err != nil {
		return err
	}
	defer log.Close()
	server, err := app.New(cfg, versionText(), log.Logger)
	if fettle.KindOf(err) == fettle.Conflict {
		return fmt.Errorf("%w; for a demo, --dir names another folder", err)
	}
	if err != nil {
		return err
	}
	server.Level = log.level
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	parts, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts.Go(func() error {
		defer end() // fettle stop ends the server alone
		return server.Run(ctx)
	})
	parts.Go(func() error {
		if err := c.play(ctx, out, server, machines, live); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	err = parts.Wait()
	if busy := new(net.OpError); errors.As(err, &busy) && busy.Op == "listen" {
		return fmt.Errorf("%w; for a demo, --http 127.0.0.1:0 --mqtt 127.0.0.1:0 take free ports", err)
	}
	return err
}

// config is the user's, with a folder and addresses of the demo's own.
func (c *demoCmd) config(g *globals) (config.Config, error) {
	cfg, err := g.config()
	if err != nil {
		return config.Config{}, err
	}
	if g.Data != "" {
		c.Dir = g.Data
	}
	cfg.Data.Dir = c.Dir
	cfg.Log.Level = "warn"
	cfg.Tunnel.Mode = "off" // what is shown to others is not the demo, unless a command asks for it
	cfg.Training.Budget = min(cfg.Training.Budget, config.Duration(demoBudget))
	if c.HTTP != "" {
		cfg.HTTP.Listen, cfg.HTTP.KeyedListen = c.HTTP, ""
	}
	if c.MQTT != "" {
		cfg.MQTT.Listen, cfg.MQTT.WebSocket = c.MQTT, ""
	}
	return cfg, nil
}

// play waits for the server, fills in the past and goes on with the present.
func (c *demoCmd) play(ctx context.Context, out io.Writer, server *app.App, machines *plant.Plant, live time.Time) error {
	select {
	case <-server.Ready():
	case <-ctx.Done():
		return nil
	}
	first, err := c.fillIn(ctx, server, machines, live)
	if err != nil {
		return err
	}
	c.tell(out, server.Addresses(), live)
	if err := server.Train(fettle.ShortForecaster, train.ByDemo); err != nil {
		note("No model is trained yet: %v", err)
	} else {
		fmt.Fprintf(out, "Training models in the background: fettle train status --data %s\n", c.Dir)
	}
	return c.goOn(ctx, server, machines, first, live)
}

// tell says where to look, and what will happen.
func (c *demoCmd) tell(out io.Writer, at api.Addresses, live time.Time) {
	fmt.Fprintf(out, "\nPage    http://%s\nMQTT    mqtt://%s   (more machines: fettle simulate --broker mqtt://%s --machines 5)\n", at.HTTP, at.MQTT, at.MQTT)
	fmt.Fprintf(out, "Status  fettle status --data %s\nStop    Ctrl-C; the data stays in %s\n\n", c.Dir, c.Dir)
	began := time.Now()
	for _, f := range c.Fault {
		due := dueAt(began, live, live.Add(f.After))
		fmt.Fprintf(out, "In %s, at %s: %s of %s, for %s\n", duration(due.Sub(began).Seconds()), due.Local().Format(time.TimeOnly), f.Kind, f.Machine, duration(f.For.Seconds()))
	}
}

// plant makes the machines; faults count from the start of the live part.
func (c *demoCmd) plant(live time.Time) (*plant.Plant, error) {
	o := plant.Options{Profile: plant.Physical, Start: live.Add(-c.History), Seed: 1}
	for _, f := range c.Fault {
		f.After += c.History
		o.Faults = append(o.Faults, f.Fault)
	}
	return plant.New(o)
}

// fillBatch is how many readings of the past are committed at once.
const fillBatch = 3_000

// fillIn stores what the machines said before the live part, as far as it is
// not there from an earlier demo, and returns the first tick of the live part.
func (c *demoCmd) fillIn(ctx context.Context, server *app.App, machines *plant.Plant, live time.Time) (tick, error) {
	if c.History > 0 {
		note("Filling in the last %s of three machines.", duration(c.History.Seconds()))
	}
	progress := newProgress(3*int64(c.History/plant.DefaultInterval), "readings")
	defer progress.end()
	var batch []fettle.Reading
	for {
		at, messages := machines.Next()
		if !at.Before(live) || len(batch) >= fillBatch {
			if err := server.Submit(ctx, batch); err != nil {
				return tick{}, fmt.Errorf("fill in the past: %w", err)
			}
			progress.step(len(batch), at)
			batch = nil // the gate owns what it was given
		}
		if !at.Before(live) {
			return tick{at, messages}, nil
		}
		for _, m := range messages {
			if at.After(server.Last(m.Reading.Machine)) {
				batch = append(batch, m.Reading)
			}
		}
	}
}

// dueAt is when a tick of the live part is played: in step with the clock, or,
// while that is ahead, at the lapse's speed.
func dueAt(began, live, tick time.Time) time.Time {
	due := began.Add(lapseSpeed.of(tick.Sub(live)))
	if due.Before(tick) {
		return tick
	}
	return due
}

// A tick is what all machines say at one time.
type tick struct {
	at       time.Time
	messages []plant.Message
}

// goOn publishes tick after tick over MQTT, each at its time.
func (c *demoCmd) goOn(ctx context.Context, server *app.App, machines *plant.Plant, next tick, live time.Time) error {
	client, err := brokerFlags{Broker: "mqtt://" + server.Addresses().MQTT}.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	began := time.Now()
	for ctx.Err() == nil {
		sleepUntil(ctx, dueAt(began, live, next.at))
		for _, m := range next.messages {
			if err := client.Publish(ctx, m.Topic, m.Payload, m.QoS); err != nil {
				return errors.Join(err, ctx.Err())
			}
		}
		next.at, next.messages = machines.Next()
	}
	return nil
}
