package app

import (
	"context"
	"path/filepath"
	"time"

	"fettle/internal/backup"
	"fettle/internal/readings"
)

// Stop ends the server as if its context had ended, and returns at once.
func (a *App) Stop() { a.stop() }

// Backup copies the data folder into another while the server goes on.
func (a *App) Backup(ctx context.Context, dir string) (backup.Note, error) {
	begin := time.Now()
	note, err := backup.Source{
		Readings: a.flow.readings, Store: filepath.Base(a.cfg.Data.Store()), Models: a.cfg.Data.Models(), Dir: a.cfg.Data.Dir, Version: a.version,
	}.Make(ctx, dir, begin)
	if err == nil {
		a.log.Info("backed up", "folder", dir, "machines", len(note.Machines), "rows", note.Rows(), "took", time.Since(begin).Round(time.Millisecond))
	}
	return note, err
}

// Check reads all readings and compares them with what is known of them.
func (a *App) Check(ctx context.Context) (readings.Report, error) {
	report, err := a.flow.readings.Check(ctx)
	for _, fault := range report.Faults {
		a.log.Error("check of the readings found a fault", "err", fault)
	}
	return report, err
}
