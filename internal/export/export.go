// Package export is the way out: readings of one machine go in, in the order of
// time, and come out as a file for other programs: Parquet, as that of a closed
// day, or line protocol, which InfluxDB, Telegraf and fettle itself read. It
// holds no more of them than one row group, and never looks anything up.
package export

import (
	"encoding/json"
	"io"
	"math"
	"slices"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/days"
)

// A Writer takes readings in the order of time. What it has written is whole
// only after Close, which does not close what it writes to.
type Writer interface {
	Write(r fettle.Reading) error
	Close() error
}

// Bounds of what is held before it is written.
const (
	groupRows   = 100_000
	groupValues = 2_000_000
	lineBytes   = 64 << 10
)

// Parquet writes the columns that a closed day has: time, a column for each of
// the sensors, tags. Other sensors are left out.
func Parquet(out io.Writer, sensors []string) Writer {
	p := &parquet{out: out, place: map[string]int{}}
	p.table.Sensors = slices.Sorted(slices.Values(sensors))
	p.most = max(1, min(groupRows, groupValues/max(1, len(sensors))))
	for i, sensor := range p.table.Sensors {
		p.place[sensor] = i
	}
	p.clear()
	return p
}

type parquet struct {
	out    io.Writer
	place  map[string]int // of sensors, among the columns
	most   int            // rows of a group
	table  days.Table     // the group to come
	tagged bool           // one of its rows has tags
	writer *days.Writer   // nil: nothing is written yet
}

func (p *parquet) clear() {
	p.table.Times, p.table.Tags, p.tagged = p.table.Times[:0], p.table.Tags[:0], false
	if p.table.Columns == nil {
		p.table.Columns = make([][]float64, len(p.table.Sensors))
	}
	for i := range p.table.Columns {
		p.table.Columns[i] = p.table.Columns[i][:0]
	}
}

// Write adds a row, once there is one of it.
func (p *parquet) Write(r fettle.Reading) error {
	row := len(p.table.Times)
	if row == p.most {
		if err := p.flush(true); err != nil {
			return err
		}
		row = 0
	}
	p.table.Times = append(p.table.Times, r.Time.UnixMicro())
	for i := range p.table.Columns {
		p.table.Columns[i] = append(p.table.Columns[i], math.NaN())
	}
	for _, v := range r.Values {
		if i, wanted := p.place[v.Sensor]; wanted {
			p.table.Columns[i][row] = v.Value
		}
	}
	text := ""
	if len(r.Tags) > 0 {
		encoded, err := json.Marshal(r.Tags)
		if err != nil {
			return err
		}
		text, p.tagged = string(encoded), true
	}
	p.table.Tags = append(p.table.Tags, text)
	return nil
}

// flush writes a group; more of them may follow.
func (p *parquet) flush(more bool) (err error) {
	table := p.table
	if !p.tagged {
		table.Tags = nil
	}
	if p.writer == nil {
		if p.writer, err = days.NewPress().NewWriter(p.out, table, more); err != nil {
			return err
		}
	}
	if err := p.writer.Write(table); err != nil {
		return err
	}
	p.clear()
	return nil
}

// Close ends the file.
func (p *parquet) Close() error {
	if p.writer == nil || len(p.table.Times) > 0 {
		if err := p.flush(false); err != nil {
			return err
		}
	}
	return p.writer.Close()
}

// Lines writes line protocol, with times in microseconds: what the sensors said,
// or all of them with nil.
func Lines(out io.Writer, sensors []string) Writer {
	l := &lines{out: out}
	if sensors != nil {
		l.wanted = map[string]bool{}
		for _, sensor := range sensors {
			l.wanted[sensor] = true
		}
	}
	return l
}

type lines struct {
	out    io.Writer
	wanted map[string]bool // nil: all
	buffer []byte
}

// Write adds a line, unless none of the sensors said anything.
func (l *lines) Write(r fettle.Reading) error {
	if l.wanted != nil {
		r.Values = slices.DeleteFunc(slices.Clone(r.Values), func(v fettle.Value) bool { return !l.wanted[v.Sensor] })
	}
	if l.buffer = codec.AppendLine(l.buffer, r); len(l.buffer) < lineBytes {
		return nil
	}
	return l.Close()
}

// Close writes what is left.
func (l *lines) Close() error {
	_, err := l.out.Write(l.buffer)
	l.buffer = l.buffer[:0]
	return err
}
