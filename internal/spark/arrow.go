package spark

import (
	"encoding/binary"
	"errors"
	"math"

	"fettle"
)

// Rows come as an Arrow IPC stream
// (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
// The only shape that fettle's statements have is one column of strings, and
// only that is read: a schema, then record batches of a validity bitmap, offsets
// and bytes.

var errArrow = errors.New("damaged Arrow data")

// Types of a message's header and of a column, by format/Message.fbs and
// format/Schema.fbs.
const (
	headerSchema      = 1
	headerRecordBatch = 3
	typeUTF8          = 5
	typeLargeUTF8     = 20
)

// appendStrings adds a stream's rows; a missing value is an empty string.
func appendStrings(rows []string, stream []byte) ([]string, error) {
	var offsetSize int // 4 or 8 bytes, once the schema has come
	for len(stream) > 0 {
		meta, body, rest, err := nextMessage(stream)
		if err != nil {
			return nil, err
		}
		if meta == nil {
			break
		}
		stream = rest
		m := root(meta)
		header := m.table(2)
		switch m.byte(1) {
		case headerSchema:
			offsetSize, err = stringColumn(header)
		case headerRecordBatch:
			if offsetSize == 0 {
				return nil, errArrow
			}
			rows, err = appendBatch(rows, header, body, offsetSize)
		default:
			return nil, errArrow
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// nextMessage cuts one message off a stream: its metadata, a flatbuffer, and its
// body. No metadata is the stream's end.
func nextMessage(stream []byte) (meta, body, rest []byte, err error) {
	const prefix = 8
	if len(stream) < prefix || binary.LittleEndian.Uint32(stream) != math.MaxUint32 {
		return nil, nil, nil, errArrow
	}
	size := int64(binary.LittleEndian.Uint32(stream[4:]))
	stream = stream[prefix:]
	if size == 0 {
		return nil, nil, nil, nil
	}
	if size > int64(len(stream)) {
		return nil, nil, nil, errArrow
	}
	meta, stream = stream[:size], stream[size:]
	length := root(meta).int64(3)
	if length < 0 || length > int64(len(stream)) {
		return nil, nil, nil, errArrow
	}
	return meta, stream[:length], stream[length:], nil
}

// stringColumn wants the schema to be one column of strings and says how many
// bytes its offsets have.
func stringColumn(schema table) (offsetSize int, err error) {
	columns, n := schema.vector(1, 4)
	if n != 1 {
		return 0, fettle.Errorf(fettle.Internal, "the statement's result has %d columns; expected one of strings", n)
	}
	switch column := schema.at(columns).follow(); column.byte(2) {
	case typeUTF8:
		return 4, nil
	case typeLargeUTF8:
		return 8, nil
	default:
		return 0, fettle.Errorf(fettle.Internal, "the statement's result is of Arrow's type %d; expected strings", column.byte(2))
	}
}

// appendBatch adds a record batch's rows.
func appendBatch(rows []string, batch table, body []byte, offsetSize int) ([]string, error) {
	if batch.has(3) {
		return nil, fettle.Errorf(fettle.Invalid, "Spark sends its rows compressed; set spark.sql.execution.arrow.compression.codec to none")
	}
	count := batch.int64(0)
	buffers, n := batch.vector(2, 16)
	if n != 3 || count < 0 {
		return nil, errArrow
	}
	var parts [3][]byte
	for i := range parts {
		at := batch.at(buffers + 16*i)
		offset, size := int64(at.uint(8)), int64(at.at(at.pos+8).uint(8))
		if offset < 0 || size < 0 || offset > int64(len(body)) || size > int64(len(body))-offset {
			return nil, errArrow
		}
		parts[i] = body[offset : offset+size]
	}
	validity, offsets, data := parts[0], parts[1], parts[2]
	if count == 0 {
		return rows, nil
	}
	if count >= int64(len(offsets)/offsetSize) || len(validity) > 0 && int64(len(validity)) < (count+7)/8 {
		return nil, errArrow
	}
	offset := func(i int64) uint64 {
		if offsetSize == 4 {
			return uint64(binary.LittleEndian.Uint32(offsets[4*i:]))
		}
		return binary.LittleEndian.Uint64(offsets[8*i:])
	}
	for i := range count {
		if len(validity) > 0 && validity[i/8]>>(i%8)&1 == 0 {
			rows = append(rows, "")
			continue
		}
		from, to := offset(i), offset(i+1)
		if from > to || to > uint64(len(data)) {
			return nil, errArrow
		}
		rows = append(rows, string(data[from:to]))
	}
	return rows, nil
}

// A table is a place in a flatbuffer (https://flatbuffers.dev/internals), mostly
// the start of a table, from which its fields are found. nowhere is where a
// field is that is not there. What lies outside of the buffer is read as zero:
// a damaged one gives wrong answers, and never a panic; every size that comes
// out of it is checked where it is used.
type table struct {
	buffer []byte
	pos    int
}

const nowhere = -1

func root(buffer []byte) table { return table{buffer, 0}.follow() }

func (t table) at(pos int) table { return table{t.buffer, pos} }

// follow goes where an offset leads that stands here.
func (t table) follow() table {
	if t.pos == nowhere {
		return t
	}
	return t.at(t.pos + int(t.uint(4)))
}

// field finds a field by its number, through the table's list of offsets.
func (t table) field(number int) table {
	list := t.at(t.pos - int(int32(t.uint(4))))
	entry := 4 + 2*number
	if t.pos == nowhere || entry >= int(list.uint(2)) {
		return t.at(nowhere)
	}
	offset := int(list.at(list.pos + entry).uint(2))
	if offset == 0 {
		return t.at(nowhere)
	}
	return t.at(t.pos + offset)
}

func (t table) has(field int) bool    { return t.field(field).pos != nowhere }
func (t table) byte(field int) int    { return int(t.field(field).uint(1)) }
func (t table) int64(field int) int64 { return int64(t.field(field).uint(8)) }
func (t table) table(field int) table { return t.field(field).follow() }

// vector is where a field's elements begin, and how many there are; none if
// there is no room for so many of that size.
func (t table) vector(field, size int) (pos, n int) {
	v := t.table(field)
	n = int(v.uint(4))
	if v.pos == nowhere || n > (len(t.buffer)-v.pos-4)/size {
		return nowhere, 0
	}
	return v.pos + 4, n
}

// uint is the little-endian number of so many bytes that stands here.
func (t table) uint(size int) uint64 {
	if t.pos < 0 || t.pos > len(t.buffer)-size {
		return 0
	}
	var v uint64
	for i, b := range t.buffer[t.pos : t.pos+size] {
		v |= uint64(b) << (8 * i)
	}
	return v
}
