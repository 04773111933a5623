package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fettle/internal/plant"
)

// A moment is a time as people type it: 2026-03-02T07:00:00Z, 2026-03-02 07:00,
// or 10m for ten minutes ago.
type moment struct {
	at  time.Time
	ago time.Duration
}

func (m moment) given() bool { return m != moment{} }

// time is the moment itself; what was said as "ago" counts back from now.
func (m moment) time(now time.Time) time.Time {
	if m.ago != 0 {
		return now.Add(-m.ago)
	}
	return m.at
}

// UnmarshalText reads a time, or how long ago it was.
func (m *moment) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			m.at = t.UTC()
			return nil
		}
	}
	if ago, err := time.ParseDuration(strings.TrimPrefix(s, "-")); err == nil && ago > 0 {
		m.ago = ago
		return nil
	}
	return fmt.Errorf("%q; expected a time such as 2026-03-02T07:00:00Z (UTC if it names no zone), or how long ago, such as 10m or 36h", s)
}

// A speed says how much faster than life something is played; 0 means as fast
// as possible.
type speed float64

// UnmarshalText reads 60x, 0.5x or max.
func (s *speed) UnmarshalText(text []byte) error {
	if string(text) == "max" {
		*s = 0
		return nil
	}
	x, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "x"), 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return fmt.Errorf("%q; expected a factor such as 1x or 60x, or max", text)
	}
	*s = speed(x)
	return nil
}

// of is how long a stretch of recorded time takes at this speed.
func (s speed) of(recorded time.Duration) time.Duration {
	if s == 0 {
		return 0
	}
	return time.Duration(float64(recorded) / float64(s))
}

// A fault is one --fault.
type fault struct{ plant.Fault }

// UnmarshalText reads what plant.ParseFault reads.
func (f *fault) UnmarshalText(text []byte) error {
	parsed, err := plant.ParseFault(string(text))
	f.Fault = parsed
	return err
}

// A zone is a time zone by its name.
type zone struct{ *time.Location }

// UnmarshalText reads UTC, Local or a name such as Europe/Berlin.
func (z *zone) UnmarshalText(text []byte) error {
	location, err := time.LoadLocation(string(text))
	if err != nil || len(text) == 0 {
		return fmt.Errorf("%q; expected a time zone such as UTC, Europe/Berlin or Local", text)
	}
	z.Location = location
	return nil
}
