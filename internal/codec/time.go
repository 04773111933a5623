package codec

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Times outside of these are mistakes, and beyond what nanoseconds since 1970
// can hold.
const (
	earliestMicros = 0                     // 1970-01-01
	latestMicros   = 9_214_646_400_000_000 // 2262-01-01
)

// From these on, a time since 1970 is in the next finer unit. Seconds below
// 1e11 reach the year 5138, milliseconds from 1e11 begin in March 1973.
const (
	fromMillis = 1e11
	fromMicros = 1e14
	fromNanos  = 1e17
)

// parseTime reads RFC 3339 and its relatives, or the time since 1970. What it
// cannot take it answers with what it expected.
func parseTime(text string) (t time.Time, expected string) {
	text = strings.TrimSpace(text)
	t, ok := parseCalendar(text)
	if !ok {
		t, ok = parseEpoch(text)
	}
	switch micros := t.UnixMicro(); {
	case !ok:
		return time.Time{}, "RFC 3339, such as 2025-11-25T04:20:00.5Z, or the time since 1970"
	case micros < earliestMicros || micros >= latestMicros:
		return time.Time{}, "a time from 1970 to 2261"
	}
	return t.Truncate(time.Microsecond), ""
}

// layouts of times, after T has been put between date and time. Go reads a
// fraction after the seconds of each.
var layouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
}

const dateLength = len("2006-01-02")

func parseCalendar(text string) (time.Time, bool) {
	if len(text) < len(layouts[1]) || text[4] != '-' {
		return time.Time{}, false
	}
	switch text[dateLength] {
	case 'T':
	case 't', ' ':
		text = text[:dateLength] + "T" + text[dateLength+1:]
	default:
		return time.Time{}, false
	}
	if before, ok := strings.CutSuffix(text, "z"); ok {
		text = before + "Z"
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// parseEpoch reads seconds, milliseconds, microseconds or nanoseconds since
// 1970. Digits are taken as they stand, because a float of nanoseconds is
// coarser than a microsecond.
func parseEpoch(text string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || text[0] == '-' || !allDigits(fraction) {
		return parseFloatEpoch(text)
	}
	unit := epochUnit(float64(n))
	perSecond := int64(time.Second / unit)
	t := time.Unix(n/perSecond, n%perSecond*int64(unit))
	return t.Add(fractionOf(fraction, unit)).UTC(), true
}

// parseFloatEpoch reads what has an exponent, as some languages print large
// numbers.
func parseFloatEpoch(text string) (time.Time, bool) {
	x, err := strconv.ParseFloat(text, 64)
	micros := x * float64(epochUnit(x)) / float64(time.Microsecond)
	if err != nil || strings.ContainsAny(text, "xXpP_") || !(micros >= earliestMicros && micros < latestMicros) {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(micros))).UTC(), true
}

func epochUnit(n float64) time.Duration {
	switch n = math.Abs(n); {
	case n < fromMillis:
		return time.Second
	case n < fromMicros:
		return time.Millisecond
	case n < fromNanos:
		return time.Microsecond
	default:
		return time.Nanosecond
	}
}

// fractionOf is the digits after the point of a number of units.
func fractionOf(digits string, unit time.Duration) time.Duration {
	var d time.Duration
	for _, c := range []byte(digits) {
		unit /= 10
		d += time.Duration(c-'0') * unit
	}
	return d
}

func allDigits(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}
