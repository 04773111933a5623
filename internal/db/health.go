package db

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"fettle"
)

// health remembers the one thing that cannot be undone: that the store failed.
type health struct {
	log    *slog.Logger
	failed chan struct{} // closed once err is set

	once sync.Once
	err  error // written once, before failed is closed
}

func newHealth(log *slog.Logger) *health {
	return &health{log: log, failed: make(chan struct{})}
}

// fail shuts the store for writing; only the first cause counts.
func (h *health) fail(cause error) {
	h.once.Do(func() {
		h.err = fettle.Errorf(fettle.Unavailable, "store stopped writing, check its disk and start again: %w", cause)
		h.log.Error("store stopped writing", "err", cause)
		close(h.failed)
	})
}

// failure is why the store failed; nil if it did not.
func (h *health) failure() error {
	select {
	case <-h.failed:
		return h.err
	default:
		return nil
	}
}

// logger takes what Pebble has to say.
type logger struct{ *health }

func (l logger) Infof(format string, args ...any) { l.write(slog.LevelDebug, format, args) }

func (l logger) Errorf(format string, args ...any) { l.write(slog.LevelError, format, args) }

func (l logger) write(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "store: "+fmt.Sprintf(format, args...))
	}
}

// Fatalf is where Pebble gives up and expects the process to end. Since it
// never sees a failed write, this is damage it found or a bug in it. The store
// stops writing and the goroutine is parked, as it must not go on.
func (l logger) Fatalf(format string, args ...any) {
	l.fail(fmt.Errorf(format, args...))
	select {}
}
