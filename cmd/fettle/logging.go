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
func newLogger(to *os.File, c config.Log) *slog.Logger {
	return slog.New(handlerFor(to, c, levelOf(c)))
}

// A serverLog is the log of a server, whose level may change while it runs.
type serverLog struct {
	*slog.Logger
	level *slog.LevelVar
	file  io.Closer
}

// openLog makes the log of a server: on to, and in the configuration's file. The
// caller closes it.
func openLog(to *os.File, cfg config.Config) (serverLog, error) {
	log := serverLog{level: new(slog.LevelVar)}
	log.level.Set(levelOf(cfg.Log))
	handler := handlerFor(to, cfg.Log, log.level)
	if path := cfg.LogFile(); path != "" {
		file, err := logfile.Open(path, int64(cfg.Log.MaxSize), cfg.Log.Keep)
		if err != nil {
			return serverLog{}, fmt.Errorf("%w; log.file names another, or none", err)
		}
		log.file, handler = file, slog.NewMultiHandler(handler, plainHandler(file, cfg.Log, log.level))
	}
	log.Logger = slog.New(handler)
	return log, nil
}

// Close closes the log's file. A log that was never opened has none.
func (l serverLog) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func handlerFor(to *os.File, c config.Log, level slog.Leveler) slog.Handler {
	if c.Format != "json" && isTerminal(to) {
		return tint.NewTextHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""})
	}
	return plainHandler(to, c, level)
}

func plainHandler(to io.Writer, c config.Log, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
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
