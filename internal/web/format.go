package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// minus is U+2212, thin is U+2009: what stands before a negative number, and
// between thousands.
const (
	minus = "−"
	thin  = "\u2009"
)

// number writes a value with three significant digits, but never drops digits
// before the point. format.js does the same for values that arrive later.
func number(v float64) string {
	size := math.Abs(v)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	if size != 0 && (size < 0.001 || size >= 1e9) {
		return strings.ReplaceAll(strconv.FormatFloat(v, 'e', 2, 64), "-", minus)
	}
	return fixed(v, decimals(size))
}

// decimals is how many digits behind the point make three significant ones.
func decimals(size float64) int {
	switch {
	case size >= 100:
		return 0
	case size >= 10:
		return 1
	case size >= 1:
		return 2
	default:
		return 3
	}
}

// fixed writes a number with so many decimals, a real minus, and thin spaces
// between thousands from five digits on.
func fixed(v float64, decimals int) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', decimals, 64)
	whole, fraction, broken := strings.Cut(text, ".")
	if len(whole) > 4 {
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + thin + whole[i:]
		}
	}
	if broken {
		whole += "." + fraction
	}
	if v < 0 && strings.Trim(text, "0.") != "" {
		whole = minus + whole
	}
	return whole
}

// withUnit puts the unit behind a number, if there is one.
func withUnit(text, unit string) string {
	if unit == "" {
		return text
	}
	return text + " " + unit
}

// scoreText is a score with one decimal; a machine that says nothing has none.
func scoreText(m fettle.Machine) string {
	if m.State == fettle.StateNoData || m.State == fettle.StateLearning {
		return "–"
	}
	return fixed(m.Score, 1)
}

// Duration writes at most two units: "12 s", "22 min", "5 h 12 min", "3 d 4 h".
func Duration(d time.Duration) string {
	seconds := max(0, int64(d/time.Second))
	minutes, hours, days := seconds/60, seconds/3600, seconds/86400
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case minutes < 60:
		return fmt.Sprintf("%d min", minutes)
	case hours < 24:
		return two(hours, "h", minutes%60, "min")
	default:
		return two(days, "d", hours%24, "h")
	}
}

func two(large int64, largeUnit string, small int64, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", large, largeUnit)
	}
	return fmt.Sprintf("%d %s %d %s", large, largeUnit, small, smallUnit)
}

// A moment is a point in time as a page shows it: what a machine reads, and
// what a person reads.
type moment struct {
	Machine string // RFC 3339, UTC
	Text    string // "02:41", or "2026-06-10 02:41" when it is not of the last 24 hours
	Ago     string // "22 min"; empty when it is not of the last 24 hours
}

// clock tells times of one page: in the plant's zone, seen from one now.
type clock struct {
	now  time.Time
	zone *time.Location
}

func (c clock) at(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	local := t.In(c.zone)
	m := moment{Machine: t.UTC().Format(time.RFC3339), Text: local.Format("2006-01-02 15:04")}
	if age := c.now.Sub(t); age > -time.Minute && age < 24*time.Hour {
		m.Text, m.Ago = local.Format("15:04"), Duration(age)
	}
	if repeated(local) {
		m.Text += local.Format(" MST")
	}
	return m
}

// repeated tells whether the clocks show this time twice, in the hour in which
// summer time ends.
func repeated(local time.Time) bool {
	const wall = "2006-01-02 15:04"
	for _, hour := range []time.Duration{-time.Hour, time.Hour} {
		if local.Add(hour).Format(wall) == local.Format(wall) {
			return true
		}
	}
	return false
}

// plural writes "1 machine", "3 machines".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fixed(float64(n), 0) + " " + many
}

// words keeps a sentence's numbers and their percent signs on one line.
func words(sentence string) string { return strings.ReplaceAll(sentence, " %", "\u00a0%") }
