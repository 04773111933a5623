package codec

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"fettle"
)

// What InfluxDB calls a line that is none.
const reasonLine = "not line protocol"

// words is a fault in InfluxDB's own words.
func words(text string) *fettle.Error {
	return &fettle.Error{Kind: fettle.Invalid, Reason: reasonLine, Err: errors.New(text)}
}

// In a name a backslash escapes these, and only these; before anything else it
// is a character like others.
const (
	inMeasurement = ", "
	inTag         = ", ="
	inFieldKey    = `, ="`
)

// until finds the first of the stops that no backslash stands before.
func until(text []byte, from int, stops string) int {
	for i := from; i < len(text); i++ {
		if strings.IndexByte(stops, text[i]) >= 0 && (i == 0 || text[i-1] != '\\') {
			return i
		}
	}
	return len(text)
}

// cutSeries cuts a line at the first space that is not escaped, after its
// measurement and tags.
func cutSeries(line []byte) (head, rest []byte, bad *fettle.Error) {
	end := until(line, 0, " ")
	switch {
	case line[0] == ',':
		return nil, nil, words("missing measurement")
	case end == len(line):
		if _, _, bad := splitHead(line); bad != nil {
			return nil, nil, bad
		}
		return nil, nil, words("missing fields")
	}
	return line[:end], line[end:], nil
}

// splitHead takes a measurement and its tags apart.
func splitHead(head []byte) (measurement string, tags map[string]string, bad *fettle.Error) {
	end := until(head, 1, ",")
	measurement = unescape(head[:end], inMeasurement)
	tags = map[string]string{}
	for end < len(head) {
		head = head[end+1:]
		at := until(head, 0, ",=")
		switch {
		case at == 0:
			return "", nil, words("missing tag key")
		case at == len(head) || head[at] == ',':
			return "", nil, words("missing tag value")
		}
		key := unescape(head[:at], inTag)
		head = head[at+1:]
		end = until(head, 0, ",=")
		_, again := tags[key]
		switch {
		case end == 0:
			return "", nil, words("missing tag value")
		case end < len(head) && head[end] == '=':
			return "", nil, words("invalid tag format")
		case again:
			return "", nil, words("duplicate tags")
		}
		tags[key] = unescape(head[:end], inTag)
	}
	return measurement, tags, nil
}

// A field is a name with a number or a text.
type field struct {
	key    []byte // valid until the next line
	number float64
	isText bool
	text   string
}

// nextField reads the field that text begins with. more tells that another one
// follows; else rest is what stands behind the last one.
func nextField(text []byte) (f field, rest []byte, more bool, bad *fettle.Error) {
	text = bytes.TrimLeft(text, " ")
	at := until(text, 0, ",= ")
	switch {
	case at == 0 && at < len(text):
		return f, nil, false, words("missing field key")
	case at == 0:
		return f, nil, false, words("missing fields")
	case at == len(text) || text[at] != '=':
		return f, nil, false, words("invalid field format")
	}
	if f.key = text[:at]; bytes.IndexByte(f.key, '\\') >= 0 {
		f.key = []byte(unescape(f.key, inFieldKey))
	}
	text = text[at+1:]
	if len(text) > 0 && text[0] == '"' {
		f.isText = true
		f.text, rest, bad = quotedText(text)
	} else {
		end := bytes.IndexAny(text, ", ")
		if end < 0 {
			end = len(text)
		}
		rest = text[end:]
		f.number, bad = number(text[:end])
	}
	switch {
	case bad != nil:
		return f, nil, false, bad
	case len(rest) == 0 || rest[0] == ' ':
		return f, rest, false, nil
	case rest[0] != ',' || len(rest) == 1:
		return f, nil, false, words("invalid field format")
	case rest[1] == ' ':
		return f, nil, false, words("missing field key")
	}
	return f, rest[1:], true, nil
}

// quotedText reads a text in double quotes, in which a backslash escapes quotes
// and backslashes.
func quotedText(text []byte) (string, []byte, *fettle.Error) {
	var out []byte
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			if !utf8.Valid(out) {
				return "", nil, fettle.BadField(reasonEncoding, "field", "not UTF-8", "line protocol in UTF-8")
			}
			return string(out), text[i+1:], nil
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		}
		out = append(out, text[i])
	}
	return "", nil, words("unbalanced quotes")
}

// number reads a float, an integer (3i), an unsigned one (3u) or a boolean,
// which is 1 or 0.
func number(text []byte) (float64, *fettle.Error) {
	if len(text) == 0 {
		return 0, words("missing field value")
	}
	if c := text[0]; c != '-' && c != '.' && (c < '0' || c > '9') {
		return boolean(text)
	}
	last := len(text) - 1
	switch text[last] {
	case 'i':
		n, err := strconv.ParseInt(string(text[:last]), 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return 0, words("unable to parse integer " + string(text[:last]) + ": " + err.Error())
		}
		return float64(n), invalidNumber(err)
	case 'u':
		n, err := strconv.ParseUint(string(text[:last]), 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return 0, words("unable to parse unsigned " + string(text[:last]) + ": " + err.Error())
		}
		return float64(n), invalidNumber(err)
	}
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, words("invalid number")
		}
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, words("invalid float")
	}
	return x, invalidNumber(err)
}

func invalidNumber(err error) *fettle.Error {
	if err != nil {
		return words("invalid number")
	}
	return nil
}

func boolean(text []byte) (float64, *fettle.Error) {
	switch string(text) {
	case "t", "T", "true", "True", "TRUE":
		return 1, nil
	case "f", "F", "false", "False", "FALSE":
		return 0, nil
	}
	if c := text[0]; c == 'n' || c == 'N' { // NaN, which InfluxDB does not take either
		return 0, words("invalid number")
	}
	return 0, words("invalid boolean")
}

// unescape takes away the backslashes before the specials.
func unescape(text []byte, specials string) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	out := make([]byte, 0, len(text))
	for i := range text {
		if text[i] == '\\' && i+1 < len(text) && strings.IndexByte(specials, text[i+1]) >= 0 {
			continue
		}
		out = append(out, text[i])
	}
	return string(out)
}

// trimSpaces takes away what a line may end with.
func trimSpaces(text []byte) []byte { return bytes.Trim(text, " \t\r\x00") }
