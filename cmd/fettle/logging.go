package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"fettle/internal/config"
)

// newLogger writes the log as the configuration says: coloured on a terminal,
// else as plain text or JSON lines.
func newLogger(to *os.File, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic("BUG: log level that config let through: " + c.Level)
	}
	switch {
	case c.Format == "json":
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level}))
	case isTerminal(to):
		return slog.New(tint.NewTextHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}))
	default:
		return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
