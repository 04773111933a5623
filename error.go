package fettle

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what the caller can do about them. The HTTP status is
// chosen from it in one place, internal/api.
type Kind int

// The kinds of errors. Internal is what an error has that nobody classified.
const (
	Internal    Kind = iota
	Invalid          // the input is wrong; sending it again will not help
	NotFound         // no such thing
	Conflict         // it exists, or somebody else holds it
	Unavailable      // not now; try again later
	Busy             // too much at once; try again in a moment
	Forbidden        // not allowed
)

// An Error is an error of a known kind. For bad input it also says which field
// held which value, and what was expected there.
type Error struct {
	Kind     Kind
	Reason   string // one short stable phrase to count by, such as "time too far ahead"
	Field    string // where in the input, such as "timestamp" or "[3].current"
	Value    string // what stood there, shortened
	Expected string // what should have stood there
	Err      error  // what happened, if the fields above do not say it
}

func (e *Error) Error() string {
	var text string
	if e.Err != nil {
		text = e.Err.Error()
	}
	if e.Field == "" && e.Expected == "" {
		return text
	}
	if text != "" {
		text += ": "
	}
	text += e.Field
	if e.Value != "" {
		text += " is " + e.Value
	}
	if e.Expected != "" {
		text += "; expected " + e.Expected
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind; %w wraps as in fmt.Errorf.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// BadField makes an Invalid error that names the field, the value found there
// (shortened) and what was expected; reason is the phrase to count it by.
func BadField(reason, field, value, expected string) *Error {
	return &Error{Kind: Invalid, Reason: reason, Field: field, Value: Shorten(value), Expected: expected}
}

// KindOf finds the kind in an error's chain; Internal if it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// ReasonOf finds the phrase to count an error by in its chain; "other" if it
// has none.
func ReasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Reason != "" {
		return e.Reason
	}
	return "other"
}

// shown is how much of a bad value an error repeats, in bytes.
const shown = 80

// Shorten cuts a value for display, at a rune's border, and says so.
func Shorten(s string) string {
	if len(s) <= shown {
		return s
	}
	cut := shown
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
