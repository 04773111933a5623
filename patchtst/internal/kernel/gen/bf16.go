package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dpbf16 is VDPBF16PS, which Go's assembler does not know: acc += the two
// products of the bfloat16 pairs in x and y, lane by lane.
func (p *product) dpbf16(x, y, acc reg.VecPhysical) {
	p.Comment(fmt.Sprintf("VDPBF16PS %s, %s, %s", x.Asm(), y.Asm(), acc.Asm()))
	code := evex(prefixF3, 0x52, acc, y, x)
	p.Instruction(&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24)}})
	p.Instruction(&ir.Instruction{Opcode: "WORD", Operands: []operand.Op{operand.U16(uint16(code[4]) | uint16(code[5])<<8)}})
}

const (
	prefixF3 = 2
	prefixF2 = 3
)

// evex encodes an instruction of the map 0F38 on three 512-bit registers:
// 62, P0 (inverted high bits of the registers, map), P1 (inverted second
// register, prefix), P2 (length), opcode, ModRM.
func evex(prefix, opcode byte, dst, src1, src2 reg.VecPhysical) [6]byte {
	d, s1, s2 := number(dst), number(src1), number(src2)
	inverted := func(n, bit, to byte) byte { return (^n >> bit & 1) << to }
	p0 := inverted(d, 3, 7) | inverted(s2, 4, 6) | inverted(s2, 3, 5) | inverted(d, 4, 4) | 2
	p1 := (^s1&15)<<3 | 1<<2 | prefix
	p2 := byte(2<<5) | inverted(s1, 4, 3)
	return [6]byte{0x62, p0, p1, p2, opcode, 3<<6 | d&7<<3 | s2&7}
}

func number(r reg.VecPhysical) byte { return byte(r.PhysicalIndex()) }
