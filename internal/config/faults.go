package config

import (
	"fmt"
	"slices"
	"strings"

	"fettle"
)

// A Fault is one thing that is wrong with the configuration, and where.
type Fault struct {
	Where string // "fettle.yaml:3:11" or "FETTLE_HTTP_LISTEN"; empty if nowhere in particular
	Quote string // the line of the file with a caret under the fault; empty if not to be shown
	Err   *fettle.Error

	line, column int
}

// Error says where, what, and shows the line.
func (f Fault) Error() string {
	text := f.Err.Error()
	if f.Where != "" {
		text = f.Where + ": " + text
	}
	if f.Quote != "" {
		text += "\n" + f.Quote
	}
	return text
}

// Unwrap gives the fault's kind, field, value and what was expected.
func (f Fault) Unwrap() error { return f.Err }

// Faults is everything that is wrong, in the file's order.
type Faults []Fault

// Error lists all faults.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	head := "configuration is wrong: "
	if len(f) > 1 {
		head = fmt.Sprintf("configuration has %d faults:\n", len(f))
	}
	return head + strings.Join(lines, "\n")
}

// Unwrap gives each fault to errors.As and errors.Is.
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i := range f {
		errs[i] = f[i]
	}
	return errs
}

// A place is where a value was written: a spot in the file, or a variable.
type place struct {
	line, column int // from 1; 0 when it was not the file
	variable     string
}

// fault books what is wrong at a place.
func (l *loader) fault(at place, err *fettle.Error) {
	f := Fault{Err: err, Where: at.variable, line: at.line, column: at.column}
	if at.line > 0 {
		f.Where = fmt.Sprintf("%s:%d:%d", l.file, at.line, at.column)
		f.Quote = l.quote(at)
	}
	if tellsSecret(err.Field) && err.Value != "" {
		hiddenValue := *err
		hiddenValue.Value = hidden
		f.Err = &hiddenValue
	}
	l.faults = append(l.faults, f)
}

// tellsSecret tells whether a field is a secret, or a line could hold one.
func tellsSecret(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{"password", "secret", "webhook"}, func(word string) bool { return strings.Contains(text, word) })
}

// quote shows a line of the file with a caret below the column. A line that
// could hold a secret is not shown: errors end up in logs and tickets.
func (l *loader) quote(at place) string {
	if at.line > len(l.lines) {
		return ""
	}
	line := strings.TrimRight(l.lines[at.line-1], "\r")
	if tellsSecret(line) || len(line) > 200 {
		return ""
	}
	margin := fmt.Sprintf("%5d | ", at.line)
	var under strings.Builder
	for i, r := range []rune(line) {
		if i >= at.column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		under.WriteRune(r)
	}
	return margin + line + "\n      | " + under.String() + "^"
}

// faultUnder tells whether a setting, or a part of it, is already known to be
// wrong: it then still holds its default, about which there is nothing to say.
func (l *loader) faultUnder(path string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return f.Err.Field == path || strings.HasPrefix(f.Err.Field, path+".") || strings.HasPrefix(f.Err.Field, path+"[")
	})
}

// placeOf finds where a setting was written, or else the nearest thing around
// it; nowhere if it is a default.
func (l *loader) placeOf(path string) place {
	for path != "" {
		if at, found := l.places[path]; found {
			return at
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return place{}
}

// origins says of every place that something was written at where that is.
func (l *loader) origins() map[string]string {
	list := map[string]string{}
	for path, at := range l.places {
		if list[path] = at.variable; at.line > 0 {
			list[path] = fmt.Sprintf("%s:%d", l.file, at.line)
		}
	}
	return list
}

// sortedFaults puts the file's faults in the file's order, the environment's
// after them.
func (l *loader) sortedFaults() Faults {
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		if (a.line == 0) != (b.line == 0) {
			return b.line - a.line
		}
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	})
	return l.faults
}
