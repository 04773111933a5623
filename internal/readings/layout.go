package readings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"fettle"
	"fettle/internal/db"
)

// The records of this package, layout 1. machine is an escaped, terminated
// string; micros a time, order-preserving; both as in package db. Numbers of
// sensors and tag sets belong to their machine and count from 0.
//
//	row      "r/r" machine micros      ->  one reading
//	sensor   "r/s" machine number(8)   ->  name
//	tag set  "r/t" machine number(8)   ->  pairs (length name, length text), by name
//	info     "r/i" machine             ->  what is known of the machine
//	latest   "r/l" machine             ->  newest value of each sensor
//	day      "r/d" machine micros      ->  catalogue: the files of a closed day, by its begin
//	open     "r/o" machine micros      ->  there are rows of this day, by its begin
//	note     "r/n" machine micros      ->  mark(8): the row was stored late, see NoteLate
//
// The rows of a day that is closed and has an open record lie over its file.
// A row, values in the order of their sensors' names:
//
//	+---+-----------+---------+--------------------------------+
//	| 1 | tag set+1 | n       | n times: sensor number | value |
//	+---+-----------+---------+--------------------------------+
//	 1 B  uvarint     uvarint            uvarint         8 B
//	      0: none                                        float64, little-endian
//
// The info, layout 2; layout 1 ends after rows. Rows of before a kind's floor
// are not kept any more; bytes are those of its files; lost counts the days
// whose raw file was damaged and set aside.
//
//	+---+--------+-------+---------+---------------------+---------+
//	| 2 | first  | last  | rows    | 3 times floor bytes | lost    |   first, last, floor:
//	+---+--------+-------+---------+---------------------+---------+   microseconds since 1970 UTC
//	 1 B  varint   varint  uvarint   varint  uvarint       uvarint
//
// A day. Kinds are raw, 1 min, 1 h; size 0 says that there is no such file.
// While files are replaced the new ones stand there too, and a file that fits
// either is right.
//
//	+---+-------+---------+--------+--------+----------------------+
//	| 1 | flags | rows    | first  | last   | 3 times size CRC-32C |   and from rows on once more
//	+---+-------+---------+--------+--------+----------------------+   if flags has 1; 2: raw is lost
//	 1 B  1 B     uvarint   varint   varint   uvarint uvarint
//
// An open day, with how many of its rows are not in its file, if it has one:
//
//	+---+---------+
//	| 1 | over    |
//	+---+---------+
//	 1 B  uvarint
//
// The latest record is written when it pays (see change.save), together with
// the watermark of that moment; what is newer is found in the rows since.
//
//	+---+----------+---------+------------------------------------------+
//	| 1 | saved at | n       | n times: saved at - time of value | value |
//	+---+----------+---------+------------------------------------------+
//	 1 B  varint     uvarint            varint                   8 B      by sensor number
const (
	layout     = 1
	infoLayout = 2
)

// Prefixes of the record kinds.
const (
	rowPrefix    = "r/r"
	sensorPrefix = "r/s"
	tagSetPrefix = "r/t"
	infoPrefix   = "r/i"
	latestPrefix = "r/l"
	dayPrefix    = "r/d"
	openPrefix   = "r/o"
	latePrefix   = "r/n"
)

var errDamaged = errors.New("record is damaged")

// rowsOf begins the keys of a machine's rows.
func rowsOf(dst []byte, machine string) []byte { return keyOf(dst, rowPrefix, machine) }

func keyOf(dst []byte, prefix, machine string) []byte {
	return db.AppendString(append(dst, prefix...), machine)
}

func appendMicros(key []byte, micros int64) []byte {
	return db.AppendMicros(key, fromMicros(micros))
}

// microsOf reads the time at the end of a row's key.
func microsOf(key []byte) (int64, error) {
	if len(key) < 8 {
		return 0, errDamaged
	}
	t, _, _ := db.CutMicros(key[len(key)-8:])
	return t.UnixMicro(), nil
}

// appendRow encodes a row; ids are the numbers of the values' sensors, and
// tagSet counts from 1, 0 being none.
func appendRow(dst []byte, tagSet uint32, values []fettle.Value, ids []uint32) []byte {
	dst = append(dst, layout)
	dst = binary.AppendUvarint(dst, uint64(tagSet))
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	for i, v := range values {
		dst = binary.AppendUvarint(dst, uint64(ids[i]))
		dst = appendFloat(dst, v.Value)
	}
	return dst
}

// A decoder reads the numbers of a record one by one. After the first that is
// not there, damaged is set and all others are 0.
type decoder struct {
	rest    []byte
	damaged bool
}

// decode starts a record of this layout.
func decode(record []byte) decoder {
	if len(record) == 0 || record[0] != layout {
		return decoder{damaged: true}
	}
	return decoder{rest: record[1:]}
}

func (d *decoder) uvarint() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 { // nearly all numbers of a row
		v := d.rest[0]
		d.rest = d.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.rest)
	return cutNumber(d, v, n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	return cutNumber(d, v, n)
}

func cutNumber[T int64 | uint64](d *decoder, v T, n int) T {
	if n <= 0 {
		d.damaged, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of things that take at least size bytes each, so that
// damage cannot ask for more memory than the record has bytes.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.damaged, d.rest = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) float() float64 {
	if len(d.rest) < 8 {
		d.damaged, d.rest = true, nil
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.rest))
	d.rest = d.rest[8:]
	return v
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) err() error {
	if d.damaged {
		return errDamaged
	}
	return nil
}

// below reads a number that must be below the bound.
func (d *decoder) below(bound int) int {
	v := d.uvarint()
	if v >= uint64(bound) {
		d.damaged, d.rest = true, nil
		return 0
	}
	return int(v)
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// row decodes a row into values, appended to dst, and its tags.
func (w *words) row(record []byte, dst []fettle.Value) ([]fettle.Value, map[string]string, error) {
	d := decode(record)
	tagSet := d.below(len(w.tagSets) + 1)
	n := d.count(9)
	dst = slices.Grow(dst, n)
	for range n {
		id := d.below(len(w.sensors))
		value := d.float()
		if d.damaged {
			break
		}
		dst = append(dst, fettle.Value{Sensor: w.sensors[id], Value: value})
	}
	if d.damaged || tagSet == 0 {
		return dst, nil, d.err()
	}
	return dst, w.tagSets[tagSet-1], nil
}

func appendInfo(dst []byte, s *state) []byte {
	dst = append(dst, infoLayout)
	dst = binary.AppendVarint(dst, s.first)
	dst = binary.AppendVarint(dst, s.last)
	dst = binary.AppendUvarint(dst, uint64(s.rows))
	for k := range kinds {
		dst = binary.AppendVarint(dst, s.floor[k])
		dst = binary.AppendUvarint(dst, uint64(s.bytes[k]))
	}
	return binary.AppendUvarint(dst, uint64(s.lost))
}

func decodeInfo(record []byte) (*state, error) {
	if len(record) == 0 || record[0] != layout && record[0] != infoLayout {
		return newState(), errDamaged
	}
	s, d := newState(), decoder{rest: record[1:]}
	s.first, s.last, s.rows = d.varint(), d.varint(), int64(d.uvarint())
	if record[0] == infoLayout {
		for k := range kinds {
			s.floor[k], s.bytes[k] = d.varint(), int64(d.uvarint())
		}
		s.lost = int64(d.uvarint())
	}
	return s, d.err()
}

func appendLatest(dst []byte, s *state) []byte {
	dst = append(dst, layout)
	dst = binary.AppendVarint(dst, s.last)
	dst = binary.AppendUvarint(dst, uint64(len(s.latest)))
	for _, l := range s.latest {
		dst = binary.AppendVarint(dst, s.last-l.micros)
		dst = appendFloat(dst, l.value)
	}
	return dst
}

func decodeLatest(record []byte) (savedAt int64, latest []sample, err error) {
	d := decode(record)
	savedAt = d.varint()
	latest = make([]sample, d.count(9))
	for i := range latest {
		latest[i] = sample{savedAt - d.varint(), d.float()}
	}
	return savedAt, latest, d.err()
}

// appendTagSet encodes tags such that equal tags give equal bytes.
func appendTagSet(dst []byte, tags map[string]string) []byte {
	dst = append(dst, layout)
	dst = binary.AppendUvarint(dst, uint64(len(tags)))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		dst = appendText(appendText(dst, name), tags[name])
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func decodeTagSet(record []byte) (map[string]string, error) {
	d := decode(record)
	tags := map[string]string{}
	for range d.count(2) {
		name := d.text()
		tags[name] = d.text()
	}
	return tags, d.err()
}

// damage says which record of which machine cannot be read.
func damage(machine, record string, err error) error {
	return fmt.Errorf("read %s of machine %q: %w", record, machine, err)
}
