package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bf16 emits the conversions from and to bfloat16.
func bf16(c *build.Context) {
	s := newSIMD(c, avx512)
	s.roundBF16()
	s.widenBF16()
	s.pairRows()
	s.pairRowsBF16()
}

// halfWords is the u-th half register of two-byte numbers from element i on.
func halfWords(base, i reg.Register, u int) operand.Mem {
	return operand.Mem{Base: base, Index: i, Scale: 2, Disp: 32 * u}
}

func (s *simd) roundBF16() {
	s.function("roundBF16", "func(dst []BF16, src []float32)", "dst[i] = ToBF16(src[i]), except that a denormal number becomes zero.")
	dst, src := s.base("dst"), s.base("src")
	s.over(s.length("src"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		from, to := zmm[u], zmm[8+u]
		if m == nil {
			s.VMOVUPS(s.at(src, i, u), from)
		} else {
			s.VMOVUPS_Z(s.at(src, i, u), m, from)
		}
		convert(s.Context, from, to)
		if m == nil {
			s.VMOVDQU16(to.AsY(), halfWords(dst, i, u))
		} else {
			s.VMOVDQU16(to.AsY(), m, halfWords(dst, i, u))
		}
	})
	s.ret()
}

func (s *simd) widenBF16() {
	s.function("widenBF16", "func(dst []float32, src []BF16)", "dst[i] = src[i].Float32().")
	dst, src := s.base("dst"), s.base("src")
	s.over(s.length("src"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		v := s.widened(halfWords(src, i, u), m)
		s.VPSLLD(operand.U8(16), v, v)
		s.store(v, m, s.at(dst, i, u))
	})
	s.ret()
}

// widened is two-byte numbers in the lower halves of four bytes.
func (s *simd) widened(from operand.Mem, m mask) reg.VecVirtual {
	v := s.vec()
	if m == nil {
		s.VPMOVZXWD(from, v)
	} else {
		s.VPMOVZXWD_Z(from, m, v)
	}
	return v
}

func (s *simd) pairRows() {
	order := s.StaticGlobal("interleaved")
	s.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range uint32(16) {
		s.AppendDatum(operand.U32(i | (16+i)<<16))
	}
	s.function("pairRows", "func(dst, src view, rows, cols int)", `, for each pair of rows, where a row of zeros follows an odd last one,

	dst[i][j] = Pair{ToBF16(src[2i][j]), ToBF16(src[2i+1][j])}`)
	places := reg.Z31
	s.VMOVDQU32(order, places)
	s.pairsOfRows(func(first, second operand.Mem, m mask) reg.VecVirtual {
		low, high, both := zmm[0], zmm[1], zmm[2]
		if m == nil {
			s.VMOVUPS(first, low)
			s.VMOVUPS(second, high)
		} else {
			s.VMOVUPS_Z(first, m, low)
			s.VMOVUPS_Z(second, m, high)
		}
		convertTwo(s.Context, high, low, both)
		v := s.vec()
		s.VPERMW(both, places, v)
		return v
	}, func(first operand.Mem, m mask) reg.VecVirtual {
		low, both := zmm[0], zmm[2]
		if m == nil {
			s.VMOVUPS(first, low)
		} else {
			s.VMOVUPS_Z(first, m, low)
		}
		convert(s.Context, low, both)
		v := s.vec()
		s.VPMOVZXWD(both.AsY(), v)
		return v
	}, 4)
	s.ret()
}

func (s *simd) pairRowsBF16() {
	s.function("pairRowsBF16", "func(dst, src view, rows, cols int)", `, for each pair of rows, where a row of zeros follows an odd last one,

	dst[i][j] = Pair{src[2i][j], src[2i+1][j]}`)
	s.pairsOfRows(func(first, second operand.Mem, m mask) reg.VecVirtual {
		low, high := s.widened(first, m), s.widened(second, m)
		s.VPSLLD(operand.U8(16), high, high)
		s.VPORD(low, high, high)
		return high
	}, s.widened, 2)
	s.ret()
}

// pairsOfRows runs down the rows, two in a turn; elements of src take so many
// bytes.
func (s *simd) pairsOfRows(two func(first, second operand.Mem, m mask) reg.VecVirtual, one func(first operand.Mem, m mask) reg.VecVirtual, bytes int) {
	dst, src, stride, pairs := s.gp(s.arg("dst", "at")), s.gp(s.arg("src", "at")), s.gp(s.arg("src", "stride")), s.gp(s.arg("rows"))
	from := func(i reg.GPVirtual, base reg.GPVirtual) operand.Mem {
		return operand.Mem{Base: base, Index: i, Scale: uint8(bytes)}
	}
	s.SHRQ(operand.U8(1), pairs)
	s.down(pairs, func() {
		second := s.GP64()
		s.LEAQ(operand.Mem{Base: src, Index: stride, Scale: 1}, second)
		s.over(s.arg("cols"), s.m.lanes, 1, func(j reg.GPVirtual, u int, m mask) {
			v := two(from(j, src), from(j, second), m)
			s.store(v, m, s.at(dst, j, u))
		})
		s.LEAQ(operand.Mem{Base: src, Index: stride, Scale: 2}, src)
		s.ADDQ(s.arg("dst", "stride"), dst)
	})
	even, rows := s.label("even"), s.gp(s.arg("rows"))
	s.TESTQ(operand.U32(1), rows)
	s.JEQ(operand.LabelRef(even))
	s.over(s.arg("cols"), s.m.lanes, 1, func(j reg.GPVirtual, u int, m mask) {
		v := one(from(j, src), m)
		s.store(v, m, s.at(dst, j, u))
	})
	s.Label(even)
}

// Three instructions that Go's assembler does not know.

// dpbf16 is VDPBF16PS: acc += the two products of the bfloat16 pairs in x and
// y, lane by lane.
func dpbf16(c *build.Context, x, y, acc reg.VecPhysical) {
	emit(c, "VDPBF16PS", []reg.VecPhysical{x, y, acc}, evex(prefixF3, 0x52, acc, y, x), acc)
}

// convert is VCVTNEPS2BF16: the 16 float32 of from, rounded, in the lower half
// of to.
func convert(c *build.Context, from, to reg.VecPhysical) {
	emit(c, "VCVTNEPS2BF16", []reg.VecPhysical{from, to}, evex(prefixF3, 0x72, to, reg.Z0, from))
}

// convertTwo is VCVTNE2PS2BF16: low, rounded, in the lower half of to and high
// in the upper.
func convertTwo(c *build.Context, high, low, to reg.VecPhysical) {
	emit(c, "VCVTNE2PS2BF16", []reg.VecPhysical{low, high, to}, evex(prefixF2, 0x72, to, high, low))
}

// emit writes an instruction as its bytes. Of the registers, in Go's order, the
// last one is written; read are the others and what is named besides.
func emit(c *build.Context, name string, registers []reg.VecPhysical, code [6]byte, read ...reg.VecPhysical) {
	last := len(registers) - 1
	text, inputs := name, []operand.Op{}
	for i, r := range registers {
		text += map[bool]string{true: " ", false: ", "}[i == 0] + r.Asm()
		if i < last {
			inputs = append(inputs, r)
		}
	}
	for _, r := range read {
		inputs = append(inputs, r)
	}
	c.Comment(text)
	c.Instruction(&ir.Instruction{
		Opcode:   "LONG",
		Operands: []operand.Op{operand.U32(uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24)},
		Inputs:   inputs,
	})
	c.Instruction(&ir.Instruction{
		Opcode:   "WORD",
		Operands: []operand.Op{operand.U16(uint16(code[4]) | uint16(code[5])<<8)},
		Inputs:   inputs,
		Outputs:  []operand.Op{registers[last]},
	})
}

const (
	prefixF3 = 2
	prefixF2 = 3
)

// evex encodes an instruction of the map 0F38 on 512-bit registers: 62, P0
// (inverted high bits of the registers, map), P1 (inverted second register,
// prefix), P2 (length), opcode, ModRM.
func evex(prefix, opcode byte, dst, src1, src2 reg.VecPhysical) [6]byte {
	d, s1, s2 := number(dst), number(src1), number(src2)
	inverted := func(n, bit, to byte) byte { return (^n >> bit & 1) << to }
	p0 := inverted(d, 3, 7) | inverted(s2, 4, 6) | inverted(s2, 3, 5) | inverted(d, 4, 4) | 2
	p1 := (^s1&15)<<3 | 1<<2 | prefix
	p2 := byte(2<<5) | inverted(s1, 4, 3)
	return [6]byte{0x62, p0, p1, p2, opcode, 3<<6 | d&7<<3 | s2&7}
}

func number(r reg.VecPhysical) byte { return byte(r.PhysicalIndex()) }
