package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/tunnel"
)

type tunnelCmd struct {
	Quick  tunnelQuickCmd  `cmd:"" help:"Reach the server from outside for now, at a new address each time."`
	Setup  tunnelSetupCmd  `cmd:"" help:"Make a named tunnel: sign in, make it, name it, write its configuration."`
	Run    tunnelRunCmd    `cmd:"" help:"Run a named tunnel for now."`
	Status tunnelStatusCmd `cmd:"" help:"Tell how the tunnel is doing, and what cloudflared has here."`
	List   tunnelListCmd   `cmd:"" help:"List the tunnels of the account."`
}

func (tunnelCmd) Help() string {
	return "A tunnel makes the page and the API reachable from outside, encrypted, without an opening in the firewall. " +
		"cloudflared makes it; fettle never downloads that, but keeps it running, always towards the listener that asks everybody for a key.\n\n" + examples(
		"fettle key create phone                                what everybody outside needs",
		"fettle tunnel quick                                    a public address until Ctrl-C",
		"fettle tunnel setup plant --hostname iot.example.com   an address of your own, once",
		"fettle tunnel run plant                                that one, until Ctrl-C",
		"FETTLE_TUNNEL_MODE=quick fettle serve                  the server keeps a tunnel itself",
		"fettle tunnel status",
	)
}

type tunnelQuickCmd struct {
	JSON bool `help:"Print each state as a line of JSON."`
}

func (c *tunnelQuickCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return holdTunnel(ctx, g, out, heldTunnel{Kind: tunnel.Quick, json: c.JSON})
}

type tunnelRunCmd struct {
	Name string `arg:"" optional:"" help:"The tunnel. Default: tunnel.name of the configuration."`
	JSON bool   `help:"Print each state as a line of JSON."`
}

func (c *tunnelRunCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return holdTunnel(ctx, g, out, heldTunnel{Kind: tunnel.Named, Name: c.Name, json: c.JSON})
}

// heldTunnel is what the server is asked to keep.
type heldTunnel struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	json bool
}

// holdTunnel has the server keep a tunnel until Ctrl-C, and tells of it.
func holdTunnel(ctx context.Context, g *globals, out io.Writer, wish heldTunnel) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	server, err := findServer(ctx, cfg.Data.Dir)
	if fettle.KindOf(err) == fettle.NotFound {
		return fettle.Errorf(fettle.NotFound, "no server runs on %s to which a tunnel could lead: %w. `fettle serve` starts one; with tunnel.mode it keeps a tunnel itself%s", cfg.Data.Dir, err, demoHere(cfg.Data.Dir))
	}
	if err != nil {
		return err
	}
	states, err := server.open(ctx, http.MethodPost, "/api/v1/tunnel", wish)
	if err != nil {
		return err
	}
	defer states.Close()
	lines := bufio.NewScanner(states)
	for lines.Scan() {
		var s fettle.Tunnel
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("read what the server tells of the tunnel: %w", err)
		}
		if wish.json {
			fmt.Fprintln(out, lines.Text())
		} else {
			fmt.Fprintln(out, announceTunnel(s))
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(fettle.Errorf(fettle.Unavailable, "the server has stopped, and the tunnel with it"), lines.Err())
}

// tellTunnel is a state for people.
func tellTunnel(s fettle.Tunnel) string {
	text := string(s.State)
	if s.Outside == fettle.OutsideReached {
		text += ", reached from outside"
	}
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// announceTunnel is a state as it is told when it comes: a new address stands
// in a box.
func announceTunnel(s fettle.Tunnel) string {
	if s.State != fettle.TunnelUp || s.URL == "" || s.Outside != fettle.OutsideUnknown || s.Detail != "" {
		return tellTunnel(s)
	}
	line := "+" + strings.Repeat("-", len(s.URL)+4) + "+"
	return line + "\n|  " + s.URL + "  |\n" + line + "\nUp; it may take a minute to be known everywhere. Ctrl-C ends it."
}

type tunnelSetupCmd struct {
	Name     string `arg:"" help:"Name of the tunnel, such as iot-predictive-maintenance."`
	Hostname string `placeholder:"HOST" help:"Its public name, in a domain that is at Cloudflare. May be left out if an existing configuration has one."`
}

func (tunnelSetupCmd) Help() string {
	return "Each step looks first whether it is done: the same command again goes on where it was. Files of cloudflared that are there are used, and never changed. It starts nothing.\n\n" + examples(
		"fettle tunnel setup plant --hostname iot-api.example.com",
		"fettle tunnel run plant                    until Ctrl-C; or let the server keep it:",
		"FETTLE_TUNNEL_MODE=named FETTLE_TUNNEL_NAME=plant fettle serve",
	)
}

func (c *tunnelSetupCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	if strings.HasPrefix(c.Name, "-") || strings.HasPrefix(c.Hostname, "-") {
		return usage(fettle.BadField("bad name", "NAME", c.Name, "a name that does not begin with -"))
	}
	cfg, err := g.config()
	if err != nil {
		return err
	}
	at := tunnelListeners(cfg)
	if at.Keyed == "" {
		return fettle.Errorf(fettle.Conflict, "http.keyed_listen is off, and a tunnel leads nowhere else; set it, to 127.0.0.1:8001 say")
	}
	result, err := tunnel.Setup{
		Name: c.Name, Hostname: c.Hostname, Binary: cfg.Tunnel.Binary, Listeners: at, Places: tunnel.SystemPlaces(), Folder: cfg.Data.Tunnel(),
		Terminal: os.Stderr,
		Say:      func(format string, args ...any) { fmt.Fprintf(out, "- "+format+"\n", args...) },
	}.Run(ctx)
	if err != nil {
		return err
	}
	if host := at.Hostname(result.File); host != "" {
		fmt.Fprintf(out, "The tunnel %s leads https://%s to http://%s.\n", c.Name, host, at.Keyed)
	}
	if result.Service != nil {
		fmt.Fprintf(out, "The service %s is installed already (%s); fettle does not start its tunnel a second time.\n", result.Service.Name, result.Service.Unit)
	}
	_, err = fmt.Fprintf(out, "Next: `fettle key create NAME` if there is no key yet, then `fettle tunnel run %s`, or tunnel.mode: named and tunnel.name: %s for the server to keep it.\n", c.Name, c.Name)
	return err
}

// tunnelListeners are the server's addresses if it runs, else the configured
// ones.
func tunnelListeners(cfg config.Config) tunnel.Listeners {
	at := tunnel.Listeners{Keyed: cfg.HTTP.KeyedListen, Open: cfg.HTTP.Listen}
	if note, err := config.ReadServer(cfg.Data.Dir); err == nil {
		at = tunnel.Listeners{Keyed: note.KeyedHTTP, Open: note.HTTP}
	}
	return at
}

type tunnelListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *tunnelListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	path, err := tunnel.Find(cfg.Tunnel.Binary)
	if err != nil {
		return err
	}
	list, err := tunnel.Cloudflared{Path: path}.List(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "There are no tunnels; `fettle tunnel setup NAME` makes one.")
		return err
	}
	t := newTable(out)
	t.row("NAME", "ID", "CREATED (UTC)", "CONNECTIONS")
	for _, one := range list {
		t.row(one.Name, one.ID, one.CreatedAt.UTC().Format("2006-01-02 15:04"), one.Connections)
	}
	return t.Flush()
}
