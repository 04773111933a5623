package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"fettle"
	"fettle/internal/app"
	"fettle/internal/db"
	"fettle/internal/readings"
)

type backtestCmd struct {
	Machine    string `arg:"" help:"Machine whose history is lived again."`
	From       moment `placeholder:"TIME" help:"Readings from this time on, as query has it; the machine is new then. Default: its first."`
	To         moment `placeholder:"TIME" help:"Readings before this time. Default: up to the newest."`
	Forecaster string `placeholder:"NAME" help:"Report on this forecaster only. Default: all of the configuration."`
	Train      bool   `help:"Train PatchTSTs as well, by training.schedule and by drift; takes as long as the trainings do."`
	JSON       bool   `help:"Print the report as JSON."`
}

func (backtestCmd) Help() string {
	return "Stored readings go through the stages of a server once more, as if each came at its own time, and nothing sees a later one. Readings are copied from the running server, or from the data folder, into a temporary folder ($$TMPDIR), where all of it happens; nothing else is written.\n\n" + examples(
		"fettle backtest lathe-1-spindle",
		"fettle backtest lathe-1-spindle --from 2026-03-02 --to 2026-03-16 --forecaster short",
		"FETTLE_TRAINING_SCHEDULE='0 3 * * 1' fettle backtest lathe-1-spindle --train    a training each Monday at 3",
	)
}

func (c *backtestCmd) Run(ctx context.Context, g *globals, out io.Writer) (err error) {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "fettle-backtest-")
	if err != nil {
		return fmt.Errorf("make the temporary folder: %w", err)
	}
	defer func() {
		if ctx.Err() != nil {
			err = fmt.Errorf("backtest of %s broken off", c.Machine)
		}
		err = errors.Join(err, os.RemoveAll(scratch))
	}()
	data, err := openBackend(ctx, cfg.Data, false)
	if err != nil {
		return err
	}
	past, err := c.copyPast(ctx, data, filepath.Join(scratch, "past"))
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, past.Close()) }()
	bar := newProgress(past.rows, "readings lived through")
	defer bar.end()
	report, err := app.Backtest{
		Machine: c.Machine, Forecaster: c.Forecaster, Train: c.Train, Past: past.Store, Scratch: scratch, Told: bar.step,
	}.Run(ctx, cfg, slog.New(slog.DiscardHandler))
	bar.end()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, report)
	}
	return printBacktest(out, report)
}

// copied are readings in a folder of their own.
type copied struct {
	*readings.Store
	*db.DB
	rows int64
}

func (c *copied) Close() error { return c.DB.Close() }

// copyRows is how many readings are copied in one commit.
const copyRows = 4096

// copyPast copies the machine's readings, so that whoever holds them is asked
// once, and for no longer than that takes.
func (c *backtestCmd) copyPast(ctx context.Context, data backend, dir string) (_ *copied, err error) {
	machines, err := (&queryCmd{Machine: c.Machine}).machines(ctx, data)
	if err != nil {
		return nil, err
	}
	store, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	if err != nil {
		return nil, err
	}
	past := &copied{DB: store}
	defer func() {
		if err != nil {
			err = errors.Join(err, past.Close())
		}
	}()
	if past.Store, err = readings.Open(store, dir, nil); err != nil {
		return nil, err
	}
	bar := newProgress(machines[0].Rows, "readings copied")
	defer bar.end()
	rows := make([]fettle.Reading, 0, copyRows)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		if _, err := past.Append(rows); err != nil {
			return err
		}
		past.rows += int64(len(rows))
		bar.step(len(rows), rows[len(rows)-1].Time)
		rows = rows[:0]
		return ctx.Err()
	}
	err = data.Readings(ctx, c.Machine, c.stretch(), func(r fettle.Reading) error {
		if rows = append(rows, r); len(rows) == copyRows {
			return flush()
		}
		return nil
	})
	if err = errors.Join(err, flush()); err != nil {
		return nil, fmt.Errorf("copy the readings of %s: %w", c.Machine, err)
	}
	if past.rows == 0 {
		return nil, c.empty(machines[0])
	}
	return past, nil
}

func (c *backtestCmd) stretch() (s stretch) {
	now := time.Now()
	if c.From.given() {
		s.from = c.From.time(now)
	}
	if c.To.given() {
		s.to = c.To.time(now)
	}
	return s
}

func (c *backtestCmd) empty(m machineRows) error {
	s := c.stretch()
	if !s.to.IsZero() && !s.from.Before(s.to) {
		return usage(fettle.BadField("no time", "--from", s.from.UTC().Format(time.RFC3339), "a time before --to, "+s.to.UTC().Format(time.RFC3339)))
	}
	return fettle.Errorf(fettle.NotFound, "no readings of %s in that time; it has %d, from %s to %s", m.Name, m.Rows, m.First.UTC().Format(time.RFC3339), m.Last.UTC().Format(time.RFC3339))
}
