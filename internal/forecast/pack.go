package forecast

import (
	"encoding/binary"
	"math"
)

// A packer appends numbers and texts to bytes: varints as encoding/binary has
// them, floats in 8 or 4 bytes, little-endian, texts after their length.
type packer struct{ bytes []byte }

func (p *packer) uint(v uint64) { p.bytes = binary.AppendUvarint(p.bytes, v) }
func (p *packer) int(v int64)   { p.bytes = binary.AppendVarint(p.bytes, v) }
func (p *packer) float(v float64) {
	p.bytes = binary.LittleEndian.AppendUint64(p.bytes, math.Float64bits(v))
}
func (p *packer) float32(v float32) {
	p.bytes = binary.LittleEndian.AppendUint32(p.bytes, math.Float32bits(v))
}
func (p *packer) text(s string) { p.uint(uint64(len(s))); p.bytes = append(p.bytes, s...) }

func (p *packer) bool(v bool) {
	var b byte
	if v {
		b = 1
	}
	p.bytes = append(p.bytes, b)
}

// An unpacker reads what a packer wrote. Once something is missing it is bad,
// and everything reads as nothing.
type unpacker struct {
	bytes []byte
	bad   bool
}

// take cuts n bytes off; nil if they are not there.
func (u *unpacker) take(n int) []byte {
	if u.bad || n < 0 || n > len(u.bytes) {
		u.bad = true
		return nil
	}
	taken := u.bytes[:n]
	u.bytes = u.bytes[n:]
	return taken
}

func (u *unpacker) byte() byte {
	if b := u.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.bytes)
	if u.bad = u.bad || n <= 0; u.bad {
		return 0
	}
	u.bytes = u.bytes[n:]
	return v
}

func (u *unpacker) int() int64 {
	v, n := binary.Varint(u.bytes)
	if u.bad = u.bad || n <= 0; u.bad {
		return 0
	}
	u.bytes = u.bytes[n:]
	return v
}

// count reads a length of at most `most`.
func (u *unpacker) count(most int) int {
	n := u.uint()
	if n > uint64(most) {
		u.bad = true
		return 0
	}
	return int(n)
}

func (u *unpacker) float() float64 {
	if b := u.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (u *unpacker) float32() float32 {
	if b := u.take(4); b != nil {
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (u *unpacker) text() string { return string(u.take(u.count(len(u.bytes)))) }
