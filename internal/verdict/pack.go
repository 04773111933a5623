package verdict

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// A packer appends values to a record: whole numbers as varints, floats as
// their 8 bytes, texts and lists with their length before them.
type packer []byte

func (p *packer) uint(v uint64) { *p = binary.AppendUvarint(*p, v) }
func (p *packer) int(v int)     { *p = binary.AppendVarint(*p, int64(v)) }
func (p *packer) float(v float64) {
	*p = binary.LittleEndian.AppendUint64(*p, math.Float64bits(v))
}
func (p *packer) time(t time.Time) { *p = binary.AppendVarint(*p, t.UnixMicro()) }

func (p *packer) bool(v bool) {
	if v {
		p.uint(1)
	} else {
		p.uint(0)
	}
}

func (p *packer) text(s string) {
	p.uint(uint64(len(s)))
	*p = append(*p, s...)
}

func (p *packer) floats(list []float64) {
	p.uint(uint64(len(list)))
	for _, v := range list {
		p.float(v)
	}
}

func (p *packer) ints(list []int) {
	p.uint(uint64(len(list)))
	for _, v := range list {
		p.int(v)
	}
}

// An unpacker takes values off a record, in the order in which they were
// packed. After the first that is not there, everything is zero and err set.
type unpacker struct {
	rest []byte
	err  error
}

var errDamaged = errors.New("record is damaged")

func (u *unpacker) fail() {
	u.rest, u.err = nil, errDamaged
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.rest)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.rest = u.rest[n:]
	return v
}

func (u *unpacker) int() int {
	v, n := binary.Varint(u.rest)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.rest = u.rest[n:]
	return int(v)
}

func (u *unpacker) bool() bool { return u.uint() == 1 }

func (u *unpacker) float() float64 {
	if len(u.rest) < 8 {
		u.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(u.rest))
	u.rest = u.rest[8:]
	return v
}

func (u *unpacker) time() time.Time {
	v, n := binary.Varint(u.rest)
	if n <= 0 {
		u.fail()
		return time.Time{}
	}
	u.rest = u.rest[n:]
	return time.UnixMicro(v).UTC()
}

// length takes the length of a list whose items have at least size bytes each.
func (u *unpacker) length(size int) int {
	n := u.uint()
	if n > uint64(len(u.rest)/size) {
		u.fail()
		return 0
	}
	return int(n)
}

func (u *unpacker) text() string {
	n := u.length(1)
	s := string(u.rest[:n])
	u.rest = u.rest[n:]
	return s
}

func (u *unpacker) floats() []float64 {
	list := make([]float64, u.length(8))
	for i := range list {
		list[i] = u.float()
	}
	return list
}

func (u *unpacker) ints() []int {
	list := make([]int, u.length(1))
	for i := range list {
		list[i] = u.int()
	}
	return list
}
