package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"fettle"
	"fettle/internal/logfile"
)

type logsCmd struct {
	Part   string `arg:"" optional:"" help:"Only lines of this part: broker, readings, pipeline, verdict, forecast, models, training, influx, http."`
	Follow bool   `short:"f" help:"Go on with what comes, until Ctrl-C."`
	Lines  int    `short:"n" default:"100" help:"So many lines of before, at most."`
}

func (logsCmd) Help() string {
	return "Shows the log's file in the data folder (log.file), whether a server runs or not.\n\n" + examples(
		"fettle logs",
		"fettle logs broker -f",
		"fettle logs -n 1000",
	)
}

// Run shows lines, the oldest first.
func (c *logsCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	path := cfg.LogFile()
	switch _, err := os.Stat(path); {
	case c.Lines < 0:
		return usage(fmt.Errorf("-n is %d; expected 0 or more", c.Lines))
	case path == "":
		return fettle.Errorf(fettle.NotFound, "the log has no file: log.file is empty; a server's standard error has it")
	case err != nil && !c.Follow:
		return fettle.Errorf(fettle.NotFound, "there is no log yet: %w; `fettle serve` writes it, --data or FETTLE_DATA_DIR name another folder", err)
	}
	parts, shown := map[string]bool{}, false
	err = logfile.Show(ctx, path, logfile.What{Last: c.Lines, Follow: c.Follow, Wanted: func(line string) bool {
		part := partOf(line)
		parts[part] = true
		return c.Part == "" || part == c.Part
	}}, func(line string) error {
		shown = true
		_, err := fmt.Fprintln(out, line)
		return err
	})
	if err == nil && !shown && c.Part != "" && !c.Follow {
		delete(parts, "")
		return fettle.Errorf(fettle.NotFound, "no line of part %q in %s; there are lines of: %s", c.Part, path, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	return err
}

// partOf finds the part that a line of the log is of, in text and in JSON;
// empty if it is of none.
func partOf(line string) string {
	for _, mark := range []struct{ before, after string }{{" part=", " "}, {`"part":"`, `"`}} {
		if _, rest, found := strings.Cut(line, mark.before); found {
			part, _, _ := strings.Cut(rest, mark.after)
			return part
		}
	}
	return ""
}
