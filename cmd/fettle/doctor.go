package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"fettle/internal/config"
	"fettle/internal/doctor"
)

type doctorCmd struct {
	JSON bool `help:"Print JSON."`
}

func (doctorCmd) Help() string {
	return "Looks everything over and says what to do: server, ports, tunnel, keys, clock, disk, memory, broker, neighbours, machines, models, training. " +
		"It asks the server that holds the data folder; without one it opens the folder itself. It repairs nothing.\n\n" +
		"Examples:\n\n    fettle doctor\n    fettle doctor --json\n\nExit codes: 0 all is well, 1 there are warnings, 2 there are errors (or wrong usage)."
}

// Run examines, prints, and ends with the report's exit code.
func (c *doctorCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return printReport(out, examine(ctx, g), c.JSON)
}

func examine(ctx context.Context, g *globals) doctor.Report {
	cfg, err := g.config()
	if err != nil {
		return doctor.Report{{Check: "settings", State: doctor.Error, Says: err.Error(), Do: "correct them; docs/config.md lists them all"}}
	}
	patient := doctor.Patient{Config: cfg, Now: time.Now}
	if note, err := config.ReadServer(cfg.Data.Dir); err == nil {
		patient.PID = note.PID
	}
	server, err := findServer(ctx, cfg.Data.Dir)
	if patient.Absent = err; err == nil {
		patient.Ask = func(ctx context.Context, path string, out any) error { return server.call(ctx, "GET", path, nil, out) }
	}
	return doctor.Examine(ctx, patient)
}

// printReport prints findings; the error is the report's exit code.
func printReport(out io.Writer, report doctor.Report, asJSON bool) error {
	print := printFindings
	if asJSON {
		print = printReportJSON
	}
	if err := print(out, report); err != nil {
		return err
	}
	if code := report.ExitCode(); code != 0 {
		return exitCode(code)
	}
	return nil
}

func printReportJSON(out io.Writer, report doctor.Report) error {
	return printJSON(out, struct {
		State    doctor.State  `json:"state"`
		Findings doctor.Report `json:"findings"`
	}{report.Worst(), report})
}

func printFindings(out io.Writer, report doctor.Report) error {
	width := 0
	for _, f := range report {
		width = max(width, len(f.Check))
	}
	for _, f := range report {
		if _, err := fmt.Fprintf(out, "%-7s  %-*s  %s\n", f.State, width, f.Check, f.Says); err != nil {
			return err
		}
		if f.Do != "" {
			if _, err := fmt.Fprintf(out, "%-7s  %-*s  -> %s\n", "", width, "", f.Do); err != nil {
				return err
			}
		}
	}
	return nil
}
