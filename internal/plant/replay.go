package plant

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fettle"
)

// Limits of a recording.
const (
	MaxLine    = 1 << 20 // bytes in a line
	maxColumns = fettle.MaxSensors + 16
)

// ReplayOptions say what a recording's columns mean.
type ReplayOptions struct {
	Machine    string         // whose recording it is
	Columns    []string       // columns to keep, "name" or "name=sensor"; empty: all
	Drop       []string       // columns to leave out
	Zone       *time.Location // of times that name none; UTC if nil
	TimeColumn string         // empty: found by its name or its looks
	Shift      time.Duration  // added to every time, in whole microseconds
}

// A Recording is a table of readings, one row a time, read as it goes by. The
// separator (; tab or ,), the time column and decimal commas are found out
// from the first lines.
type Recording struct {
	lines   *lineReader
	machine string
	zone    *time.Location
	shift   time.Duration

	separator byte
	timeAt    int      // column
	sensorAt  []string // sensor of each column; empty: not one
	columns   int
	notes     []string

	held     string    // a line read ahead, with heldLine > 0
	heldLine int       // its number
	previous time.Time // of the row before
}

// A Row is one line of a recording.
type Row struct {
	Message
	Line int           // number in the file, from 1
	Gap  time.Duration // since the row before; 0 for the first, never negative
}

// A BadLine is a line that could not be read. The next one may be fine.
type BadLine struct {
	Line int
	Err  error
}

func (b *BadLine) Error() string { return fmt.Sprintf("line %d: %v", b.Line, b.Err) }

// Unwrap gives what was wrong with it.
func (b *BadLine) Unwrap() error { return b.Err }

// Replay reads the header of a recording, and decides what its columns mean.
func Replay(r io.Reader, o ReplayOptions) (*Recording, error) {
	if unfit(o.Machine) {
		return nil, fettle.BadField("machine", "machine", o.Machine, fitMachine)
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	rec := &Recording{lines: &lineReader{r: bufio.NewReaderSize(r, 64<<10)}, machine: o.Machine, zone: o.Zone, shift: o.Shift.Truncate(time.Microsecond)}
	header, err := rec.lines.next()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", ended(err))
	}
	first, err := rec.lines.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read line %d: %w", rec.lines.number, err)
	}
	rec.held, rec.heldLine = first, rec.lines.number
	return rec, rec.layOut(strings.TrimPrefix(header, "\ufeff"), first, o)
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return fettle.Errorf(fettle.Invalid, "the file is empty")
	}
	return err
}

// Notes say what was left out of the recording and why, for people.
func (r *Recording) Notes() []string { return r.notes }

// Sensors are the names under which the columns are published, in their order.
func (r *Recording) Sensors() []string {
	var names []string
	for _, s := range r.sensorAt {
		if s != "" {
			names = append(names, s)
		}
	}
	return names
}

// Next returns the next row that says anything; io.EOF after the last. A line
// that cannot be read is a *BadLine, after which Next goes on.
func (r *Recording) Next() (Row, error) {
	for {
		line, number, err := r.nextLine()
		if err != nil {
			return Row{}, err
		}
		reading, err := r.parse(line)
		if err != nil {
			return Row{}, &BadLine{Line: number, Err: err}
		}
		row := Row{Line: number}
		if !r.previous.IsZero() {
			row.Gap = max(reading.Time.Sub(r.previous), 0)
		}
		if len(reading.Values) == 0 {
			continue // every sensor was silent; its time is part of the next gap
		}
		r.previous = reading.Time
		row.Message = Message{Topic: "fettle/" + r.machine + "/readings", QoS: 1, Payload: readingPayload(reading), Reading: reading}
		return row, nil
	}
}

func (r *Recording) nextLine() (line string, number int, err error) {
	if r.heldLine > 0 {
		line, number = r.held, r.heldLine
		r.held, r.heldLine = "", 0
		if line != "" {
			return line, number, nil
		}
	}
	line, err = r.lines.next()
	var long *fettle.Error
	if errors.As(err, &long) {
		err = &BadLine{Line: r.lines.number, Err: err}
	}
	return line, r.lines.number, err
}

// parse reads the cells of a line.
func (r *Recording) parse(line string) (fettle.Reading, error) {
	cells, err := split(line, r.separator)
	if err != nil {
		return fettle.Reading{}, err
	}
	if len(cells) != r.columns {
		return fettle.Reading{}, fettle.BadField("columns", "line", fmt.Sprintf("%d cells long", len(cells)), fmt.Sprintf("%d, as in the header", r.columns))
	}
	at, ok := parseTime(cells[r.timeAt], r.zone)
	if !ok {
		return fettle.Reading{}, fettle.BadField("time", "time", cells[r.timeAt], "a time such as 2020-03-09 10:14:33")
	}
	reading := fettle.Reading{Machine: r.machine, Time: at.Add(r.shift)}
	for i, sensor := range r.sensorAt {
		if sensor == "" {
			continue
		}
		value, missing, ok := parseNumber(cells[i], r.separator)
		if !ok {
			return fettle.Reading{}, fettle.BadField("number", sensor, cells[i], "a number, or nothing if it is missing")
		}
		if !missing {
			reading.Values = append(reading.Values, fettle.Value{Sensor: sensor, Value: value})
		}
	}
	reading.Values = fettle.SortValues(reading.Values)
	return reading, nil
}

// An Extent sums up a recording.
type Extent struct {
	First, Last time.Time
	Rows        int           // that can be published
	Length      time.Duration // sum of the gaps: how long it takes at its own speed
}

// Survey reads a recording to its end, to know beforehand how long it is.
func Survey(r io.Reader, o ReplayOptions) (Extent, error) {
	rec, err := Replay(r, o)
	if err != nil {
		return Extent{}, err
	}
	var e Extent
	for {
		row, err := rec.Next()
		if bad := new(BadLine); errors.As(err, &bad) {
			continue
		} else if errors.Is(err, io.EOF) {
			return e, nil
		} else if err != nil {
			return Extent{}, err
		}
		if e.Rows == 0 {
			e.First = row.Reading.Time
		}
		e.Rows++
		e.Last = row.Reading.Time
		e.Length += row.Gap
	}
}

// A lineReader hands out lines that are not blank, and refuses endless ones.
type lineReader struct {
	r      *bufio.Reader
	number int
}

func (l *lineReader) next() (string, error) {
	for {
		text, err := l.line()
		if err != nil || strings.TrimSpace(text) != "" {
			return text, err
		}
	}
}

// line reads one line; of one that is too long the rest is skipped.
func (l *lineReader) line() (string, error) {
	var line []byte
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		if long = long || len(line)+len(part) > MaxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long):
			return "", err
		}
		l.number++
		if long {
			return "", fettle.BadField("line", "line", "longer than 1 MiB", "at most 1 MiB; is this a table?")
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
}
