package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"strings"

	"fettle"
)

type alarmCmd struct {
	List        alarmListCmd `cmd:"" help:"List alarms, the newest first."`
	Acknowledge alarmAckCmd  `cmd:"" help:"Say that somebody has seen an alarm."`
	Accept      alarmOkCmd   `cmd:"" help:"Say that what an alarm tells of is normal now."`
}

func (alarmCmd) Help() string {
	return "The server must be running.\n\nAccept is for a change that was meant, such as another product or a new part: the machine's alarms end, and from when the change began it is judged by how it is now. A machine that nobody accepts stays in alarm for as long as its model knew it before, 30 days at most.\n\n" + examples(
		"fettle alarm list",
		"fettle alarm list --state all --machine press-3",
		"fettle alarm acknowledge 17 --note 'bearing ordered'",
		"fettle alarm accept 17 --note 'runs the new product since Monday'",
	)
}

type alarmListCmd struct {
	State   string `enum:"open,unanswered,all" default:"open" help:"open: the condition lasts; unanswered: nobody has seen it, though it may be over; all."`
	Machine string `placeholder:"NAME" help:"Only those of this machine."`
	Limit   int    `default:"100" help:"At most so many."`
	JSON    bool   `help:"Print JSON."`
}

func (c *alarmListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return usage(fettle.BadField("bad limit", "--limit", strconv.Itoa(c.Limit), "1 to 10000"))
	}
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	query := url.Values{"state": {c.State}, "limit": {strconv.Itoa(c.Limit)}}
	if c.Machine != "" {
		query.Set("machine", c.Machine)
	}
	var list struct {
		Alarms []fettle.Alarm `json:"alarms"`
	}
	if err := server.call(ctx, http.MethodGet, "/api/v1/alarms?"+query.Encode(), nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, list.Alarms)
	}
	if len(list.Alarms) == 0 {
		none := map[string]string{"open": "No alarm is open.", "unanswered": "Every alarm is answered.", "all": "There has been no alarm yet."}
		_, err := fmt.Fprintln(out, none[c.State])
		return err
	}
	t := newTable(out)
	t.row("NUMBER", "MACHINE", "PRIORITY", "RAISED (UTC)", "STATE", "WHY")
	for _, a := range list.Alarms {
		t.row(a.ID, a.Machine, a.Priority, a.RaisedAt.UTC().Format("2006-01-02 15:04:05"), alarmState(a), a.Sentence)
	}
	return t.Flush()
}

// alarmState says where an alarm stands, and whose word it was.
func alarmState(a fettle.Alarm) string {
	switch {
	case a.AcceptedBy != "":
		return "normal now, said " + a.AcceptedBy
	case a.Unanswered():
		return string(a.State) + ", unanswered"
	case a.Open():
		return "acknowledged by " + a.AcknowledgedBy
	default:
		return "cleared, acknowledged by " + a.AcknowledgedBy
	}
}

type alarmAnswer struct {
	ID   uint64 `arg:"" name:"number" help:"Number of the alarm, as alarm list prints it."`
	By   string `placeholder:"NAME" help:"Who says so. Default: the user at this computer."`
	Note string `placeholder:"TEXT" help:"What there is to say."`
	JSON bool   `help:"Print JSON."`
}

type alarmAckCmd struct{ alarmAnswer }

func (c *alarmAckCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return c.say(ctx, g, out, "acknowledge", func(a fettle.Alarm) string {
		return fmt.Sprintf("Alarm %d of %s is acknowledged by %s.", a.ID, a.Machine, a.AcknowledgedBy)
	})
}

type alarmOkCmd struct{ alarmAnswer }

func (c *alarmOkCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return c.say(ctx, g, out, "accept", func(a fettle.Alarm) string {
		return fmt.Sprintf("How %s has been since %s is normal now. Its alarms have ended; models learn from it from now on.", a.Machine, stamp(a.RaisedAt))
	})
}

func (c *alarmAnswer) say(ctx context.Context, g *globals, out io.Writer, verb string, done func(fettle.Alarm) string) error {
	server, err := g.server(ctx)
	if err != nil {
		return err
	}
	var a fettle.Alarm
	in := map[string]string{"by": cmp.Or(strings.TrimSpace(c.By), localUser()), "note": c.Note}
	if err := server.call(ctx, http.MethodPost, fmt.Sprintf("/api/v1/alarms/%d/%s", c.ID, verb), in, &a); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, a)
	}
	_, err = fmt.Fprintln(out, done(a))
	return err
}

// localUser is who types; the command line, if the computer does not tell.
func localUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return fettle.Shorten(u.Username)
	}
	return "command line"
}
