package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// logEvery is the shortest time between two lines of the same message. Ten
// thousand clients that come back at once must not fill the disk with it.
const logEvery = 10 * time.Second

// A fewHandler lets each message through once in logEvery and says how many
// were held back since. It remembers every message, so what varies belongs into
// attributes.
type fewHandler struct {
	next slog.Handler
	seen *seen // shared with the handlers derived from this one
}

type seen struct {
	mu   sync.Mutex
	last map[string]time.Time
	held map[string]int
}

func (h *fewHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *fewHandler) Handle(ctx context.Context, r slog.Record) error {
	held, pass := h.seen.pass(r)
	if !pass {
		return nil
	}
	if held > 0 {
		r.AddAttrs(slog.Int("like_it", held))
	}
	return h.next.Handle(ctx, r)
}

// pass decides about a record; held counts those like it that were held back.
func (s *seen) pass(r slog.Record) (held int, pass bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[r.Message]; ok && r.Time.Sub(last) < logEvery {
		s.held[r.Message]++
		return 0, false
	}
	if s.last == nil {
		s.last, s.held = map[string]time.Time{}, map[string]int{}
	}
	held = s.held[r.Message]
	s.last[r.Message], s.held[r.Message] = r.Time, 0
	return held, true
}

func (h *fewHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &fewHandler{h.next.WithAttrs(attrs), h.seen}
}

func (h *fewHandler) WithGroup(name string) slog.Handler {
	return &fewHandler{h.next.WithGroup(name), h.seen}
}

// A mochiHandler passes on what mochi warns about, in our words: without whole
// packets, which hold people's data and passwords, and without what the broker
// itself says better.
type mochiHandler struct {
	slog.Handler
}

func (h mochiHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h mochiHandler) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "error processing packet": // the connection ends with it: see listener.gone
		return nil
	case mqtt.ErrMinimumKeepalive.Error(): // allowed, and no news
		return nil
	}
	ours := slog.NewRecord(r.Time, r.Level, "mqtt: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "pk", "packet", "will", "hook":
		case "error":
			ours.AddAttrs(slog.Any("err", a.Value.Any()))
		default:
			ours.AddAttrs(a)
		}
		return true
	})
	return h.Handler.Handle(ctx, ours)
}

func (h mochiHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return mochiHandler{h.Handler.WithAttrs(attrs)}
}

func (h mochiHandler) WithGroup(name string) slog.Handler {
	return mochiHandler{h.Handler.WithGroup(name)}
}
