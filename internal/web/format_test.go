package web

import (
	"math"
	"testing"
	"time"
)

var (
	numbersToWrite   = []float64{0, 1, -1, 0.5, 0.0456, 7.9, 12.345, 61.25, 61.75, 61.15, 100.5, 101.5, 99.96, 100, 1204, -1204, 12345.6, 1234567, -0.0001, 0.00012, 4.5e9, 1e-7, -2.5e12}
	durationsToWrite = []time.Duration{-time.Second, 0, 59 * time.Second, 61 * time.Second, time.Hour, 90 * time.Minute, 25 * time.Hour, 50 * time.Hour, 48 * time.Hour}
)

func TestNumbers(t *testing.T) {
	want := []string{"0.000", "1.00", "−1.00", "0.500", "0.046", "7.90", "12.3", "61.2", "61.8", "61.1", "100", "102", "100.0", "100", "1204", "−1204", "12\u2009346", "1\u2009234\u2009567", "−1.00e−04", "1.20e−04", "4.50e+09", "1.00e−07", "−2.50e+12"}
	for i, v := range numbersToWrite {
		if got := number(v); got != want[i] {
			t.Errorf("%v is %q, want %q", v, got, want[i])
		}
	}
	if got := number(math.NaN()) + number(math.Inf(1)); got != "––" {
		t.Errorf("no number is %q", got)
	}
}

func TestDurations(t *testing.T) {
	want := []string{"0 s", "0 s", "59 s", "1 min", "1 h", "1 h 30 min", "1 d 1 h", "2 d 2 h", "2 d"}
	for i, d := range durationsToWrite {
		if got := Duration(d); got != want[i] {
			t.Errorf("%v is %q, want %q", d, got, want[i])
		}
	}
}

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c := clock{now: noon, zone: berlin}
	autumn := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	for _, one := range []struct {
		name string
		c    clock
		at   time.Time
		want moment
	}{
		{"today", c, noon.Add(-22 * time.Minute), moment{"2026-06-10T11:38:00Z", "13:38", "22 min"}},
		{"yesterday, within a day", c, noon.Add(-23 * time.Hour), moment{"2026-06-09T13:00:00Z", "15:00", "23 h"}},
		{"older", c, noon.Add(-24 * time.Hour), moment{"2026-06-09T12:00:00Z", "2026-06-09 14:00", ""}},
		{"years ago", c, time.Date(2014, 4, 10, 7, 15, 0, 0, time.UTC), moment{"2014-04-10T07:15:00Z", "2014-04-10 09:15", ""}},
		{"ahead", c, noon.Add(5 * time.Minute), moment{"2026-06-10T12:05:00Z", "2026-06-10 14:05", ""}},
		{"never", c, time.Time{}, moment{}},
		{"the hour that comes twice, first", clock{autumn, berlin}, autumn, moment{"2026-10-25T00:30:00Z", "02:30 CEST", "0 s"}},
		{"and again", clock{autumn.Add(time.Hour), berlin}, autumn.Add(time.Hour), moment{"2026-10-25T01:30:00Z", "02:30 CET", "0 s"}},
	} {
		if got := one.c.at(one.at); got != one.want {
			t.Errorf("%s: %+v, want %+v", one.name, got, one.want)
		}
	}
}
