package main

import (
	"testing"
	"time"
)

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	cases := map[string]time.Time{
		"2026-03-02T07:00:00Z":      time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC),
		"2026-03-02T07:00:00+01:00": time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC),
		"2026-03-02 07:00":          time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC),
		"2026-03-02":                time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		"10m":                       now.Add(-10 * time.Minute),
		"-10m":                      now.Add(-10 * time.Minute),
		"36h":                       now.Add(-36 * time.Hour),
	}
	for text, want := range cases {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || !m.given() || !m.time(now).Equal(want) {
			t.Errorf("%s is %v (%v), want %v", text, m.time(now), err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "10", "0s", "2026-13-01"} {
		if err := new(moment).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a time", text)
		}
	}
}

func TestSpeeds(t *testing.T) {
	cases := map[string]time.Duration{"1x": time.Hour, "60x": time.Minute, "0.5": 2 * time.Hour, "max": 0}
	for text, want := range cases {
		var s speed
		if err := s.UnmarshalText([]byte(text)); err != nil || s.of(time.Hour) != want {
			t.Errorf("an hour at %s takes %v (%v), want %v", text, s.of(time.Hour), err, want)
		}
	}
	for _, text := range []string{"", "x", "0x", "-1x", "fast", "Infx", "NaN"} {
		if err := new(speed).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a speed", text)
		}
	}
}

func TestZones(t *testing.T) {
	for _, text := range []string{"UTC", "Europe/Berlin", "Local"} {
		if err := new(zone).UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{"", "Mars", "../etc/passwd"} {
		if err := new(zone).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a zone", text)
		}
	}
}

func TestDurationsAndSizesForPeople(t *testing.T) {
	durations := map[float64]string{0: "0s", 0.44: "400ms", 3: "3s", 12.3: "12s", 10: "10s", 60: "1m", 200: "3m20s", 7200: "2h", 176_520: "49h2m", 259_200: "72h"}
	for seconds, want := range durations {
		if got := duration(seconds); got != want {
			t.Errorf("%v s is %s, want %s", seconds, got, want)
		}
	}
	sizes := map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1_500_000: "1.4 MiB", 1 << 50: "1024.0 TiB"}
	for bytes, want := range sizes {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes are %s, want %s", bytes, got, want)
		}
	}
}
