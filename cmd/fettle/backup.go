package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/backup"
	"fettle/internal/readings"
)

type backupCmd struct {
	Dir  string `arg:"" help:"Folder to make; it must not exist yet, or be empty."`
	JSON bool   `help:"Print JSON."`
}

func (backupCmd) Help() string {
	return "Copies readings, state and models, all as of one moment. A running server does it itself and goes on meanwhile; without one the data folder is copied as it is. " +
		"On the same disk the files of closed days are hard links, which take no room and no time.\n\n" + examples(
		"fettle backup /mnt/backup/2026-03-01",
		"fettle restore /mnt/backup/2026-03-01 --data ./elsewhere",
	)
}

// Run makes a backup.
func (c *backupCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, false)
	if err != nil {
		return err
	}
	note, err := data.Backup(ctx, dir)
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, note)
	}
	_, err = fmt.Fprintf(out, "%d readings of %d machines and %d files of models in %s.\n", note.Rows(), len(note.Machines), note.Models, dir)
	return err
}

type restoreCmd struct {
	Dir  string `arg:"" help:"Folder of a backup."`
	JSON bool   `help:"Print JSON."`
}

func (restoreCmd) Help() string {
	return "Makes the data folder (--data, FETTLE_DATA_DIR) of a backup. It must not exist yet, or be empty. What is restored is compared with what was backed up, and checked, before it gets its name.\n\n" + examples(
		"fettle restore /mnt/backup/2026-03-01 --data ./elsewhere",
	)
}

// Run restores a backup.
func (c *restoreCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	note, err := backup.Restore(ctx, c.Dir, cfg.Data.Dir, filepath.Base(cfg.Data.Store()))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, note)
	}
	_, err = fmt.Fprintf(out, "%d readings of %d machines, as of %s, in %s.\n", note.Rows(), len(note.Machines), note.Made.Format(time.RFC3339), cfg.Data.Dir)
	return err
}

type checkCmd struct {
	JSON bool `help:"Print JSON."`
}

func (checkCmd) Help() string {
	return "Reads all readings and compares them with what is known of them: files of closed days with their sizes and checksums, rows with counts, times and rollups. It changes nothing. A running server does it itself and goes on meanwhile. Exit code 1 if something is not as it should be.\n\n" + examples(
		"fettle check",
		"fettle check --json",
	)
}

// Run checks a data folder.
func (c *checkCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, false)
	if err != nil {
		return err
	}
	report, err := data.Check(ctx)
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out, report)
	} else {
		_, err = fmt.Fprintln(out, sayReport(report))
	}
	if len(report.Faults) > 0 && err == nil {
		return fettle.Errorf(fettle.Invalid, "%d things are not as they should be", len(report.Faults))
	}
	return err
}

func sayReport(r readings.Report) string {
	text := fmt.Sprintf("%d readings of %d machines, %d closed days in %d files (%s).", r.Rows, r.Machines, r.Days, r.Files, size(r.Bytes))
	if r.Lost > 0 {
		text += fmt.Sprintf("\n%d damaged files were set aside earlier (*.damaged).", r.Lost)
	}
	if len(r.Faults) > 0 {
		return text + "\n" + strings.Join(r.Faults, "\n")
	}
	return text + "\nAll as it should be."
}
