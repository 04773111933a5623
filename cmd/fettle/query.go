package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
	"fettle/internal/api"
)

type queryCmd struct {
	Machine string `arg:"" optional:"" help:"Machine to ask about. Default: all."`
	Last    int    `placeholder:"N" help:"The newest N rows of each machine. Default: 50, or all if --from or --to is given."`
	From    moment `placeholder:"TIME" help:"Rows from this time on: 2026-03-02T07:00:00Z, or 10m for ten minutes ago."`
	To      moment `placeholder:"TIME" help:"Rows before this time."`
	Count   bool   `help:"Count rows instead of printing them."`
	Format  string `default:"table" enum:"table,csv,json" help:"table, csv or json."`
	JSON    bool   `help:"Short for --format json."`
}

func (queryCmd) Help() string {
	return "Asks the running server, or opens the data folder if none runs. Times are UTC. In CSV a name that begins like a formula (= + - @) has an apostrophe before it, so that a spreadsheet takes it for text.\n\n" + examples(
		"fettle query                             the last 50 rows of every machine",
		"fettle query --last 5 --from 10m         at most 5 rows each, of the last 10 minutes",
		"fettle query --count --from 1h           how many rows the last hour brought",
		"fettle query lathe-1-spindle --from 2026-03-02T06:00:00Z --to 2026-03-02T14:00:00Z --format csv",
	)
}

// Validate checks what kong cannot.
func (c *queryCmd) Validate() error {
	if c.Last < 0 {
		return fmt.Errorf("--last is %d; expected a number of rows", c.Last)
	}
	return nil
}

func (c *queryCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, false)
	if err != nil {
		return err
	}
	defer data.Close()
	machines, err := c.machines(ctx, data)
	if err != nil {
		return err
	}
	if c.Count {
		return c.count(ctx, data, machines, out)
	}
	return c.print(ctx, data, machines, out)
}

// machines lists those asked about, by name.
func (c *queryCmd) machines(ctx context.Context, data backend) ([]machineRows, error) {
	all, err := data.Machines(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b machineRows) int { return strings.Compare(a.Name, b.Name) })
	if c.Machine == "" {
		return all, nil
	}
	i := slices.IndexFunc(all, func(m machineRows) bool { return m.Name == c.Machine })
	if i < 0 {
		return nil, fettle.Errorf(fettle.NotFound, "no readings of machine %q; `fettle query --count` lists the machines there are", c.Machine)
	}
	return all[i : i+1], nil
}

// stretch is the part of time asked about.
func (c *queryCmd) stretch() stretch {
	now := time.Now()
	s := stretch{last: c.Last}
	if c.From.given() {
		s.from = c.From.time(now)
	}
	if c.To.given() {
		s.to = c.To.time(now)
	}
	if c.Last == 0 && !c.From.given() && !c.To.given() && !c.Count {
		s.last = 50
	}
	return s
}

// A counted is one machine's number of rows.
type counted struct {
	Machine string `json:"machine"`
	Rows    int64  `json:"rows"`
}

func (c *queryCmd) count(ctx context.Context, data backend, machines []machineRows, out io.Writer) error {
	s := c.stretch()
	counts := []counted{}
	for _, m := range machines {
		n := counted{Machine: m.Name, Rows: m.Rows}
		if s != (stretch{}) {
			n.Rows = 0
			if err := data.Readings(ctx, m.Name, s, func(fettle.Reading) error { n.Rows++; return nil }); err != nil {
				return err
			}
		}
		counts = append(counts, n)
	}
	switch c.format() {
	case "json":
		return printJSON(out, counts)
	case "csv":
		return writeCSV(out, []string{"machine", "rows"}, func(write func(...string) error) error {
			for _, n := range counts {
				if err := write(api.CellOf(n.Machine), strconv.FormatInt(n.Rows, 10)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	t := newTable(out)
	t.row("MACHINE", "ROWS")
	for _, n := range counts {
		t.row(n.Machine, n.Rows)
	}
	return t.Flush()
}

func (c *queryCmd) format() string {
	if c.JSON {
		return "json"
	}
	return c.Format
}

// print writes the rows of every machine.
func (c *queryCmd) print(ctx context.Context, data backend, machines []machineRows, out io.Writer) error {
	s := c.stretch()
	rows := func(machine string, yield func(fettle.Reading) error) error {
		return data.Readings(ctx, machine, s, yield)
	}
	switch c.format() {
	case "json":
		return rowsAsJSON(out, machines, rows)
	case "csv":
		return rowsAsCSV(out, machines, rows)
	default:
		return rowsAsTables(out, machines, rows)
	}
}
