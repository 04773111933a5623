package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
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

// pack writes readings as a Parquet file with a column for each of the sensors,
// which must be sorted, and says what a job has to know of it.
func pack(out io.Writer, sensors []string, rows func(yield func(fettle.Reading) error) error) (Data, error) {
	sum, sized := sha256.New(), &counter{}
	p := packer{to: io.MultiWriter(out, sum, sized)}
	p.clear(sensors)
	data := Data{Sensors: sensors}
	err := rows(func(r fettle.Reading) error {
		data.Rows++
		return p.add(r)
	})
	if err == nil {
		err = p.flush()
	}
	if err == nil && p.writer != nil {
		err = p.writer.Close()
	}
	data.Bytes, data.SHA256 = sized.n, hex.EncodeToString(sum.Sum(nil))
	return data, err
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
	table  days.Table
}

func (p *packer) clear(sensors []string) {
	p.table = days.Table{Sensors: sensors, Times: make([]int64, 0, groupRows), Columns: make([][]float64, len(sensors))}
	for i := range p.table.Columns {
		p.table.Columns[i] = make([]float64, 0, groupRows)
	}
}

func (p *packer) add(r fettle.Reading) error {
	p.table.Times = append(p.table.Times, r.Time.UnixMicro())
	for i, sensor := range p.table.Sensors {
		v, said := r.Value(sensor)
		if !said {
			v = math.NaN()
		}
		p.table.Columns[i] = append(p.table.Columns[i], v)
	}
	if len(p.table.Times) < groupRows {
		return nil
	}
	return p.flush()
}

func (p *packer) flush() error {
	if len(p.table.Times) == 0 {
		return nil
	}
	if p.writer == nil {
		var err error
		if p.writer, err = days.NewPress().NewWriter(p.to, p.table, true); err != nil {
			return err
		}
	}
	if err := p.writer.Write(p.table); err != nil {
		return err
	}
	p.table.Times = p.table.Times[:0]
	for i := range p.table.Columns {
		p.table.Columns[i] = p.table.Columns[i][:0]
	}
	return nil
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
			if err := file.Column(g, sensor, column[at:at+n]); err != nil {
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
