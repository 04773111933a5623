package days

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// A Writer writes tables with the same sensors, one row group each.
type Writer struct {
	out     *parquet.GenericWriter[any]
	schema  *schema
	scratch []parquet.Value
}

const (
	// fewValues bounds a dictionary: with more different values, or less than
	// two rows for each, it costs more than it saves.
	fewValues = 4096
	// pageBytes holds a day at a reading every 2 s in one page, which packs best.
	pageBytes = 512 << 10
	// leastPageBytes is for files of a few rows.
	leastPageBytes = 4 << 10
	// blockRows is how many values are handed to the library at once.
	blockRows = 1024
)

// A Press compresses pages. Its tables take some MB, so all writers of a store
// share one.
type Press struct {
	codec zstd.Codec
}

// NewPress makes one.
func NewPress() *Press {
	return &Press{codec: zstd.Codec{Level: zstd.SpeedDefault, Concurrency: 1}}
}

// NewWriter begins a file whose columns suit its first table. more says that
// other tables follow it, so that any sensor may yet turn out to be silent.
func (p *Press) NewWriter(out io.Writer, first Table, more bool) (w *Writer, err error) {
	defer survive("begin file", &err)
	s := newSchema(first, more)
	return &Writer{
		out: parquet.NewGenericWriter[any](out, parquet.NewSchema("readings", s),
			parquet.Compression(&p.codec),
			parquet.PageBufferSize(pageSize(first, more)), parquet.DataPageStatistics(false),
			parquet.CreatedBy("fettle", "1", "")),
		schema:  s,
		scratch: make([]parquet.Value, 0, blockRows),
	}, nil
}

// pageSize is what a column of a file takes at most, in bytes. The library sets
// aside that much for each, which for rollups, of many columns and few rows,
// would be most of the work.
func pageSize(first Table, more bool) int {
	if more {
		return pageBytes
	}
	const number = 8
	full := number * (first.Rows() + 1)
	return min(pageBytes, max(leastPageBytes, full+full/16)) // it ends a page a little before it is full
}

// Write adds a table as a row group.
func (w *Writer) Write(t Table) (err error) {
	defer survive("write rows", &err)
	if len(t.Columns) != len(w.schema.optional) {
		return fmt.Errorf("write rows: %d sensors, the file has %d", len(t.Columns), len(w.schema.optional))
	}
	columns := w.out.ColumnWriters()
	err = w.times(columns[0], t.Times)
	for i, values := range t.Columns {
		if err != nil {
			break
		}
		err = w.numbers(columns[1+i], values, 1+i, w.schema.optional[i])
	}
	if err == nil && w.schema.tags {
		err = w.tags(columns[1+len(t.Columns)], t)
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

func (w *Writer) times(out *parquet.ColumnWriter, times []int64) error {
	for block := range slices.Chunk(times, blockRows) {
		values := w.scratch[:len(block)]
		for i, micros := range block {
			values[i] = parquet.Int64Value(micros)
		}
		if _, err := out.WriteRowValues(values); err != nil {
			return err
		}
	}
	return nil
}

// numbers writes a sensor's column. Levels tell of gaps, so columns without any
// do without them.
func (w *Writer) numbers(out *parquet.ColumnWriter, values []float64, column int, optional bool) error {
	silent := parquet.NullValue().Level(0, 0, column)
	for part := range slices.Chunk(values, blockRows) {
		block := w.scratch[:len(part)]
		for i, v := range part {
			switch {
			case !optional:
				block[i] = parquet.DoubleValue(v)
			case v != v: // NaN
				block[i] = silent
			default:
				block[i] = parquet.DoubleValue(v).Level(0, 1, column)
			}
		}
		if _, err := out.WriteRowValues(block); err != nil {
			return err
		}
	}
	return nil
}

// tags writes the column of tags: its last.
func (w *Writer) tags(out *parquet.ColumnWriter, t Table) error {
	column := 1 + len(t.Columns)
	for from := 0; from < t.Rows(); from += blockRows {
		block := w.scratch[:min(blockRows, t.Rows()-from)]
		for i := range block {
			if t.Tags == nil || t.Tags[from+i] == "" {
				block[i] = parquet.NullValue().Level(0, 0, column)
			} else {
				block[i] = parquet.ByteArrayValue([]byte(t.Tags[from+i])).Level(0, 1, column)
			}
		}
		if _, err := out.WriteRowValues(block); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the file.
func (w *Writer) Close() (err error) {
	defer survive("end file", &err)
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("end file: %w", err)
	}
	return nil
}

// schema is a group whose fields keep their order; the library's own sorts them
// by name.
type schema struct {
	parquet.Group
	fields   []parquet.Field
	optional []bool // by sensor
	tags     bool   // there is a column of tags
}

// Fields lists the columns in the order of the file.
func (s *schema) Fields() []parquet.Field { return s.fields }

func newSchema(t Table, more bool) *schema {
	s := &schema{Group: parquet.Group{}, tags: more || t.Tags != nil}
	seen := newBitsSet(min(fewValues, t.Rows()/2))
	s.add(timeColumn, parquet.Encoded(parquet.Timestamp(parquet.Microsecond), &parquet.DeltaBinaryPacked))
	for i, sensor := range t.Sensors {
		few, gaps := survey(t.Columns[i], seen)
		node := parquet.Leaf(parquet.DoubleType)
		if few {
			node = parquet.Encoded(node, &parquet.RLEDictionary)
		} else {
			node = parquet.Encoded(node, &parquet.ByteStreamSplit)
		}
		if gaps = gaps || more; gaps {
			node = parquet.Optional(node)
		}
		s.optional = append(s.optional, gaps)
		s.add(columnOf(sensor), node)
	}
	if s.tags {
		s.add(tagsColumn, parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)))
	}
	return s
}

func (s *schema) add(name string, node parquet.Node) {
	s.Group[name] = node
	s.fields = append(s.fields, parquet.Group{name: node}.Fields()...)
}

// survey tells whether a column has few different values, and gaps. The set is
// room to count them in.
func survey(values []float64, seen *bitsSet) (few, gaps bool) {
	seen.clear()
	few = true
	last := ^uint64(0) // a NaN that nobody makes
	for _, v := range values {
		number := math.Float64bits(v)
		switch {
		case number == last:
		case v != v: // NaN
			gaps = true
			if !few {
				return few, gaps
			}
		case few:
			few = seen.add(number)
		}
		last = number
	}
	return few, gaps
}

// A bitsSet is a set of a limited number of numbers, by their bits. A map would
// take half as long as all the rest of writing a file.
type bitsSet struct {
	limit, used int
	slots       []uint64 // open addressing; at most half of them are used
	zero        bool     // 0, which marks a free slot, is in the set
}

func newBitsSet(limit int) *bitsSet {
	return &bitsSet{limit: limit, slots: make([]uint64, 2<<bits.Len(uint(limit)))}
}

func (s *bitsSet) clear() {
	clear(s.slots)
	s.used, s.zero = 0, false
}

// add tells whether there was room for a number, or it was in the set already.
func (s *bitsSet) add(number uint64) bool {
	if number == 0 {
		if !s.zero {
			s.zero = true
			s.used++
		}
		return s.used <= s.limit
	}
	mask := uint64(len(s.slots) - 1)
	const golden = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio spreads numbers that are close together
	for i := number * golden >> 40 & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case number:
			return true
		case 0:
			if s.used++; s.used > s.limit {
				return false
			}
			s.slots[i] = number
			return true
		}
	}
}
