package plant

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// missingWords are how tables say that there is no number.
var missingWords = map[string]bool{"": true, "nan": true, "na": true, "n/a": true, "null": true, "none": true, "-": true}

// parseNumber reads a cell; missing if it says that there is none. A decimal
// comma is understood where it cannot be the separator.
func parseNumber(cell string, separator byte) (value float64, missing, ok bool) {
	cell = strings.TrimSpace(cell)
	if missingWords[strings.ToLower(cell)] {
		return 0, true, true
	}
	if comma := strings.LastIndexByte(cell, ','); comma >= 0 && separator != ',' {
		if strings.Count(cell, ",") > 1 || strings.LastIndexByte(cell, '.') > comma {
			return 0, false, false // 1,234.5 or 1,234,567: which it is cannot be told from one cell
		}
		cell = strings.ReplaceAll(cell, ".", "") // 1.234,5 groups its thousands
		cell = strings.Replace(cell, ",", ".", 1)
	}
	value, err := strconv.ParseFloat(cell, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) || strings.ContainsAny(cell, "xX_") {
		return 0, false, false
	}
	return value, false, true
}

// calendars are the shapes of times with a zone and without, after a T between
// date and time has become a space. Go reads a fraction after the seconds of
// each.
var calendars = struct{ zoned, local []string }{
	zoned: []string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 -0700"},
	local: []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006/01/02 15:04:05", "2006/01/02 15:04", "02.01.2006 15:04:05", "02.01.2006 15:04"},
}

// Times beyond these are no times of machines.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// parseTime reads a calendar time, in zone if it names none, or the time since
// 1970 in seconds, milliseconds, microseconds or nanoseconds by its size. What
// it returns is UTC in whole microseconds.
func parseTime(cell string, zone *time.Location) (time.Time, bool) {
	cell = strings.TrimSpace(cell)
	t, ok := parseCalendar(cell, zone)
	if !ok {
		t, ok = parseEpoch(cell)
	}
	if !ok || t.Before(earliest) || !t.Before(latest) {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Microsecond), true
}

func parseCalendar(cell string, zone *time.Location) (time.Time, bool) {
	if zone == nil {
		zone = time.UTC
	}
	if len(cell) > 10 && (cell[10] == 'T' || cell[10] == 't') {
		cell = cell[:10] + " " + cell[11:]
	}
	for _, layout := range calendars.zoned {
		if t, err := time.Parse(layout, cell); err == nil {
			return t, true
		}
	}
	for _, layout := range calendars.local {
		if t, err := time.ParseInLocation(layout, cell, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseEpoch reads digits, maybe with a fraction. Seconds of our days are of
// ten digits, and each finer unit has three more.
func parseEpoch(cell string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(cell, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	unit := time.Second
	for limit := int64(1e11); n >= limit && unit > time.Nanosecond; limit *= 1000 {
		unit /= 1000
	}
	perSecond := int64(time.Second / unit)
	t := time.Unix(n/perSecond, n%perSecond*int64(unit))
	for _, digit := range []byte(fraction) {
		unit /= 10
		t = t.Add(time.Duration(digit-'0') * unit)
	}
	return t, true
}
