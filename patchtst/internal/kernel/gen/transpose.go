package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposes emits the transposition of elements of four bytes.
func transposes(c *build.Context, m machine) {
	s := newSIMD(c, m)
	s.function("transpose", "func(dst, src view, rows, cols int)", "dst[j][i] = src[i][j], of elements of four bytes.")
	src, dst := s.gp(s.arg("src", "at")), s.gp(s.arg("dst", "at"))
	left := s.gp(s.arg("rows"))
	squares, rest, done := "squares", "rest", "done"
	s.Label(squares)
	s.CMPQ(left, operand.U32(uint32(m.lanes)))
	s.JL(operand.LabelRef(rest))
	s.squares(dst, src, left, nil)
	s.SUBQ(operand.U32(uint32(m.lanes)), left)
	s.ADDQ(operand.U32(uint32(m.bytes)), dst)
	down := s.GP64()
	s.IMUL3Q(operand.U32(uint32(m.lanes)), s.gp(s.arg("src", "stride")), down)
	s.ADDQ(down, src)
	s.JMP(operand.LabelRef(squares))
	s.Label(rest)
	s.TESTQ(left, left)
	s.JEQ(operand.LabelRef(done))
	s.squares(dst, src, left, s.mask(left, m.lanes))
	s.Label(done)
	s.ret()
}

// squares transposes rows that make one register's column, in squares from left
// to right. Where there are fewer rows, the last one stands for the rest, and
// the mask keeps it from being stored.
func (s *simd) squares(dst, src, rows reg.GPVirtual, m mask) {
	to := s.gp(dst)
	s.over(s.arg("cols"), s.m.lanes, 1, func(j reg.GPVirtual, _ int, colMask mask) {
		p, next, row := s.gp(src), s.GP64(), s.GP64()
		s.LEAQ(operand.Mem{Base: p, Index: j, Scale: 4}, p)
		s.MOVQ(operand.U32(1), row)
		lines := s.vecs(s.m.lanes)
		for i := range lines {
			s.load(operand.Mem{Base: p}, colMask, lines[i])
			if m == nil {
				s.ADDQ(s.arg("src", "stride"), p)
				continue
			}
			s.MOVQ(p, next)
			s.ADDQ(s.arg("src", "stride"), next)
			s.CMPQ(row, rows)
			s.CMOVQLT(next, p)
			s.INCQ(row)
		}
		if s.m.wide {
			lines = s.turn16(lines)
		} else {
			lines = s.turn8(lines)
		}
		end, left := s.label("end"), s.gp(s.arg("cols"))
		s.SUBQ(j, left)
		for _, line := range lines {
			s.store(line, m, operand.Mem{Base: to})
			s.ADDQ(s.arg("dst", "stride"), to)
			if colMask != nil {
				s.DECQ(left)
				s.JEQ(operand.LabelRef(end))
			}
		}
		s.Label(end)
	})
}

// pairUp applies low and high to all pairs of lines that are step apart: the
// first of a pair gets low, the second high.
func (s *simd) pairUp(lines []reg.VecVirtual, step int, low, high func(a, b, to reg.VecVirtual)) []reg.VecVirtual {
	turned := make([]reg.VecVirtual, len(lines))
	for i := range lines {
		if i&step == 0 {
			turned[i], turned[i+step] = s.vec(), s.vec()
			low(lines[i], lines[i+step], turned[i])
			high(lines[i], lines[i+step], turned[i+step])
		}
	}
	return turned
}

// quarters transposes the 4 x 4 blocks that lie in the 128-bit lanes of four
// lines.
func (s *simd) quarters(lines []reg.VecVirtual) []reg.VecVirtual {
	lines = s.pairUp(lines, 1,
		func(a, b, to reg.VecVirtual) { s.VUNPCKLPS(b, a, to) },
		func(a, b, to reg.VecVirtual) { s.VUNPCKHPS(b, a, to) })
	lines = s.pairUp(lines, 2,
		func(a, b, to reg.VecVirtual) { s.VUNPCKLPD(b, a, to) },
		func(a, b, to reg.VecVirtual) { s.VUNPCKHPD(b, a, to) })
	// Of each four, the middle ones have changed places.
	for i := 0; i < len(lines); i += 4 {
		lines[i+1], lines[i+2] = lines[i+2], lines[i+1]
	}
	return lines
}

func (s *simd) turn8(lines []reg.VecVirtual) []reg.VecVirtual {
	return s.pairUp(s.quarters(lines), 4,
		func(a, b, to reg.VecVirtual) { s.VPERM2F128(operand.U8(0x20), b, a, to) },
		func(a, b, to reg.VecVirtual) { s.VPERM2F128(operand.U8(0x31), b, a, to) })
}

func (s *simd) turn16(lines []reg.VecVirtual) []reg.VecVirtual {
	even := func(a, b, to reg.VecVirtual) { s.VSHUFF32X4(operand.U8(0x88), b, a, to) }
	odd := func(a, b, to reg.VecVirtual) { s.VSHUFF32X4(operand.U8(0xDD), b, a, to) }
	// Lanes 0 and 2 of four rows and of the next four, then 1 and 3; and again.
	return s.pairUp(s.pairUp(s.quarters(lines), 4, even, odd), 8, even, odd)
}
