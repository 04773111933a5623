package ingest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fettle"
)

// Reasons to refuse a reading; they are counted by, so they never change.
const (
	reasonName     = "name not usable"
	reasonEmpty    = "no values"
	reasonSensors  = "too many sensors"
	reasonNumber   = "number not finite"
	reasonTags     = "too many tags"
	reasonTag      = "tag too long"
	reasonFuture   = "time too far ahead"
	reasonPast     = "time before 1970"
	reasonMachines = "too many machines"
)

// check takes the good ones of some readings into a parcel, completed with
// their arrival time where they have none, and books the others.
func (g *Gate) check(rows []fettle.Reading) *parcel {
	p := &parcel{of: len(rows)}
	now := g.cfg.Now()
	for i := range rows {
		if bad := checkReading(&rows[i], now.Add(g.cfg.MaxFuture)); bad != nil {
			p.refused = append(p.refused, p.at(i, bad))
			g.books.refuseReading(rows[i], bad)
			continue
		}
		if rows[i].Time.IsZero() {
			rows[i].Time = time.UnixMicro(g.arrivalTime()).UTC()
		}
		p.add(rows[i], i)
	}
	return p
}

// checkReading brings the time to UTC and whole microseconds, and the values
// into order.
func checkReading(r *fettle.Reading, latest time.Time) *fettle.Error {
	if bad := checkName("machine", r.Machine); bad != nil {
		return bad
	}
	if bad := checkTime(r, latest); bad != nil {
		return bad
	}
	if len(r.Values) == 0 {
		return fettle.BadField(reasonEmpty, "values", "empty", "at least one number")
	}
	if n := len(r.Values); n > fettle.MaxSensors {
		return fettle.BadField(reasonSensors, "values", strconv.Itoa(n)+" sensors", fmt.Sprintf("at most %d", fettle.MaxSensors))
	}
	inOrder := true
	for i, v := range r.Values {
		if bad := checkName("sensor", v.Sensor); bad != nil {
			return bad
		}
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			return fettle.BadField(reasonNumber, v.Sensor, fmt.Sprint(v.Value), "a finite number")
		}
		inOrder = inOrder && (i == 0 || r.Values[i-1].Sensor < v.Sensor)
	}
	if !inOrder {
		r.Values = fettle.SortValues(r.Values)
	}
	if len(r.Tags) == 0 {
		r.Tags = nil
	}
	return checkTags(r.Tags)
}

func checkTime(r *fettle.Reading, latest time.Time) *fettle.Error {
	switch {
	case r.Time.IsZero():
		return nil // it gets its arrival time
	case r.Time.After(latest):
		return fettle.BadField(reasonFuture, "timestamp", r.Time.Format(time.RFC3339Nano),
			"at most "+latest.UTC().Format(time.RFC3339)+", a little ahead of this computer's clock")
	case r.Time.Before(time.UnixMicro(0)):
		return fettle.BadField(reasonPast, "timestamp", r.Time.Format(time.RFC3339Nano), "1970 or later")
	}
	r.Time = time.UnixMicro(r.Time.UnixMicro()).UTC()
	return nil
}

func checkTags(tags map[string]string) *fettle.Error {
	if n := len(tags); n > fettle.MaxTags {
		return fettle.BadField(reasonTags, "tags", strconv.Itoa(n)+" tags", fmt.Sprintf("at most %d", fettle.MaxTags))
	}
	for name, text := range tags {
		if bad := checkName("tag", name); bad != nil {
			return bad
		}
		if len(text) > fettle.MaxTag {
			return fettle.BadField(reasonTag, name, text, fmt.Sprintf("at most %d bytes", fettle.MaxTag))
		}
		if !utf8.ValidString(text) {
			return fettle.BadField(reasonTag, name, strconv.Quote(text), "text in UTF-8")
		}
	}
	return nil
}

// checkName checks the name of a machine, a sensor or a tag. It ends up in
// keys, topics, addresses and tables, so it must be something to see.
func checkName(what, name string) *fettle.Error {
	const expected = "UTF-8 without control characters, not only spaces or invisible ones"
	switch {
	case name == "" || len(name) > fettle.MaxName:
		return fettle.BadField(reasonName, what, fmt.Sprintf("%d bytes long", len(name)), fmt.Sprintf("1..%d", fettle.MaxName))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || !strings.ContainsFunc(name, isInk):
		return fettle.BadField(reasonName, what, strconv.Quote(name), expected)
	}
	return nil
}

func isInk(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }
