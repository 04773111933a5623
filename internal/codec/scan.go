package codec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"fettle"
)

// A scanner walks over JSON text (RFC 8259), with one addition: a value may
// also be one of the bare words that Python, C and their like write for a
// number that is none (NaN, nan, -inf, Infinity …). Its errors are faults in
// the JSON itself, after which nothing more can be read.
//
// encoding/json is not used for it because it refuses those words, and because
// its tokens would be most of the cost of a message.
type scanner struct {
	data []byte
	pos  int
}

// kind sorts JSON values by what they can mean in a message.
type kind int

const (
	kindObject  kind = iota // its opening brace has been read
	kindArray               // its opening bracket has been read
	kindText                // unquoted
	kindNumber              // as it was written
	kindTrue                // true
	kindFalse               // false
	kindMissing             // null, or a word for "not a number"
)

// A token is a value, or the opening of one.
type token struct {
	kind kind
	text []byte // of kindText and kindNumber; part of the payload, or else its own
}

// longestWord bounds what is tried as a bare word: "-Infinity".
const longestWord = 9

// deepest bounds how far arrays and objects that are only skipped may nest.
const deepest = 64

func (s *scanner) fault(expected string) error {
	at := fmt.Sprintf("byte %d", s.pos+1)
	if s.pos >= len(s.data) {
		return fettle.BadField(reasonSyntax, at, "the end of the message", expected)
	}
	r, _ := utf8.DecodeRune(s.data[s.pos:])
	return fettle.BadField(reasonSyntax, at, strconv.QuoteRune(r), expected)
}

// peek skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.pos < len(s.data) {
		return s.fault("nothing after the message")
	}
	return nil
}

// more tells whether a member follows in an array or object that ends with
// closing, and reads the comma before it, or the end.
func (s *scanner) more(first bool, closing byte) (bool, error) {
	switch c := s.peek(); {
	case c == closing:
		s.pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.pos++
		return true, nil
	default:
		return false, s.fault(fmt.Sprintf("',' or '%c'", closing))
	}
}

// name reads a field's name and the colon after it.
func (s *scanner) name() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fault("a field's name in double quotes")
	}
	name, err := s.text()
	if err != nil {
		return nil, err
	}
	if s.peek() != ':' {
		return nil, s.fault("':'")
	}
	s.pos++
	return name, nil
}

// value reads a value whole, or only the opening of an array or object.
func (s *scanner) value() (token, error) {
	switch c := s.peek(); {
	case c == '{':
		s.pos++
		return token{kind: kindObject}, nil
	case c == '[':
		s.pos++
		return token{kind: kindArray}, nil
	case c == '"':
		text, err := s.text()
		return token{kindText, text}, err
	case c >= '0' && c <= '9', c == '-' && s.digitAt(s.pos+1):
		text, err := s.number()
		return token{kindNumber, text}, err
	default:
		return s.word()
	}
}

// text reads a quoted string. Half a surrogate pair becomes U+FFFD.
func (s *scanner) text() ([]byte, error) {
	s.pos++ // the quote
	start, escaped := s.pos, false
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos]
			s.pos++
			if !escaped {
				return raw, nil
			}
			return s.unescape(start)
		case c == '\\':
			escaped = true
			s.pos++ // whatever it escapes, it does not end the string
		case c < ' ':
			return nil, s.fault("no control character in a string; write it as \\n, \\t or \\u0000")
		}
	}
	s.pos = len(s.data)
	return nil, s.fault("'\"' at the end of a string")
}

// unescape unquotes the string that began at start and ends before s.pos.
func (s *scanner) unescape(start int) ([]byte, error) {
	var text string
	if err := json.Unmarshal(s.data[start-1:s.pos], &text); err != nil {
		s.pos = start
		return nil, s.fault("a string with JSON's own escapes only")
	}
	return []byte(text), nil
}

// number reads -?digits[.digits][e±digits]; that the first digit is there is
// known.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.data[s.pos] == '0' && s.digitAt(s.pos+1) {
		return nil, s.fault("a number without leading zeros")
	}
	s.digits()
	if s.at(s.pos) == '.' {
		s.pos++
		if !s.digits() {
			return nil, s.fault("a digit after the point")
		}
	}
	if c := s.at(s.pos); c == 'e' || c == 'E' {
		s.pos++
		if c := s.at(s.pos); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return nil, s.fault("a digit in the exponent")
		}
	}
	return s.data[start:s.pos], nil
}

// word reads one of the bare words.
func (s *scanner) word() (token, error) {
	end := s.pos
	for end < len(s.data) && end <= s.pos+longestWord && isWordByte(s.data[end]) {
		end++
	}
	k, known := wordKind(s.data[s.pos:end])
	if !known {
		return token{}, s.fault("a value: text in double quotes, a number, true, false, null, or an object")
	}
	s.pos = end
	return token{kind: k}, nil
}

func wordKind(word []byte) (kind, bool) {
	switch string(word) {
	case "true":
		return kindTrue, true
	case "false":
		return kindFalse, true
	case "null":
		return kindMissing, true
	}
	if len(word) > 0 && (word[0] == '-' || word[0] == '+') {
		word = word[1:]
	}
	for _, none := range []string{"nan", "inf", "infinity"} {
		if strings.EqualFold(string(word), none) {
			return kindMissing, true
		}
	}
	return 0, false
}

// skip reads the rest of an array or object whose opening has been read,
// depth levels below the first one that is skipped.
func (s *scanner) skip(opening kind, depth int) error {
	if depth == deepest {
		return fettle.BadField(reasonNested, fmt.Sprintf("byte %d", s.pos),
			fmt.Sprintf("nested more than %d deep", deepest), fmt.Sprintf("at most %d names deep", maxDepth))
	}
	closing := byte('}')
	if opening == kindArray {
		closing = ']'
	}
	for first := true; ; first = false {
		more, err := s.more(first, closing)
		if err != nil || !more {
			return err
		}
		if opening == kindObject {
			if _, err := s.name(); err != nil {
				return err
			}
		}
		v, err := s.value()
		if err != nil {
			return err
		}
		if v.kind == kindObject || v.kind == kindArray {
			if err := s.skip(v.kind, depth+1); err != nil {
				return err
			}
		}
	}
}

// at returns the byte at a place, 0 behind the end.
func (s *scanner) at(pos int) byte {
	if pos < len(s.data) {
		return s.data[pos]
	}
	return 0
}

func (s *scanner) digitAt(pos int) bool { c := s.at(pos); return c >= '0' && c <= '9' }

// digits skips digits and tells whether there was any.
func (s *scanner) digits() bool {
	start := s.pos
	for s.digitAt(s.pos) {
		s.pos++
	}
	return s.pos > start
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '-'
}
