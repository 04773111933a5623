package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/export"
	"fettle/internal/readings"
)

type exportCmd struct {
	Machine []string `sep:"none" placeholder:"NAME" help:"Machine whose readings; may be given several times. Default: all."`
	From    moment   `placeholder:"TIME" help:"Readings from this time on: 2026-03-02T07:00:00Z, or 36h for 36 hours ago. Default: from the first."`
	To      moment   `placeholder:"TIME" help:"Readings before this time. Default: to the last."`
	Format  string   `default:"" enum:",parquet,csv,line" placeholder:"NAME" help:"parquet, csv or line (line protocol, as InfluxDB takes it). Default: by the file's name (.parquet, .csv, .lp), else csv."`
	Out     string   `short:"o" default:"-" placeholder:"FILE" help:"File to write, or - for standard output, the default. Parquet of several machines: folder to write, a file a machine."`
}

func (exportCmd) Help() string {
	return "Asks the running server, or opens the data folder if none runs. Streams, however much it is. A file gets its name once it is whole. " +
		"CSV has the columns machine, time and the sensors; Parquet has time, the sensors and tags, a file a machine; line protocol has all.\n\n" + examples(
		"fettle export -o all.csv                                        everything",
		"fettle export --machine press-3 --from 720h -o press-3.parquet  a month, for pandas.read_parquet",
		"fettle export --format parquet -o plant                         plant/machine=<name>/readings.parquet, for DuckDB",
		"fettle export --format line -o - | gzip > plant.lp.gz           for influx write --precision us, or another fettle",
	)
}

func (c *exportCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, false)
	if err != nil {
		return err
	}
	err = c.export(ctx, data, out)
	return errors.Join(err, data.Close())
}

func (c *exportCmd) export(ctx context.Context, data backend, out io.Writer) error {
	machines, err := c.machines(ctx, data)
	if err != nil {
		return err
	}
	e := exporting{data: data, s: c.stretch(time.Now())}
	if c.Out != "-" || !isTerminal(os.Stdout) {
		e.progress = newProgress(-1, "readings")
		defer e.progress.end()
	}
	format := c.format()
	if format == "parquet" && len(machines) != 1 {
		if c.Out == "-" {
			return usage(errors.New("the Parquet of several machines is several files: -o names a folder for them, --machine one machine"))
		}
		return e.folder(ctx, c.Out, machines)
	}
	if format == "parquet" && c.Out == "-" && isTerminal(os.Stdout) {
		return usage(errors.New("a terminal cannot show Parquet: -o FILE, or | another program"))
	}
	return toFile(c.Out, out, func(w io.Writer) error {
		switch format {
		case "parquet":
			return e.one(ctx, machines[0].Name, export.Parquet(w, machines[0].Sensors))
		case "line":
			for _, m := range machines {
				if err := e.one(ctx, m.Name, export.Lines(w, nil)); err != nil {
					return err
				}
			}
			return nil
		default:
			return rowsAsCSV(w, machines, func(machine string, yield func(fettle.Reading) error) error { return e.rows(ctx, machine, yield) })
		}
	})
}

// machines lists those asked for, by name.
func (c *exportCmd) machines(ctx context.Context, data backend) ([]machineRows, error) {
	all, err := data.Machines(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b machineRows) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range c.Machine {
		if !slices.ContainsFunc(all, func(m machineRows) bool { return m.Name == name }) {
			return nil, fettle.Errorf(fettle.NotFound, "no readings of machine %q; `fettle query --count` lists the machines there are", name)
		}
	}
	if len(c.Machine) > 0 {
		all = slices.DeleteFunc(all, func(m machineRows) bool { return !slices.Contains(c.Machine, m.Name) })
	}
	if len(all) == 0 {
		return nil, fettle.Errorf(fettle.NotFound, "no machine has sent anything yet")
	}
	return all, nil
}

func (c *exportCmd) stretch(now time.Time) (s stretch) {
	if c.From.given() {
		s.from = c.From.time(now)
	}
	if c.To.given() {
		s.to = c.To.time(now)
	}
	return s
}

func (c *exportCmd) format() string {
	byName := map[string]string{".parquet": "parquet", ".lp": "line", ".line": "line"}
	return cmp.Or(c.Format, byName[strings.ToLower(filepath.Ext(c.Out))], "csv")
}

// An exporting is one under way.
type exporting struct {
	data     backend
	s        stretch
	progress *progress // nil: what is written is progress enough
}

// rows yields a machine's readings, and says how far that is.
func (e exporting) rows(ctx context.Context, machine string, yield func(fettle.Reading) error) error {
	const often = 1000 // rows, from one word to the next
	n := 0
	return e.data.Readings(ctx, machine, e.s, func(r fettle.Reading) error {
		if n++; n%often == 0 {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped at %s, %s", machine, r.Time.Format(time.RFC3339))
			}
			if e.progress != nil {
				e.progress.step(often, r.Time)
			}
		}
		return yield(r)
	})
}

func (e exporting) one(ctx context.Context, machine string, w export.Writer) error {
	if err := e.rows(ctx, machine, w.Write); err != nil {
		return err
	}
	return w.Close()
}

// folder writes a file a machine, in folders from which tools take its name.
func (e exporting) folder(ctx context.Context, dir string, machines []machineRows) error {
	for _, m := range machines {
		within := filepath.Join(dir, readings.FolderName(m.Name))
		if err := os.MkdirAll(within, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		err := toFile(filepath.Join(within, "readings.parquet"), nil, func(w io.Writer) error {
			return e.one(ctx, m.Name, export.Parquet(w, m.Sensors))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// toFile writes a file, which gets its name once it is whole; "-" is out.
func toFile(path string, out io.Writer, write func(io.Writer) error) (err error) {
	if path == "-" {
		buffer := bufio.NewWriter(out)
		return errors.Join(write(buffer), buffer.Flush())
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	buffer := bufio.NewWriter(draft)
	err = errors.Join(write(buffer), buffer.Flush(), draft.Chmod(0o644), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(draft.Name()))
	}
	return nil
}
