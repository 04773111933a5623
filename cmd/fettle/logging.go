package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"fettle/internal/config"
	"fettle/internal/logfile"
)

// newLogger writes the log as the configuration says: coloured on a terminal,
// else as plain text or JSON lines.
func newLogger(to *os.File, c config.Log) *slog.Logger { return slog.New(handlerFor(to, c)) }

// openLog makes the log of a server: on to, and in the configuration's file. The
// caller closes the file.
func openLog(to *os.File, cfg config.Config) (*slog.Logger, io.Closer, error) {
	path := cfg.LogFile()
	if path == "" {
		return newLogger(to, cfg.Log), io.NopCloser(nil), nil
	}
	file, err := logfile.Open(path, int64(cfg.Log.MaxSize), cfg.Log.Keep)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; log.file names another, or none", err)
	}
	return slog.New(slog.NewMultiHandler(handlerFor(to, cfg.Log), plainHandler(file, cfg.Log))), file, nil
}

func handlerFor(to *os.File, c config.Log) slog.Handler {
	if c.Format != "json" && isTerminal(to) {
		return tint.NewTextHandler(to, &tint.Options{Level: levelOf(c), TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""})
	}
	return plainHandler(to, c)
}

func plainHandler(to io.Writer, c config.Log) slog.Handler {
	options := &slog.HandlerOptions{Level: levelOf(c)}
	if c.Format == "json" {
		return slog.NewJSONHandler(to, options)
	}
	return slog.NewTextHandler(to, options)
}

func levelOf(c config.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic("BUG: log level that config let through: " + c.Level)
	}
	return level
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
