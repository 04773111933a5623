package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pauses emits the instruction with which a thread waits for another.
func pauses(c *build.Context) {
	c.Function("pause")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func()")
	c.Doc("pause tells the processor that its thread is waiting for another one.")
	c.PAUSE()
	c.RET()
}

// peak emits the loop that does nothing but multiply and add, in as many
// registers as the tallest tile has.
func peak(c *build.Context, m machine, pairs bool) {
	name := "peak" + map[bool]string{true: "Pairs"}[pairs] + m.name
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(turns int)")
	c.Doc(name + " multiplies and adds in all registers of a tile, turns times: the most that the processor can do.")
	c.Load(c.Param("turns"), reg.RAX)
	for i := range 2 * m.rows {
		m.zero(c, m.acc(i))
	}
	m.zero(c, m.w(0))
	m.zero(c, m.w(1))
	c.Label("turn")
	p := &product{Context: c, m: m, pairs: pairs}
	for i := range 2 * m.rows {
		p.multiplyAdd(m.w(0), m.w(1), m.acc(i))
	}
	c.DECQ(reg.RAX)
	c.JNE(operand.LabelRef("turn"))
	c.VZEROUPPER()
	c.RET()
}
