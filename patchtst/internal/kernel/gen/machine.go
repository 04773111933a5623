package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A machine is what differs between the two kinds of processor in the product
// kernels: the width of a register, how many there are, and how the end of a
// row is cut off (an opmask K1, or a vector of signs in Y3).
type machine struct {
	name  string
	lanes int // float32 in a register
	bytes int
	rows  int // of the tallest tile: 3 << n
	wide  bool
}

var (
	avx512 = machine{name: "AVX512", lanes: 16, bytes: 64, rows: 12, wide: true}
	avx2   = machine{name: "AVX2", lanes: 8, bytes: 32, rows: 6}
)

var (
	zmm = []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	ymm = []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
)

func (m machine) w(v int) reg.VecPhysical {
	if m.wide {
		return zmm[v]
	}
	return ymm[v]
}

// broadcast takes turns, so that a load need not wait for the row before. With
// a mask in Y3 there is only one register left.
func (m machine) broadcast(masked bool, r int) reg.VecPhysical {
	switch {
	case m.wide:
		return zmm[2+r%6]
	case masked:
		return ymm[2]
	}
	return ymm[2+r%2]
}

func (m machine) acc(i int) reg.VecPhysical {
	if m.wide {
		return zmm[8+i]
	}
	return ymm[4+i]
}

func (m machine) zero(c *build.Context, r reg.VecPhysical) {
	if m.wide {
		c.VPXORD(r, r, r)
	} else {
		c.VXORPS(r, r, r)
	}
}

// setMask lets only the first n lanes through.
func (m machine) setMask(c *build.Context, n, tmp reg.GPPhysical) {
	if !m.wide {
		c.LEAQ(signs.Offset(4*m.lanes), tmp)
		c.NEGQ(n)
		c.VMOVUPS(operand.Mem{Base: tmp, Index: n, Scale: 4}, reg.Y3)
		return
	}
	c.MOVQ(operand.I32(-1), tmp)
	c.MOVQ(n, reg.RCX)
	c.SHLQ(reg.CL, tmp)
	c.NOTQ(tmp)
	c.KMOVW(tmp.As32(), reg.K1)
}

func (m machine) load(c *build.Context, from operand.Mem, to reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		c.VMOVUPS(from, to)
	case m.wide:
		c.VMOVUPS_Z(from, reg.K1, to)
	default:
		c.VMASKMOVPS(from, reg.Y3, to)
	}
}

func (m machine) store(c *build.Context, from reg.VecPhysical, to operand.Mem, masked bool) {
	switch {
	case !masked:
		c.VMOVUPS(from, to)
	case m.wide:
		c.VMOVUPS(from, reg.K1, to)
	default:
		c.VMASKMOVPS(from, reg.Y3, to)
	}
}

// signs is a table of 8 lanes to keep, followed by 8 to drop.
var signs = operand.NewDataAddr(operand.NewStaticSymbol("signs"), 0)

func emitSigns(c *build.Context) {
	c.StaticGlobal("signs")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		c.AppendDatum(operand.U32(map[bool]uint32{true: 0xFFFFFFFF}[i < 8]))
	}
}
