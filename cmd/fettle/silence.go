package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"time"

	"fettle"
)

type silenceCmd struct {
	Add  silenceAddCmd  `cmd:"" default:"withargs" help:"Tell nobody of a machine's alarms for a time."`
	List silenceListCmd `cmd:"" help:"List silences that are not over."`
	End  silenceEndCmd  `cmd:"" help:"End a machine's silences before their time."`
}

func (silenceCmd) Help() string {
	return "While a machine is silenced its alarms are raised, listed and cleared as ever, but no e-mail or webhook goes out, and nothing is learned from its readings. An alarm that lasts when the silence is over is told then. No silence is longer than 7 days.\n\n" + examples(
		"fettle silence press-3 --for 2h --why 'bearing is ordered'",
		"fettle silence press-3 --for 4h --service --why 'new bearing'",
		"fettle silence press-3 --from 2026-03-02T06:00:00Z --for 2h --service --why inspection",
		"fettle silence list",
		"fettle silence end press-3",
	)
}

type silenceAddCmd struct {
	Machine string        `arg:"" help:"Name of the machine."`
	For     time.Duration `required:"" placeholder:"DURATION" help:"How long, such as 2h; at most 168h."`
	Why     string        `required:"" placeholder:"TEXT" help:"The reason, for those who wonder."`
	Service bool          `help:"Somebody works on the machine."`
	From    string        `placeholder:"TIME" help:"When it begins, or began, such as 2026-03-02T06:00:00Z. Default: now."`
	By      string        `placeholder:"NAME" help:"Who asks for it. Default: who you are on this computer."`
	JSON    bool          `help:"Print JSON."`
}

// Run silences a machine.
func (c *silenceAddCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	wanted := map[string]any{"for": c.For.String(), "why": c.Why, "by": orYou(c.By), "kind": fettle.SilenceNotices}
	if c.Service {
		wanted["kind"] = fettle.SilenceService
	}
	if c.From != "" {
		from, err := time.Parse(time.RFC3339, c.From)
		if err != nil {
			return usage(fettle.BadField("bad time", "--from", c.From, "a time such as 2026-03-02T06:00:00Z"))
		}
		wanted["from"] = from
	}
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	var made fettle.Silence
	if err := server.call(ctx, http.MethodPost, "/api/v1/machines/"+url.PathEscape(c.Machine)+"/silences", wanted, &made); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, made)
	}
	_, err = fmt.Fprintf(out, "Nobody is told of alarms of %s from %s to %s. `fettle silence end %s` ends it.\n", made.Machine, localMinute(made.From), localMinute(made.Until), made.Machine)
	return err
}

// orYou is a name, or that of the user of this computer.
func orYou(name string) string {
	if name != "" {
		return name
	}
	if you, err := user.Current(); err == nil && you.Username != "" {
		return you.Username
	}
	if name, err := os.Hostname(); err == nil {
		return "somebody on " + name
	}
	return "somebody"
}

// localMinute writes a time for people, in their own zone.
func localMinute(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }

type silenceListCmd struct {
	All  bool `help:"Also those that are over."`
	JSON bool `help:"Print JSON."`
}

type silenceList struct {
	Silences []fettle.Silence `json:"silences"`
}

// Run lists silences.
func (c *silenceListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	state := "current"
	if c.All {
		state = "all"
	}
	var list silenceList
	if err := server.call(ctx, http.MethodGet, "/api/v1/silences?state="+state, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, list)
	}
	if len(list.Silences) == 0 {
		_, err := fmt.Fprintln(out, "No machine is silenced.")
		return err
	}
	t := newTable(out)
	t.row("MACHINE", "KIND", "FROM", "UNTIL", "BY", "WHY")
	for _, s := range list.Silences {
		t.row(s.Machine, s.Kind, localMinute(s.From), localMinute(s.Until), s.By, s.Why)
	}
	return t.Flush()
}

type silenceEndCmd struct {
	Machine string `arg:"" help:"Name of the machine."`
}

// Run ends all silences of a machine that are not over.
func (c *silenceEndCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	var list silenceList
	if err := server.call(ctx, http.MethodGet, "/api/v1/silences?machine="+url.QueryEscape(c.Machine), nil, &list); err != nil {
		return err
	}
	if len(list.Silences) == 0 {
		return fettle.Errorf(fettle.NotFound, "machine %q is not silenced; `fettle silence list` shows those that are", c.Machine)
	}
	for _, s := range list.Silences {
		if err := server.call(ctx, http.MethodDelete, fmt.Sprintf("/api/v1/silences/%d", s.ID), nil, nil); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "People are told of alarms of %s again.\n", c.Machine)
	return err
}
