package influx

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// maxRecord bounds one row of an answer, in bytes.
const maxRecord = 4 << 20

// Rows reads readings from a Flux answer in annotated CSV whose tables are
// pivoted: each row has a time and a column for each field. It holds one row of
// it at a time.
//
//	#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,string,string,double
//	#group,false,false,true,true,false,true,true,false
//	#default,_result,,,,,,,
//	,result,table,_start,_stop,_time,_measurement,workspace_id,current
//	,,0,2025-11-25T04:00:00Z,2025-11-25T05:00:00Z,2025-11-25T04:20:00Z,sensor_data,lathe-1,17.2
//
// Columns of the group key that hold text are tags. Other columns are sensors
// if they hold numbers or booleans, and tags if they hold text. A table of the
// columns error and reference is an error that befell the query half-way.
type Rows struct {
	machineTag string
	bounded    *boundedRecords
	csv        *csv.Reader

	annotations map[string][]string // of the table to come, or that we are in
	fresh       bool                // annotations were read and no header since
	columns     []column

	tags    map[string]string // of the row before, shared by all that are alike
	tagText string            // what they were made from
	scratch []byte

	// Unnamed counts rows that do not say whose they are.
	Unnamed int64
}

// A column is where a cell of a row goes.
type column struct {
	name     string
	role     role
	datatype string
	byUnset  string // stands for an empty cell
}

type role int

const (
	roleNone role = iota
	roleTime
	roleMachine
	roleTag
	roleValue
	roleText
	roleError
)

// NewRows reads an answer; machineTag is the tag that names the machine.
func NewRows(answer io.Reader, machineTag string) *Rows {
	bounded := &boundedRecords{from: answer}
	reader := csv.NewReader(bounded)
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true
	return &Rows{machineTag: machineTag, bounded: bounded, csv: reader, annotations: map[string][]string{}}
}

// boundedRecords fails when too much is read for one row.
type boundedRecords struct {
	from io.Reader
	read int // since the last row
}

func (b *boundedRecords) Read(p []byte) (int, error) {
	if b.read > maxRecord {
		return 0, fmt.Errorf("a row of more than %d bytes", maxRecord)
	}
	n, err := b.from.Read(p)
	b.read += n
	return n, err
}

// Next returns the next reading; io.EOF when there is none.
func (r *Rows) Next() (fettle.Reading, error) {
	for {
		r.bounded.read = 0
		cells, err := r.csv.Read()
		switch {
		case errors.Is(err, io.EOF):
			return fettle.Reading{}, io.EOF
		case err != nil:
			return fettle.Reading{}, fmt.Errorf("read answer of InfluxDB: %w", err)
		case strings.HasPrefix(cells[0], "#"):
			r.annotate(cells)
		case r.fresh:
			if err := r.header(cells); err != nil {
				return fettle.Reading{}, err
			}
		default:
			row, found, err := r.row(cells)
			if err != nil || found {
				return row, err
			}
		}
	}
}

func (r *Rows) annotate(cells []string) {
	if !r.fresh {
		clear(r.annotations)
	}
	r.fresh = true
	kept := make([]string, len(cells))
	for i, cell := range cells {
		kept[i] = strings.Clone(cell)
	}
	r.annotations[kept[0]] = kept
}

// header plans where the cells of the rows behind it go.
func (r *Rows) header(cells []string) error {
	datatypes, groups, defaults := r.annotations["#datatype"], r.annotations["#group"], r.annotations["#default"]
	if len(datatypes) != len(cells) || len(groups) != len(cells) || len(defaults) != len(cells) {
		return fmt.Errorf("read answer of InfluxDB: a header of %d columns has annotations of %d, %d and %d", len(cells), len(datatypes), len(groups), len(defaults))
	}
	r.columns, r.fresh = make([]column, len(cells)), false
	r.tags, r.tagText = nil, ""
	for i, name := range cells {
		c := column{name: strings.Clone(name), datatype: datatypes[i], byUnset: defaults[i]}
		switch {
		case i == 0:
		case name == "_time":
			c.role = roleTime
		case name == "error" && len(cells) <= 3:
			c.role = roleError
		case name == r.machineTag:
			c.role = roleMachine
		case name == "result" || name == "table" || strings.HasPrefix(name, "_"):
		case groups[i] == "true" && c.datatype == "string":
			c.role = roleTag
		case c.datatype == "double" || c.datatype == "long" || c.datatype == "unsignedLong" || c.datatype == "boolean":
			c.role = roleValue
		case c.datatype == "string":
			c.role = roleText
		}
		r.columns[i] = c
	}
	return nil
}

// row makes a reading. Not found: the row holds none.
func (r *Rows) row(cells []string) (row fettle.Reading, found bool, err error) {
	if len(cells) != len(r.columns) {
		return row, false, fmt.Errorf("read answer of InfluxDB: a row of %d cells under a header of %d", len(cells), len(r.columns))
	}
	row.Values = make([]fettle.Value, 0, len(cells))
	var texts map[string]string
	for i, c := range r.columns {
		cell := cells[i]
		if cell == "" {
			cell = c.byUnset
		}
		switch c.role {
		case roleError:
			return row, false, fettle.Errorf(fettle.Unavailable, "InfluxDB broke off its answer: %s", fettle.Shorten(cell))
		case roleTime:
			if row.Time, err = time.Parse(time.RFC3339Nano, cell); err != nil {
				return row, false, fmt.Errorf("read answer of InfluxDB: _time: %w", err)
			}
		case roleMachine:
			row.Machine = cell
		case roleValue:
			v, given, err := value(c.datatype, cell)
			if err != nil {
				return row, false, fmt.Errorf("read answer of InfluxDB: column %s: %w", fettle.Shorten(c.name), err)
			}
			if given {
				row.Values = append(row.Values, fettle.Value{Sensor: c.name, Value: v})
			}
		case roleText:
			if cell != "" {
				if texts == nil {
					texts = map[string]string{}
				}
				texts[c.name] = strings.Clone(cell)
			}
		}
	}
	if row.Machine == "" {
		r.Unnamed++
		return row, false, nil
	}
	row.Machine = strings.Clone(row.Machine)
	row.Time = row.Time.UTC().Truncate(time.Microsecond)
	row.Values = fettle.SortValues(row.Values)
	row.Tags = r.tagsOf(cells)
	if texts != nil {
		maps.Copy(texts, row.Tags)
		row.Tags = texts
	}
	return row, len(row.Values) > 0 && !row.Time.IsZero(), nil
}

// tagsOf is the tags of a row; rows that are alike share them.
func (r *Rows) tagsOf(cells []string) map[string]string {
	text := r.scratch[:0]
	for i, c := range r.columns {
		if c.role == roleTag {
			text = append(append(text, cells[i]...), 0)
		}
	}
	if r.scratch = text; string(text) == r.tagText {
		return r.tags
	}
	r.tags, r.tagText = nil, string(text)
	for i, c := range r.columns {
		if c.role == roleTag && cells[i] != "" {
			if r.tags == nil {
				r.tags = map[string]string{}
			}
			r.tags[c.name] = strings.Clone(cells[i])
		}
	}
	return r.tags
}

// value reads a number or a boolean; an empty cell is none, nor is what is no
// finite number.
func value(datatype, cell string) (v float64, given bool, err error) {
	if cell == "" {
		return 0, false, nil
	}
	if datatype == "boolean" {
		on, err := strconv.ParseBool(cell)
		if on {
			v = 1
		}
		return v, true, err
	}
	v, err = strconv.ParseFloat(cell, 64)
	return v, err == nil && v-v == 0, err
}
