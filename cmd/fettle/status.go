package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"fettle/internal/api"
)

type statusCmd struct {
	Resources bool `help:"Only what the server takes of the computer."`
	Disk      bool `help:"Only the disk."`
	Watch     bool `help:"Again every two seconds, until Ctrl-C."`
	JSON      bool `help:"Print JSON."`
}

func (statusCmd) Help() string {
	return "Asks the server that holds the data folder. Without one it fails, with exit code 1.\n\n" + examples(
		"fettle status",
		"fettle status --watch",
		"fettle status --resources --json",
	)
}

// watchEvery is the time between two looks of --watch.
const watchEvery = 2 * time.Second

func (c *statusCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	for {
		server, err := mustFindServer(ctx, cfg.Data.Dir)
		if err != nil {
			return err
		}
		var s api.Status
		err = server.call(ctx, "GET", "/api/v1/status", nil, &s)
		if err == nil {
			err = c.print(out, s)
		}
		if err != nil || !c.Watch {
			return err
		}
		sleepUntil(ctx, time.Now().Add(watchEvery))
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (c *statusCmd) print(out io.Writer, s api.Status) error {
	if c.Watch && !c.JSON && isTerminal(os.Stdout) {
		fmt.Fprint(out, "\x1b[H\x1b[2J") // to the top of an empty screen
	}
	if c.JSON {
		return printJSON(out, c.asked(s))
	}
	t := newTable(out)
	all := !c.Resources && !c.Disk
	if all {
		printServer(t, s)
		printParts(t, s.Parts)
		printOutside(t, s.OutsideBrokers)
		printMachines(t, s.Machines)
	}
	if all || c.Resources {
		printResources(t, s.Resources)
	}
	if all || c.Disk {
		printDisk(t, s)
	}
	return t.Flush()
}

// asked is the part of a status that the flags ask for.
func (c *statusCmd) asked(s api.Status) any {
	if c.Resources || c.Disk {
		return s.Resources
	}
	return s
}

func printServer(t table, s api.Status) {
	t.row("fettle "+s.Version, fmt.Sprintf("up %s, pid %d, data in %s", duration(s.UptimeSeconds), s.PID, s.DataDir))
	for _, address := range []struct{ name, at string }{
		{"page and API", s.Addresses.HTTP}, {"with a key", s.Addresses.KeyedHTTP}, {"from outside", s.Addresses.Public}, {"MQTT", s.Addresses.MQTT}, {"websockets", s.Addresses.WebSocket},
		{"MQTT over TLS", s.Addresses.MQTTS}, {"websockets over TLS", s.Addresses.WSS},
	} {
		if address.at != "" {
			t.row("  "+address.name, address.at)
		}
	}
}

func printParts(t table, parts []api.Part) {
	t.row()
	t.row("PART", "STATE", "RATE", "")
	for _, p := range parts {
		rates := ""
		for i, r := range p.Rates {
			if i > 0 {
				rates += ", "
			}
			rates += fmt.Sprintf("%.1f %s/s", r.PerSecond, r.Name)
		}
		if rates == "" {
			rates = "-"
		}
		t.row(p.Name, p.State, rates, p.Detail)
	}
}

func printOutside(t table, brokers []api.OutsideBroker) {
	if len(brokers) == 0 {
		return
	}
	t.row()
	t.row("OUTSIDE BROKER", "STATE", "SINCE (UTC)", "RECEIVED", "ACKNOWLEDGED", "LAG", "LAST ERROR")
	for _, b := range brokers {
		state, last := "away", "-"
		if b.Connected {
			state = "MQTT " + b.Protocol
		}
		if b.LastErrorAt != nil {
			last = stamp(*b.LastErrorAt) + " " + b.LastError
		}
		t.row(b.Name, state, stamp(b.Since), b.Received, b.Acknowledged, duration(b.LagSeconds), last)
	}
}

// mostMachines bounds the lines of machines; those that need people come first.
const mostMachines = 100

func printMachines(t table, machines []api.MachineStatus) {
	t.row()
	if len(machines) == 0 {
		t.row("No machine has sent anything yet.")
		return
	}
	t.row("MACHINE", "STATE", "LAST READING (UTC)", "EVERY", "MODEL", "NEXT FORECAST (UTC)")
	for _, m := range machines[:min(len(machines), mostMachines)] {
		model, next := m.Model, "-"
		if model == "" {
			model = "-"
		}
		if m.NextForecast != nil {
			next = stamp(*m.NextForecast)
		}
		t.row(m.Name, m.State, stamp(m.Last), duration(m.StepSeconds), model, next)
	}
	if more := len(machines) - mostMachines; more > 0 {
		t.row(fmt.Sprintf("and %d more, which --json lists", more))
	}
}

func printResources(t table, r api.Resources) {
	t.row()
	t.row("CPU", fmt.Sprintf("%.1f %% of one core of %d", r.CPUPercent, r.Cores))
	t.row("memory", fmt.Sprintf("%s resident, %s of it on the heap", size(r.ResidentBytes), size(r.HeapBytes)))
}

func printDisk(t table, s api.Status) {
	t.row("disk", fmt.Sprintf("%s in %s, %s free", size(s.Resources.DiskBytes), s.DataDir, size(s.Resources.DiskFreeBytes)))
}
