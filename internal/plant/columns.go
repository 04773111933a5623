package plant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"fettle"
)

// labels are columns in which public data sets say what is to be found out.
// They must never reach a store, or a detector would read the answer.
var labels = []string{"anomaly", "changepoint"}

func isLabel(column string) bool {
	return slices.Contains(labels, strings.ToLower(strings.TrimSpace(column)))
}

// timeNames are what columns of times are called, the likeliest first.
var timeNames = []string{"datetime", "timestamp", "time", "date", "ts"}

// layOut decides from the header and the first row which column is the time
// and which sensor each of the others is.
func (r *Recording) layOut(header, first string, o ReplayOptions) error {
	r.separator = separatorOf(header)
	names, err := split(header, r.separator)
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	if len(names) > maxColumns {
		return fettle.BadField("columns", "header", fmt.Sprintf("%d columns long", len(names)), fmt.Sprintf("at most %d", maxColumns))
	}
	for i, name := range names {
		if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return fettle.BadField("columns", "header", quote(name), "names in UTF-8; is this a table?")
		}
		if name != "" && slices.Contains(names[:i], name) {
			return fettle.BadField("columns", "header", quote(name)+" twice", "each name once")
		}
	}
	cells, err := split(first, r.separator)
	if err != nil {
		cells = nil
	}
	r.columns = len(names)
	if r.timeAt, err = timeColumn(names, cells, o.TimeColumn); err != nil {
		return err
	}
	return r.nameSensors(names, cells, o)
}

// separatorOf finds what parts the header's names. A comma is the least
// certain of the three, since it may belong to a name or a number.
func separatorOf(header string) byte {
	best, most := byte(','), strings.Count(header, ",")
	for _, c := range []byte{'\t', ';'} {
		if n := strings.Count(header, string(c)); n > 0 && n >= most {
			best, most = c, n
		}
	}
	return best
}

// timeColumn finds the column of times: the one named by the caller, or one
// with the name of a time, or the first that looks like one.
func timeColumn(names, cells []string, wanted string) (int, error) {
	if wanted != "" {
		if i := slices.Index(names, wanted); i >= 0 {
			return i, nil
		}
		return 0, fettle.BadField("time column", "time column", wanted, "one of "+strings.Join(names, ", "))
	}
	for _, usual := range timeNames {
		for i, name := range names {
			if strings.EqualFold(name, usual) {
				return i, nil
			}
		}
	}
	for i := range min(len(names), len(cells)) {
		if _, ok := parseCalendar(strings.TrimSpace(cells[i]), nil); ok {
			return i, nil
		}
	}
	return 0, fettle.Errorf(fettle.Invalid, "no column of times among %s; the first line must name the columns, one of them %s, or tell which it is",
		strings.Join(names, ", "), strings.Join(timeNames, ", "))
}

// nameSensors gives each column its sensor's name; "" to those left out.
func (r *Recording) nameSensors(names, cells []string, o ReplayOptions) error {
	renamed, err := choose(names, o.Columns)
	if err != nil {
		return err
	}
	for _, drop := range o.Drop {
		if !slices.Contains(names, drop) {
			return fettle.BadField("columns", "column to drop", drop, "one of "+strings.Join(names, ", "))
		}
	}
	r.sensorAt = make([]string, len(names))
	for i, name := range names {
		sensor, chosen := renamed[name]
		switch {
		case i == r.timeAt || slices.Contains(o.Drop, name):
		case isLabel(name):
			r.note("column %s left out: a label says what is to be found out, and must not be stored", name)
		case len(o.Columns) > 0 && !chosen:
		case name == "":
			r.note("column %d left out: it has no name", i+1)
		case !chosen && i < len(cells) && isText(cells[i], r.separator):
			r.note("column %s left out: %s is no number", name, quote(cells[i]))
		default:
			if !chosen {
				sensor = name
			}
			r.sensorAt[i] = sensor
		}
	}
	return r.checkSensors()
}

// choose reads "name" and "name=sensor" entries into name -> sensor.
func choose(names, columns []string) (map[string]string, error) {
	chosen := map[string]string{}
	for _, entry := range columns {
		name, sensor := entry, entry
		if !slices.Contains(names, entry) {
			if before, after, found := strings.Cut(entry, "="); found {
				name, sensor = strings.TrimSpace(before), strings.TrimSpace(after)
			}
		}
		if !slices.Contains(names, name) || name == "" {
			return nil, fettle.BadField("columns", "column", name, "one of "+strings.Join(names, ", "))
		}
		if sensor == "" {
			return nil, fettle.BadField("columns", "column", entry, "a name on both sides of =, such as "+name+"=temperature")
		}
		if isLabel(name) {
			return nil, fettle.BadField("columns", "column", name, "a sensor: labels say what is to be found out, and must not be stored")
		}
		chosen[name] = sensor
	}
	return chosen, nil
}

// meaningful are names that mean something else in a message.
var meaningful = []string{"machine", "workspace_id", "timestamp", "time", "ts"}

func (r *Recording) checkSensors() error {
	sensors := r.Sensors()
	if len(sensors) == 0 {
		return fettle.Errorf(fettle.Invalid, "no column of numbers is left to publish")
	}
	if len(sensors) > fettle.MaxSensors {
		return fettle.BadField("columns", "recording", fmt.Sprintf("%d sensors wide", len(sensors)), fmt.Sprintf("at most %d", fettle.MaxSensors))
	}
	for i, s := range sensors {
		switch {
		case len(s) > fettle.MaxName || strings.ContainsFunc(s, unicode.IsControl):
			return fettle.BadField("columns", "sensor", s, fmt.Sprintf("1 to %d bytes without control characters", fettle.MaxName))
		case slices.Contains(meaningful, s):
			return fettle.BadField("columns", "sensor", s, "another name, such as --columns "+s+"=its_name: in a message this one has a meaning of its own")
		case slices.Contains(sensors[:i], s):
			return fettle.BadField("columns", "sensor", s, "a name that no other column has")
		}
	}
	return nil
}

func (r *Recording) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func isText(cell string, separator byte) bool {
	_, _, ok := parseNumber(cell, separator)
	return !ok
}

// split cuts a line into its cells. A cell in double quotes may hold the
// separator, and "" for a quote; it ends on its line.
func split(line string, separator byte) ([]string, error) {
	var cells []string
	for {
		if !strings.HasPrefix(line, `"`) {
			cell, rest, more := strings.Cut(line, string(separator))
			cells = append(cells, cell)
			if !more {
				return cells, nil
			}
			line = rest
			continue
		}
		cell, rest, err := unquote(line[1:])
		if err != nil {
			return nil, err
		}
		cells = append(cells, cell)
		if rest == "" {
			return cells, nil
		}
		if rest[0] != separator {
			return nil, fettle.BadField("quotes", "cell", quote(cell), "a separator after the closing quote")
		}
		line = rest[1:]
	}
}

// unquote reads up to the closing quote, and returns what is behind it.
func unquote(s string) (cell, rest string, err error) {
	var text strings.Builder
	for {
		before, after, found := strings.Cut(s, `"`)
		if !found {
			return "", "", fettle.BadField("quotes", "cell", quote(s), "a closing quote in the same line")
		}
		text.WriteString(before)
		if !strings.HasPrefix(after, `"`) {
			return text.String(), after, nil
		}
		text.WriteByte('"')
		s = after[1:]
	}
}

func quote(s string) string { return strconv.Quote(fettle.Shorten(s)) }
