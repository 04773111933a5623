package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"fettle"
	"fettle/internal/days"
)

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// groupRows is how many rows are packed at once: whoever packs or unpacks holds
// no more of them.
const groupRows = 32 << 10

// windowsOf yields a machine's rows in order, as windows of the same sensors.
type windowsOf func(yield func(fettle.Window) error) error

// pack writes rows as a Parquet file with a column for each of the sensors,
// which must be sorted, and says what a job has to know of it, and in how many
// rows each sensor spoke. Rows in which none did, which mark gaps, are left out:
// the times tell of the gaps.
func pack(out io.Writer, sensors []string, windows windowsOf) (data Data, spoken []int, err error) {
	sum, sized := sha256.New(), &counter{}
	p := newPacker(io.MultiWriter(out, sum, sized), sensors)
	if err = windows(p.add); err == nil {
		err = p.close()
	}
	return Data{Rows: p.rows, Sensors: sensors, Bytes: sized.n, SHA256: hex.EncodeToString(sum.Sum(nil))}, p.spoken, err
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// A packer makes groups of rows.
type packer struct {
	to     io.Writer
	writer *days.Writer // nil before the first group
	group  days.Table
	rows   int
	spoken []int // (sensors)
}

func newPacker(to io.Writer, sensors []string) *packer {
	p := &packer{to: to, group: days.Table{Sensors: sensors, Columns: make([][]float64, len(sensors))}, spoken: make([]int, len(sensors))}
	return p
}

func (p *packer) add(w fettle.Window) error {
	if !slices.Equal(w.Sensors, p.group.Sensors) {
		return fmt.Errorf("BUG: a window of the sensors %q among those of %q", w.Sensors, p.group.Sensors)
	}
	for row, at := range w.TimesMicros {
		said := false
		for i, column := range w.Columns {
			if v := column[row]; v == v {
				said = true
				p.spoken[i]++
			}
		}
		if !said {
			continue
		}
		p.group.Times = append(p.group.Times, at)
		for i, column := range w.Columns {
			p.group.Columns[i] = append(p.group.Columns[i], column[row])
		}
		if p.rows++; len(p.group.Times) == groupRows {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *packer) flush() error {
	if len(p.group.Times) == 0 {
		return nil
	}
	if p.writer == nil {
		var err error
		if p.writer, err = days.NewPress().NewWriter(p.to, p.group, true); err != nil {
			return err
		}
	}
	if err := p.writer.Write(p.group); err != nil {
		return err
	}
	p.group.Times = p.group.Times[:0]
	for i := range p.group.Columns {
		p.group.Columns[i] = p.group.Columns[i][:0]
	}
	return nil
}

func (p *packer) close() error {
	if err := p.flush(); err != nil || p.writer == nil {
		return err
	}
	return p.writer.Close()
}

// unpack opens a job's readings as a table whose columns are decoded as they
// are asked for, all into the same memory.
func unpack(machine string, d Data, packed []byte) (Table, error) {
	if got := sumOf(packed); got != d.SHA256 {
		return Table{}, fettle.BadField("bad job", "data.sha256", d.SHA256, got+", as the readings have")
	}
	file, err := days.Open(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return Table{}, fettle.Errorf(fettle.Invalid, "read the job's readings: %w", err)
	}
	if !slices.Equal(file.Sensors(), d.Sensors) {
		return Table{}, fettle.BadField("bad job", "data.sensors", fmt.Sprintf("%q", d.Sensors), fmt.Sprintf("%q, as the readings have", file.Sensors()))
	}
	rows := 0
	for g := range file.Groups() {
		n := file.Rows(g)
		if n < 0 || n > d.Rows-rows {
			return Table{}, fettle.BadField("bad job", "data.rows", fmt.Sprint(d.Rows), "as many as the readings have, which are more")
		}
		rows += n
	}
	if rows != d.Rows {
		return Table{}, fettle.BadField("bad job", "data.rows", fmt.Sprint(d.Rows), fmt.Sprintf("%d, as the readings have", rows))
	}
	t := Table{Machine: machine, Sensors: d.Sensors, Times: make([]int64, rows)}
	at := 0
	for g := range file.Groups() {
		n := file.Rows(g)
		if err := file.Times(g, t.Times[at:at+n]); err != nil {
			return Table{}, fettle.Errorf(fettle.Invalid, "read the job's readings: %w", err)
		}
		at += n
	}
	for i := 1; i < rows; i++ {
		if t.Times[i] <= t.Times[i-1] {
			return Table{}, fettle.Errorf(fettle.Invalid, "read the job's readings: row %d is not after the one before; expected ascending times", i)
		}
	}
	column := make([]float64, rows)
	t.Column = func(sensor int) ([]float64, error) {
		at := 0
		for g := range file.Groups() {
			n := file.Rows(g)
			if err := file.Column(g, sensor, 0, column[at:at+n]); err != nil {
				return nil, fettle.Errorf(fettle.Invalid, "read the job's readings of %s: %w", d.Sensors[sensor], err)
			}
			at += n
		}
		return column, nil
	}
	return t, nil
}

// rangeOf is the stretch of time to learn from: so much before the newest row.
func rangeOf(first, last time.Time, history time.Duration) (from, to time.Time) {
	from = last.Add(-history)
	if from.Before(first) {
		from = first
	}
	return from, last.Add(time.Microsecond)
}
