package main

import (
	"fmt"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A product kernel computes a column of tiles of C, rows x width: it keeps a
// tile in registers while it runs along the depth, where one step is
//
//	for v: w[v] = load W[p][v]
//	for r: b = broadcast A[r][p]; for v: tile[r][v] += b * w[v]
//
// The tallest tile is what the registers hold; the rows that are left over get
// a tile of just their height.
type product struct {
	*build.Context
	m          machine
	name       string
	transposed bool // A is stored with the depth along its rows
	pairs      bool // elements are pairs of bfloat16
	vectors    int  // of a tile row
	masked     bool // the last vector is not full
}

// The parameters live in these registers.
var (
	regA    = [4]reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX} // rows 0, 3, 6, 9 of the tile
	regAS   = reg.RSI                                               // bytes between A's rows
	regW    = reg.RDI
	regWS   = reg.R8
	regC    = reg.R9
	regCS   = reg.R10
	regP    = reg.R11 // plus, or 0
	regPS   = reg.R12
	regRows = reg.R13
	regK    = reg.R14
	regTmp  = reg.R15
)

// products emits all product kernels of a machine.
func products(c *build.Context, m machine, pairs bool) {
	if !m.wide {
		emitSigns(c)
	}
	for _, transposed := range []bool{false, true} {
		for _, shape := range []string{"Full", "Wide", "Narrow"} {
			p := &product{Context: c, m: m, transposed: transposed, pairs: pairs, vectors: 2, masked: shape != "Full"}
			if shape == "Narrow" {
				p.vectors = 1
			}
			p.name = "product" + map[bool]string{true: "T"}[transposed] + shape + map[bool]string{true: "Pairs"}[pairs] + m.name
			p.emit(shape)
		}
	}
}

func (p *product) emit(shape string) {
	p.Function(p.name)
	p.Attributes(attr.NOSPLIT)
	p.Pragma("noescape")
	p.Signature(signature("func(c, a, w, plus pointer, cStride, aStride, wStride, plusStride, rows, depth, cols int)"))
	p.Doc(p.doc(shape)...)
	arg := func(name string, to reg.Register) { p.MOVQ(p.field(name), to) }
	arg("a", regA[0])
	arg("aStride", regAS)
	arg("wStride", regWS)
	arg("c", regC)
	arg("cStride", regCS)
	arg("plus", regP)
	arg("plusStride", regPS)
	arg("rows", regRows)
	if p.masked {
		arg("cols", regK)
		if p.vectors == 2 {
			p.SUBQ(operand.U8(p.m.lanes), regK)
		}
		p.m.setMask(p.Context, regK, regTmp)
	}
	p.Label("tiles")
	p.CMPQ(regRows, operand.U8(p.m.rows))
	p.JL(operand.LabelRef("rest"))
	p.tile(p.m.rows, "tall")
	p.SUBQ(operand.U8(p.m.rows), regRows)
	p.nextTile()
	p.JMP(operand.LabelRef("tiles"))
	p.Label("rest")
	for rows := p.m.rows - 1; rows >= 1; rows-- {
		p.CMPQ(regRows, operand.U8(rows))
		p.JEQ(operand.LabelRef(fmt.Sprint("rows", rows)))
	}
	p.VZEROUPPER()
	p.RET()
	for rows := p.m.rows - 1; rows >= 1; rows-- {
		p.Label(fmt.Sprint("rows", rows))
		p.tile(rows, fmt.Sprint("rows", rows))
		p.VZEROUPPER()
		p.RET()
	}
}

func (p *product) doc(shape string) []string {
	a, mul := "a[i][p]", "*"
	if p.transposed {
		a = "a[p][i]"
	}
	if p.pairs {
		mul = "·"
	}
	cols := map[string]string{
		"Full":   fmt.Sprintf("%d columns", 2*p.m.lanes),
		"Wide":   fmt.Sprintf("%d to %d columns", p.m.lanes+1, 2*p.m.lanes),
		"Narrow": fmt.Sprintf("1 to %d columns", p.m.lanes),
	}[shape]
	return []string{
		fmt.Sprintf("%s is, for rows rows and %s,", p.name, cols),
		"",
		fmt.Sprintf("\tc[i][j] = plus[i][j] + sum over p < depth of %s %s w[p][j]", a, mul),
	}
}

// nextTile moves A to the rows below, from where the tile began; C and plus
// have moved while storing.
func (p *product) nextTile() {
	p.MOVQ(p.field("a"), regA[0])
	if p.transposed {
		p.ADDQ(operand.U8(4*p.m.rows), regA[0])
	} else {
		p.LEAQ(operand.Mem{Base: regAS, Index: regAS, Scale: 2}, regTmp) // 3 rows
		p.SHLQ(operand.U8(log2(p.m.rows/3)), regTmp)
		p.ADDQ(regTmp, regA[0])
	}
	p.MOVQ(regA[0], p.field("a"))
}

// words are the parameters, eight bytes each.
var words = []string{"c", "a", "w", "plus", "cStride", "aStride", "wStride", "plusStride", "rows", "depth", "cols"}

// field is where a parameter lies.
func (p *product) field(name string) operand.Mem {
	return operand.NewParamAddr(name, 8*slices.Index(words, name))
}

func log2(n int) int {
	for l := 0; ; l++ {
		if 1<<l >= n {
			return l
		}
	}
}

// tile computes one tile of the given height.
func (p *product) tile(rows int, label string) {
	p.MOVQ(p.field("w"), regW)
	p.MOVQ(p.field("depth"), regK)
	if !p.transposed {
		p.LEAQ(operand.Mem{Base: regAS, Index: regAS, Scale: 2}, regTmp)
		for i := 1; i*3 < rows; i++ {
			p.MOVQ(regA[i-1], regA[i])
			p.ADDQ(regTmp, regA[i])
		}
	}
	for r := range rows {
		for v := range p.vectors {
			p.m.zero(p.Context, p.acc(r, v))
		}
	}
	p.alongDepth(rows, label)
	p.finish(rows, label)
}

// alongDepth takes two steps in a turn for the tallest tile, else one.
func (p *product) alongDepth(rows int, label string) {
	if rows == p.m.rows {
		p.SUBQ(operand.U8(2), regK)
		p.JL(operand.LabelRef(label + "odd"))
		p.Label(label + "depth")
		p.step(rows, 0)
		p.step(rows, 1)
		p.advance(rows, 2)
		p.SUBQ(operand.U8(2), regK)
		p.JGE(operand.LabelRef(label + "depth"))
		p.Label(label + "odd")
		p.ADDQ(operand.U8(2), regK)
		p.JEQ(operand.LabelRef(label + "done"))
		p.step(rows, 0)
	} else {
		p.TESTQ(regK, regK)
		p.JEQ(operand.LabelRef(label + "done"))
		p.Label(label + "depth")
		p.step(rows, 0)
		p.advance(rows, 1)
		p.DECQ(regK)
		p.JNE(operand.LabelRef(label + "depth"))
	}
	p.Label(label + "done")
}

func (p *product) acc(r, v int) reg.VecPhysical { return p.m.acc(r*p.vectors + v) }

// step adds the products of one step of the depth.
func (p *product) step(rows, step int) {
	w := operand.Mem{Base: regW}
	if step == 1 {
		w.Index, w.Scale = regWS, 1
	}
	for v := range p.vectors {
		p.m.load(p.Context, w.Offset(v*p.m.bytes), p.m.w(v), p.masked && v == p.vectors-1)
	}
	for r := range rows {
		b := p.m.broadcast(p.masked, r)
		p.VBROADCASTSS(p.a(r, step), b)
		for v := range p.vectors {
			p.multiplyAdd(p.m.w(v), b, p.acc(r, v))
		}
	}
}

// multiplyAdd is acc += x y.
func (p *product) multiplyAdd(x, y, acc reg.VecPhysical) {
	if p.pairs {
		dpbf16(p.Context, x, y, acc)
	} else {
		p.VFMADD231PS(x, y, acc)
	}
}

// a is the element of A in a row of the tile, a step ahead.
func (p *product) a(r, step int) operand.Mem {
	if p.transposed {
		m := operand.Mem{Base: regA[0], Disp: 4 * r}
		if step == 1 {
			m.Index, m.Scale = regAS, 1
		}
		return m
	}
	m := operand.Mem{Base: regA[r/3], Disp: 4 * step}
	if r%3 > 0 {
		m.Index, m.Scale = regAS, uint8(r%3)
	}
	return m
}

func (p *product) advance(rows, steps int) {
	lea := func(r, stride reg.GPPhysical) { p.LEAQ(operand.Mem{Base: r, Index: stride, Scale: uint8(steps)}, r) }
	lea(regW, regWS)
	if p.transposed {
		lea(regA[0], regAS)
		return
	}
	for i := 0; i*3 < rows; i++ {
		p.ADDQ(operand.U8(4*steps), regA[i])
	}
}

// finish adds plus and stores the tile; C and plus end on the tile's next row.
func (p *product) finish(rows int, label string) {
	p.TESTQ(regP, regP)
	p.JEQ(operand.LabelRef(label + "store"))
	for r := range rows {
		for v := range p.vectors {
			at := operand.Mem{Base: regP, Disp: v * p.m.bytes}
			if p.masked && v == p.vectors-1 {
				p.m.load(p.Context, at, p.m.w(0), true)
				p.VADDPS(p.m.w(0), p.acc(r, v), p.acc(r, v))
			} else {
				p.VADDPS(at, p.acc(r, v), p.acc(r, v))
			}
		}
		p.ADDQ(regPS, regP)
	}
	p.Label(label + "store")
	for r := range rows {
		for v := range p.vectors {
			at := operand.Mem{Base: regC, Disp: v * p.m.bytes}
			p.m.store(p.Context, p.acc(r, v), at, p.masked && v == p.vectors-1)
		}
		p.ADDQ(regCS, regC)
	}
}
