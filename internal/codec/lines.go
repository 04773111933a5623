package codec

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"fettle"
)

// usualLines saves most batches much of the growing of their readings.
const usualLines = 1024

// MaxLine is the longest line, in bytes.
const MaxLine = MaxMessage

// Lines reads line protocol from a stream, a batch of readings at a time, and
// holds no more of it than one batch and one line.
type Lines struct {
	from    io.Reader
	decoder lineDecoder

	buffer []byte // read and not decoded yet
	ended  error  // of from; io.EOF at its end
	line   int    // lines so far
}

// NewLines reads lines of a shape. arrival is the time of lines without one.
func NewLines(from io.Reader, s Shape, p Precision, arrival time.Time) *Lines {
	return &Lines{from: from, decoder: lineDecoder{
		shape: s, unit: p, arrival: arrival.UTC().Truncate(time.Microsecond), series: map[string]*series{}, names: map[string]string{},
	}}
}

// Next decodes up to most lines: rows are the readings of the good ones, and the
// caller's, bad has a [LineError] for each of the others. err is io.EOF once
// there is nothing more, else what broke the stream off; what came before it
// counts.
func (l *Lines) Next(most int) (rows []fettle.Reading, bad Errors, err error) {
	rows = make([]fettle.Reading, 0, min(most, usualLines))
	for len(rows)+len(bad) < most {
		line, err := l.next()
		if err != nil {
			return rows, bad, err
		}
		row, fault := l.decoder.decode(line)
		if fault == nil {
			rows = append(rows, row)
			continue
		}
		bad = append(bad, &LineError{Line: l.line, Text: strings.ToValidUTF8(fettle.Shorten(string(line)), "\uFFFD"), Why: fault})
	}
	return rows, bad, nil
}

// next finds the next line that says something.
func (l *Lines) next() ([]byte, error) {
	for {
		line, err := l.cut()
		if err != nil {
			return nil, err
		}
		l.line++
		if line = trimSpaces(line); len(line) > 0 && line[0] != '#' {
			return line, nil
		}
	}
}

// cut takes the next line out of the buffer, which it fills as needed.
func (l *Lines) cut() ([]byte, error) {
	for {
		end, whole := endOfLine(l.buffer)
		switch {
		case whole:
			line := l.buffer[:end]
			l.buffer = l.buffer[end+1:]
			return line, nil
		case l.ended == io.EOF && len(l.buffer) > 0:
			line := l.buffer
			l.buffer = nil
			return line, nil
		case l.ended != nil:
			return nil, l.ended
		case len(l.buffer) > MaxLine:
			l.ended = &LineError{Line: l.line + 1, Text: fettle.Shorten(string(l.buffer[:200])),
				Why: fettle.BadField(reasonSize, "line", fmt.Sprintf("more than %d bytes long", MaxLine), fmt.Sprintf("at most %d", MaxLine))}
			return nil, l.ended
		}
		l.fill()
	}
}

// fill reads on. What was handed out from the old buffer has been decoded.
func (l *Lines) fill() {
	const least = 64 << 10
	grown := make([]byte, len(l.buffer), max(least, 2*len(l.buffer)))
	copy(grown, l.buffer)
	n, err := l.from.Read(grown[len(grown):cap(grown)])
	l.buffer, l.ended = grown[:len(grown)+n], err
}

// endOfLine finds the newline that ends the first line: one in a quoted text
// does not.
func endOfLine(text []byte) (end int, whole bool) {
	end = bytes.IndexByte(text, '\n')
	if end < 0 || bytes.IndexByte(text[:end], '"') < 0 {
		return end, end >= 0
	}
	return endOfQuotedLine(text)
}

// endOfQuotedLine is endOfLine for lines with quotes. They mean something only
// at the begin of a field's value, and until the next one.
func endOfQuotedLine(text []byte) (end int, whole bool) {
	escaped := func(i int) bool { return i > 0 && text[i-1] == '\\' }
	inFields, quoted := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' && !quoted:
			return i, true
		case c == '\\' && quoted:
			i++
		case c == ' ' && !escaped(i):
			inFields = true
		case c == '"' && quoted:
			quoted = false
		case c == '"' && inFields && text[i-1] == '=' && !escaped(i-1):
			quoted = true
		}
	}
	return 0, false
}
