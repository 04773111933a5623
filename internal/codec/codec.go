// Package codec turns the bytes of sensor messages into readings, and readings
// into bytes.
//
// A topic and a payload come in; readings, or errors that name the field, the
// value and what was expected, go out. It knows no clock, no store and no other
// message than the one in its hands: whether a time is too far ahead, or a
// machine one too many, is decided behind it, at the gate.
//
// # The message
//
// One flat JSON object is one reading of one machine:
//
//	{"machine": "press-3", "timestamp": "2025-11-25T04:20:00Z", "current": 17.2, "shift": "late"}
//
// It is the same on every topic and over HTTP, and holds both messages of the
// old senders.
//
//   - "machine", or "workspace_id", names the machine. A topic can name it too
//     (see [Topics]); if both do they must agree, so that rights given on a
//     topic cannot be stepped around, and a copied sender is noticed. Several
//     machines on one topic: use a topic without {machine}.
//   - "timestamp", or "time", or "ts" (the first of them that is there, in this
//     order) is the event time: see [Decode]. Without one it is the arrival.
//   - Numbers are values of the sensor that the field names; true and false
//     are 1 and 0. null, NaN and the infinities, however they are spelled, mean
//     "the sensor said nothing".
//   - Text becomes a tag, even if it looks like a number.
//   - Objects are flattened: {"bearing": {"temp": 61}} is the sensor
//     bearing.temp, four names deep at most. Only an object called "values" or
//     "tags" leaves no name of its own, so that a reading as the API prints it
//     can be sent back.
//   - Of a field that is there twice the last wins, and a number over text.
//   - An array of such objects is a batch; each is judged alone.
//   - On a topic that names the {sensor}, a bare number is one value. There an
//     object's field "value" is the sensor itself, and its other fields are
//     named under it: sensor.field.
//
// A byte order mark and white space around the message are forgiven. Text that
// is not UTF-8 and anything after the message are not.
package codec

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"fettle"
)

// Limits of one message, whichever way it comes. Those of one reading are
// [fettle.MaxName], [fettle.MaxSensors], [fettle.MaxTags] and [fettle.MaxTag].
const (
	MaxMessage = 1 << 20 // bytes
	MaxRows    = 10_000  // readings in one message
	maxDepth   = 4       // names in a flattened field
)

// The phrases that refused messages are counted by.
const (
	reasonSize     = "message too large"
	reasonRows     = "too many rows"
	reasonEncoding = "not UTF-8"
	reasonSyntax   = "not JSON"
	reasonShape    = "not a sensor message"
	reasonMachine  = "no machine"
	reasonDisagree = "machine names disagree"
	reasonName     = "name not usable"
	reasonTime     = "time not readable"
	reasonNumber   = "number too large"
	reasonNested   = "nested too deeply"
	reasonArray    = "array in a message"
	reasonSensors  = "too many sensors"
	reasonTags     = "too many tags"
	reasonTag      = "tag too long"
	reasonEmpty    = "no values"
)

// Errors lists what was wrong with the messages of a batch, in their order.
// Each is a [fettle.Error] whose Field begins with the place, such as
// "[3].current".
type Errors []error

// listed is how many of a batch's errors are spelled out in one text.
const listed = 3

func (e Errors) Error() string {
	var text strings.Builder
	for i, err := range e {
		if i == listed {
			fmt.Fprintf(&text, "; and %d more", len(e)-listed)
			break
		}
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(err.Error())
	}
	return text.String()
}

// Unwrap lets the kind and the reason of the first error stand for all.
func (e Errors) Unwrap() []error { return e }

// Decode reads the message that came on a topic with these names (none, over
// HTTP). It returns the readings that are good and, if any is not, an error:
// [Errors] for a batch, a single *[fettle.Error] for anything else. The payload
// is not kept.
//
// A time is RFC 3339, with T or a space, with or without a fraction, with or
// without a zone (none is UTC); or the time since 1970, as a number or as text,
// with or without a fraction, its unit told by its size: below 1e11 seconds,
// below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Times are
// cut to whole microseconds. A time that is there but cannot be read refuses
// its message; [fettle.Reading.Time] is zero if there is none.
func Decode(names Names, payload []byte) ([]fettle.Reading, error) {
	if len(payload) > MaxMessage {
		return nil, fettle.BadField(reasonSize, "message", fmt.Sprintf("%d bytes long", len(payload)),
			fmt.Sprintf("at most %d", MaxMessage))
	}
	if !utf8.Valid(payload) {
		return nil, fettle.BadField(reasonEncoding, "message", "not UTF-8", "JSON text in UTF-8")
	}
	s := &scanner{data: bytes.TrimPrefix(payload, []byte("\uFEFF"))}
	switch s.peek() {
	case '[':
		return decodeBatch(names, s)
	case 0:
		if s.end() == nil {
			return nil, fettle.BadField(reasonSyntax, "message", "empty", `JSON, such as {"machine": "press-3", "current": 17.2}`)
		}
	}
	row, bad, err := decodeMessage(names, "", s)
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, bad
	}
	return []fettle.Reading{row}, nil
}

// decodeBatch reads an array of messages. A fault in the JSON itself refuses
// the whole array: after it nobody knows what belongs to what.
func decodeBatch(names Names, s *scanner) ([]fettle.Reading, error) {
	var rows []fettle.Reading
	var wrong Errors
	s.pos++ // the bracket that brought us here
	for n := 0; ; n++ {
		more, err := s.more(n == 0, ']')
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if n == MaxRows {
			return nil, fettle.BadField(reasonRows, "message", fmt.Sprintf("an array of more than %d", MaxRows),
				fmt.Sprintf("at most %d readings in one message", MaxRows))
		}
		row, bad, err := decodeMessage(names, fmt.Sprintf("[%d]", n), s)
		switch {
		case err != nil:
			return nil, err
		case bad != nil:
			wrong = append(wrong, bad)
		default:
			rows = append(rows, row)
		}
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		return rows, wrong
	}
	if len(rows) == 0 {
		return nil, fettle.BadField(reasonEmpty, "message", "an empty array", "at least one reading")
	}
	return rows, nil
}
