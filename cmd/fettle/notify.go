package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fettle"
	"fettle/internal/notify"
)

type notifyCmd struct {
	List   notifyListCmd   `cmd:"" help:"List who is told about alarms, how that goes, and what was given up."`
	Test   notifyTestCmd   `cmd:"" help:"Send a test message."`
	Resend notifyResendCmd `cmd:"" help:"Send again what was given up."`
}

func (notifyCmd) Help() string {
	return examples(
		"fettle notify list                 every e-mail address and webhook",
		"fettle notify test                 a test message to all of them",
		"fettle notify test maintenance     to one receiver",
		"fettle notify resend               what was given up, to all who did not get it",
		"fettle notify resend --number 17   one message of notify list",
	) + "\n\nThe server must be running. Receivers are in the configuration: notify.receivers and smtp; docs/notices.md tells how."
}

type notifyListCmd struct {
	JSON bool `help:"Print JSON."`
}

type noticeAnswer struct {
	Receivers []notify.AddressStatus `json:"receivers"`
	Dead      []notify.DeadLetter    `json:"dead"`
}

func (c *notifyListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	var list noticeAnswer
	if err := server.call(ctx, http.MethodGet, "/api/v1/notices", nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, list)
	}
	if len(list.Receivers) == 0 {
		fmt.Fprintln(out, "There are no receivers; docs/notices.md tells how to add one.")
	} else {
		t := newTable(out)
		t.row("RECEIVER", "TO", "WAITING", "SENT", "GIVEN UP", "LAST OK (UTC)", "NEXT (UTC)", "LAST ERROR")
		for _, s := range list.Receivers {
			t.row(s.Receiver, s.To, s.Waiting, s.Sent, s.Dead, minute(s.LastOK), minute(s.Next), lastError(s))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return printDead(out, list.Dead)
}

func printDead(out io.Writer, dead []notify.DeadLetter) error {
	if len(dead) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nGiven up:")
	t := newTable(out)
	t.row("NUMBER", "WHEN (UTC)", "RECEIVER", "NOTICES", "MACHINES", "WHY")
	for _, d := range dead {
		t.row(d.Number, minute(&d.Time), strings.TrimSpace(d.Receiver+" "+d.To), d.Notices, strings.Join(d.Machines, " "), d.Error)
	}
	return t.Flush()
}

// lastError shows an error that is newer than the last success.
func lastError(s notify.AddressStatus) string {
	if s.LastErrorAt == nil || s.LastOK != nil && s.LastOK.After(*s.LastErrorAt) {
		return "-"
	}
	return s.LastError
}

func minute(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

type notifyTestCmd struct {
	Receiver string `arg:"" optional:"" help:"Name of the receiver; all without it."`
}

func (c *notifyTestCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	wanted := struct {
		Receiver string `json:"receiver,omitempty"`
	}{c.Receiver}
	var answer struct{ Results []notify.Tested }
	if err := server.call(ctx, http.MethodPost, "/api/v1/notices/test", wanted, &answer); err != nil {
		return err
	}
	failed := 0
	t := newTable(out)
	for _, r := range answer.Results {
		said := "taken"
		if r.Error != "" {
			said = r.Error
			failed++
		}
		t.row(r.Receiver, r.To, said)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fettle.Errorf(fettle.Unavailable, "%d of %d test messages were not taken", failed, len(answer.Results))
	}
	return nil
}

type notifyResendCmd struct {
	Receiver string `arg:"" optional:"" help:"Name of the receiver; all without it."`
	Number   uint64 `placeholder:"N" help:"Only the message of this number, as notify list has it."`
}

func (c *notifyResendCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	wanted := struct {
		Receiver string `json:"receiver,omitempty"`
		Number   uint64 `json:"number,omitempty"`
	}{c.Receiver, c.Number}
	var answer struct{ Results []notify.Resent }
	if err := server.call(ctx, http.MethodPost, "/api/v1/notices/resend", wanted, &answer); err != nil {
		return err
	}
	failed := 0
	t := newTable(out)
	for _, r := range answer.Results {
		said := fmt.Sprintf("%d notices wait to be sent", r.Notices)
		if r.Error != "" {
			said = r.Error
			failed++
		}
		t.row(r.Number, strings.TrimSpace(r.Receiver+" "+r.To), said)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fettle.Errorf(fettle.Unavailable, "%d of %d messages cannot be sent again", failed, len(answer.Results))
	}
	return nil
}
