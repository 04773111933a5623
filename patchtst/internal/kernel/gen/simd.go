package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A simd writes the loops other than the products, for both machines from the
// same text: registers are zmm or ymm, and the end of a row is a mask in an
// opmask or in a ymm. What differs hides in its methods.
type simd struct {
	*build.Context
	m         machine
	labels    int
	constants map[uint32]operand.Mem
}

func newSIMD(c *build.Context, m machine) *simd {
	if !m.wide {
		emitSigns(c)
	}
	return &simd{Context: c, m: m, constants: map[uint32]operand.Mem{}}
}

// A mask lets the first few lanes through; nil lets all.
type mask reg.Register

// function starts one: name, Go type, and the loop that it equals.
func (s *simd) function(name, goType, doc string) {
	s.Function(name + s.m.name)
	s.Attributes(attr.NOSPLIT)
	s.Pragma("noescape")
	s.Signature(signature(goType))
	if !strings.HasPrefix(doc, ",") {
		doc = " " + doc
	}
	s.Doc(strings.Split(name+s.m.name+" is"+doc, "\n")...)
}

func (s *simd) ret() {
	s.VZEROUPPER()
	s.RET()
}

func (s *simd) label(name string) string {
	s.labels++
	return fmt.Sprint(name, s.labels)
}

// vec is a new register.
func (s *simd) vec() reg.VecVirtual {
	if s.m.wide {
		return s.ZMM()
	}
	return s.YMM()
}

// half is a register of half the width, with as many float32 as a register has
// float64.
func (s *simd) half() reg.VecVirtual {
	if s.m.wide {
		return s.YMM()
	}
	return s.XMM()
}

func (s *simd) vecs(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = s.vec()
	}
	return v
}

func (s *simd) zero() reg.VecVirtual {
	v := s.vec()
	s.clear(v)
	return v
}

func (s *simd) clear(v reg.VecVirtual) {
	if s.m.wide {
		s.VPXORD(v, v, v)
	} else {
		s.VXORPS(v, v, v)
	}
}

// arg is where a parameter lies, "x" or a field of it, "x.at".
func (s *simd) arg(name string, field ...string) operand.Mem {
	c := s.Param(name)
	for _, f := range field {
		c = c.Field(f)
	}
	b, err := c.Resolve()
	if err != nil {
		panic(fmt.Sprintf("%s %v: %v", name, field, err))
	}
	return b.Addr
}

// gp is a new general register with the parameter in it.
func (s *simd) gp(from operand.Op) reg.GPVirtual {
	r := s.GP64()
	s.MOVQ(from, r)
	return r
}

// base is a new register with the address of a slice.
func (s *simd) base(name string) reg.GPVirtual {
	b, err := s.Param(name).Base().Resolve()
	if err != nil {
		panic(err)
	}
	return s.gp(b.Addr)
}

// length is a new register with the length of a slice.
func (s *simd) length(name string) reg.GPVirtual {
	b, err := s.Param(name).Len().Resolve()
	if err != nil {
		panic(err)
	}
	return s.gp(b.Addr)
}

// broadcast fills a new register with a number in memory.
func (s *simd) broadcast(from operand.Mem) reg.VecVirtual {
	v := s.vec()
	s.VBROADCASTSS(from, v)
	return v
}

// constant is a number in memory, for the methods that take one.
func (s *simd) constant(v float64) operand.Op { return s.memory(bitsOf(v)) }

func bitsOf(v float64) uint32 { return math.Float32bits(float32(v)) }

// mul is to = c x, with a constant c.
func (s *simd) mul(c operand.Op, x, to reg.VecVirtual) {
	if s.m.wide {
		s.VMULPS_BCST(c, x, to)
	} else {
		s.VMULPS(c, x, to)
	}
}

// multiplyAdd is to += c x, with a constant c.
func (s *simd) multiplyAdd(c operand.Op, x, to reg.VecVirtual) {
	if s.m.wide {
		s.VFMADD231PS_BCST(c, x, to)
	} else {
		s.VFMADD231PS(c, x, to)
	}
}

// multiplySubtract is to -= c x, with a constant c.
func (s *simd) multiplySubtract(c operand.Op, x, to reg.VecVirtual) {
	if s.m.wide {
		s.VFNMADD231PS_BCST(c, x, to)
	} else {
		s.VFNMADD231PS(c, x, to)
	}
}

// and is to = c & x, with a constant c.
func (s *simd) and(c operand.Op, x, to reg.VecVirtual) {
	if s.m.wide {
		s.VANDPS_BCST(c, x, to)
	} else {
		s.VANDPS(c, x, to)
	}
}

// register is a constant in a register on either machine.
func (s *simd) register(v float64) reg.VecVirtual {
	return s.broadcast(s.memory(bitsOf(v)))
}

// memory is a constant in memory, as often as a ymm holds it.
func (s *simd) memory(bits uint32) operand.Mem {
	if m, ok := s.constants[bits]; ok {
		return m
	}
	m := s.StaticGlobal(fmt.Sprintf("bits%08x", bits))
	s.DataAttributes(attr.RODATA | attr.NOPTR)
	for range 8 {
		s.AppendDatum(operand.U32(bits))
	}
	s.constants[bits] = m
	return m
}

// over runs body over n elements from 0 on: some vectors of so many lanes in a
// turn, then one, then what is left, masked. The index counts elements; body
// adds u*lanes to it itself.
func (s *simd) over(n operand.Op, lanes, unroll int, body func(i reg.GPVirtual, u int, m mask)) {
	i, left := s.GP64(), s.gp(n)
	s.XORQ(i, i)
	many, single, rest, done := s.label("many"), s.label("single"), s.label("rest"), s.label("done")
	if unroll > 1 {
		s.SUBQ(operand.U32(uint32(unroll*lanes)), left)
		s.JL(operand.LabelRef(many + "end"))
		s.Label(many)
		for u := range unroll {
			body(i, u, nil)
		}
		s.ADDQ(operand.U32(uint32(unroll*lanes)), i)
		s.SUBQ(operand.U32(uint32(unroll*lanes)), left)
		s.JGE(operand.LabelRef(many))
		s.Label(many + "end")
		s.ADDQ(operand.U32(uint32(unroll*lanes)), left)
	}
	s.SUBQ(operand.U32(uint32(lanes)), left)
	s.JL(operand.LabelRef(rest))
	s.Label(single)
	body(i, 0, nil)
	s.ADDQ(operand.U32(uint32(lanes)), i)
	s.SUBQ(operand.U32(uint32(lanes)), left)
	s.JGE(operand.LabelRef(single))
	s.Label(rest)
	s.ADDQ(operand.U32(uint32(lanes)), left)
	s.JEQ(operand.LabelRef(done))
	body(i, 0, s.mask(left, lanes))
	s.Label(done)
}

// strips is over for columns, whose rows body runs down: first strips of so
// many vectors, then of one, then masked.
func (s *simd) strips(cols operand.Op, lanes, vectors int, body func(j reg.GPVirtual, vectors int, m mask)) {
	j, left := s.GP64(), s.gp(cols)
	s.XORQ(j, j)
	wide, single, rest, done := s.label("wide"), s.label("strip"), s.label("rest"), s.label("done")
	s.SUBQ(operand.U32(uint32(vectors*lanes)), left)
	s.JL(operand.LabelRef(wide + "end"))
	s.Label(wide)
	body(j, vectors, nil)
	s.ADDQ(operand.U32(uint32(vectors*lanes)), j)
	s.SUBQ(operand.U32(uint32(vectors*lanes)), left)
	s.JGE(operand.LabelRef(wide))
	s.Label(wide + "end")
	s.ADDQ(operand.U32(uint32(vectors*lanes-lanes)), left)
	s.JL(operand.LabelRef(rest))
	s.Label(single)
	body(j, 1, nil)
	s.ADDQ(operand.U32(uint32(lanes)), j)
	s.SUBQ(operand.U32(uint32(lanes)), left)
	s.JGE(operand.LabelRef(single))
	s.Label(rest)
	s.ADDQ(operand.U32(uint32(lanes)), left)
	s.JEQ(operand.LabelRef(done))
	body(j, 1, s.mask(left, lanes))
	s.Label(done)
}

// down runs body over rows; it moves the pointers on by the strides.
func (s *simd) down(rows operand.Op, body func()) {
	left := s.gp(rows)
	turn, done := s.label("row"), s.label("rows")
	s.TESTQ(left, left)
	s.JEQ(operand.LabelRef(done))
	s.Label(turn)
	body()
	s.DECQ(left)
	s.JNE(operand.LabelRef(turn))
	s.Label(done)
}

// mask lets the first n of so many lanes through, 0 < n < lanes.
func (s *simd) mask(n reg.GPVirtual, lanes int) mask {
	t := s.GP64()
	if s.m.wide {
		k := s.K()
		s.MOVQ(operand.I32(-1), t)
		s.BZHIQ(n, t, t)
		s.KMOVW(t.As32(), k)
		return k
	}
	s.LEAQ(signs, t)
	negative := s.gp(n)
	s.NEGQ(negative)
	var v reg.VecVirtual
	if lanes == 8 {
		v = s.YMM()
	} else {
		v = s.XMM()
	}
	s.VMOVUPS(operand.Mem{Base: t, Index: negative, Scale: 4, Disp: 4 * 8}, v)
	return v
}

// load reads a vector; lanes outside of the mask are zero.
func (s *simd) load(from operand.Mem, m mask, to reg.VecVirtual) {
	switch {
	case m == nil:
		s.VMOVUPS(from, to)
	case s.m.wide:
		s.VMOVUPS_Z(from, m, to)
	default:
		s.VMASKMOVPS(from, m, to)
	}
}

// loaded is load into a new register.
func (s *simd) loaded(from operand.Mem, m mask) reg.VecVirtual {
	v := s.vec()
	s.load(from, m, v)
	return v
}

func (s *simd) store(from reg.VecVirtual, m mask, to operand.Mem) {
	switch {
	case m == nil:
		s.VMOVUPS(from, to)
	case s.m.wide:
		s.VMOVUPS(from, m, to)
	default:
		s.VMASKMOVPS(from, m, to)
	}
}

// keep makes the lanes outside of the mask zero.
func (s *simd) keep(v reg.VecVirtual, m mask) {
	switch {
	case m == nil:
	case s.m.wide:
		s.VMOVAPS_Z(v, m, v)
	default:
		s.VANDPS(m, v, v)
	}
}

// fill puts another register's lanes where the mask is not.
func (s *simd) fill(v reg.VecVirtual, m mask, other reg.VecVirtual) {
	switch {
	case m == nil:
	case s.m.wide:
		s.VBLENDMPS(v, other, m, v)
	default:
		s.VBLENDVPS(m, v, other, v)
	}
}

// reduce leaves in all lanes what combine makes of all lanes.
func (s *simd) reduce(v reg.VecVirtual, combine func(a, b, to operand.Op)) {
	x, y := s.XMM(), s.XMM()
	if s.m.wide {
		high := s.YMM()
		s.VEXTRACTF64X4(operand.U8(1), v, high)
		combine(high, v.AsY(), high)
		s.VEXTRACTF128(operand.U8(1), high, x)
		combine(high.AsX(), x, x)
	} else {
		s.VEXTRACTF128(operand.U8(1), v, x)
		combine(v.AsX(), x, x)
	}
	s.VPERMILPS(operand.U8(0x4E), x, y)
	combine(y, x, x)
	s.VPERMILPS(operand.U8(0xB1), x, y)
	combine(y, x, x)
	s.VBROADCASTSS(x, v)
}

func (s *simd) sum(v reg.VecVirtual) {
	s.reduce(v, func(a, b, to operand.Op) { s.VADDPS(a, b, to) })
}

func (s *simd) max(v reg.VecVirtual) {
	s.reduce(v, func(a, b, to operand.Op) { s.VMAXPS(a, b, to) })
}

// at is the u-th vector from element i on.
func (s *simd) at(base, i reg.Register, u int) operand.Mem {
	return operand.Mem{Base: base, Index: i, Scale: 4, Disp: u * s.m.bytes}
}
