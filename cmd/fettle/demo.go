package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/app"
	"fettle/internal/config"
	"fettle/internal/plant"
)

type demoCmd struct {
	Dir     string        `default:"./fettle-demo" placeholder:"DIR" help:"Folder of the demo's own data (default: ${default})."`
	History time.Duration `default:"72h" help:"How much of the past is filled in first (default: ${default})."`
	Fault   []fault       `default:"overheating@45s+90s:lathe-1-spindle" placeholder:"FAULT" help:"What goes wrong, counted from the start of the live part; may be repeated (default: ${default})."`
	Lapse   time.Duration `placeholder:"DURATION" help:"Play the last stretch before now at ten times the speed of life, instead of filling it in."`
	HTTP    string        `placeholder:"ADDRESS" help:"Address of the page, instead of 127.0.0.1:8000; port 0 takes a free one."`
	MQTT    string        `name:"mqtt" placeholder:"ADDRESS" help:"Address of the broker, instead of 127.0.0.1:1883; port 0 takes a free one."`
	For     time.Duration `placeholder:"DURATION" help:"Stop after this time. Default: Ctrl-C stops."`
}

func (demoCmd) Help() string {
	return examples(
		"fettle demo                              three machines; open http://127.0.0.1:8000",
		"fettle demo --for 30s                    half a minute of it",
		"fettle demo --http 127.0.0.1:0 --mqtt 127.0.0.1:0    where the usual ports are taken",
		"fettle demo --fault vibration@20s+2m:robot-arm-02",
	)
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
	server, err := app.New(cfg, versionText(), newLogger(os.Stderr, cfg.Log))
	if err != nil {
		return err
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return server.Run(ctx) })
	parts.Go(func() error {
		if err := c.play(ctx, out, server); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return parts.Wait()
}

// config is the user's, with a folder and addresses of the demo's own.
func (c *demoCmd) config(g *globals) (config.Config, error) {
	cfg, err := g.config()
	if err != nil {
		return config.Config{}, err
	}
	cfg.Data.Dir = c.Dir
	cfg.Log.Level = "warn"
	if c.HTTP != "" {
		cfg.HTTP.Listen, cfg.HTTP.KeyedListen = c.HTTP, ""
	}
	if c.MQTT != "" {
		cfg.MQTT.Listen, cfg.MQTT.WebSocket = c.MQTT, ""
	}
	return cfg, nil
}

// play waits for the server, fills in the past and goes on with the present.
func (c *demoCmd) play(ctx context.Context, out io.Writer, server *app.App) error {
	select {
	case <-server.Ready():
	case <-ctx.Done():
		return nil
	}
	live := time.Now().UTC().Truncate(plant.DefaultInterval).Add(-c.Lapse)
	machines, err := c.plant(live)
	if err != nil {
		return err
	}
	first, err := c.fillIn(ctx, server, machines, live)
	if err != nil {
		return err
	}
	at := server.Addresses()
	fmt.Fprintf(out, "\nLook at    http://%s\nMQTT       %s (try: fettle simulate --broker mqtt://%s --machines 5)\nHow it is  fettle --data %s status\nStop       Ctrl-C; the data stays in %s\n\n",
		at.HTTP, at.MQTT, at.MQTT, c.Dir, c.Dir)
	for _, f := range c.Fault {
		fmt.Fprintf(out, "At %s: %s of %s, for %s\n", live.Add(f.After).Local().Format(time.TimeOnly), f.Kind, f.Machine, f.For)
	}
	return c.goOn(ctx, server, machines, first, live)
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
		due := began.Add(lapseSpeed.of(next.at.Sub(live)))
		if due.Before(next.at) {
			due = next.at
		}
		sleepUntil(ctx, due)
		for _, m := range next.messages {
			if err := client.Publish(ctx, m.Topic, m.Payload, m.QoS); err != nil {
				return errors.Join(err, ctx.Err())
			}
		}
		next.at, next.messages = machines.Next()
	}
	return nil
}
