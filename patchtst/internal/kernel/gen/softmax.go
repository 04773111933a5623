package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmaxes emits softmax over rows and down columns, and its gradients.
func softmaxes(c *build.Context, m machine) {
	s := newSIMD(c, m)
	s.softmaxRows()
	s.softmaxRowsBackward()
	s.softmaxColumns()
	s.softmaxColumnsBackward()
}

func (s *simd) softmaxRows() {
	s.function("softmaxRows", "func(x view, scale float32, rows, cols int)", `, for each row,

	x[i][j] = exp(scale x[i][j]) / sum over l of exp(scale x[i][l])`)
	x, scale, lowest, one := s.gp(s.arg("x", "at")), s.broadcast(s.arg("scale")), s.register(math.Inf(-1)), s.register(1)
	exp := s.newExponential(1, one)
	s.down(s.arg("rows"), func() {
		largest, sum := s.vec(), s.zero()
		s.VMOVAPS(lowest, largest)
		s.over(s.arg("cols"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			v := s.loaded(s.at(x, i, u), m)
			s.fill(v, m, lowest)
			s.VMAXPS(v, largest, largest)
		})
		s.max(largest)
		s.over(s.arg("cols"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			v := s.loaded(s.at(x, i, u), m)
			s.VSUBPS(largest, v, v)
			s.VMULPS(scale, v, v)
			exp.of(v)
			s.store(v, m, s.at(x, i, u))
			s.keep(v, m)
			s.VADDPS(v, sum, sum)
		})
		s.sum(sum)
		s.VDIVPS(sum, one, sum)
		s.over(s.arg("cols"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			v := s.loaded(s.at(x, i, u), m)
			s.VMULPS(sum, v, v)
			s.store(v, m, s.at(x, i, u))
		})
		s.ADDQ(s.arg("x", "stride"), x)
	})
	s.ret()
}

func (s *simd) softmaxRowsBackward() {
	s.function("softmaxRowsBackward", "func(g, y view, scale float32, rows, cols int)", `, for each row,

	g[i][j] = scale y[i][j] (g[i][j] - sum over l of g[i][l] y[i][l])`)
	g, y, scale := s.gp(s.arg("g", "at")), s.gp(s.arg("y", "at")), s.broadcast(s.arg("scale"))
	s.down(s.arg("rows"), func() {
		mean := s.zero()
		s.over(s.arg("cols"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			a, b := s.loaded(s.at(g, i, u), m), s.loaded(s.at(y, i, u), m)
			s.VFMADD231PS(a, b, mean)
		})
		s.sum(mean)
		s.over(s.arg("cols"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			a, b := s.loaded(s.at(g, i, u), m), s.loaded(s.at(y, i, u), m)
			s.shareGradient(a, b, mean, scale)
			s.store(a, m, s.at(g, i, u))
		})
		s.ADDQ(s.arg("g", "stride"), g)
		s.ADDQ(s.arg("y", "stride"), y)
	})
	s.ret()
}

// shareGradient is g = scale y (g - mean).
func (s *simd) shareGradient(g, y, mean, scale reg.VecVirtual) {
	s.VSUBPS(mean, g, g)
	s.VMULPS(scale, y, y)
	s.VMULPS(y, g, g)
}

// strip is a few vectors of every row: where the first one starts.
func (s *simd) strip(name string, j reg.GPVirtual) reg.GPVirtual {
	p := s.gp(s.arg(name, "at"))
	s.LEAQ(operand.Mem{Base: p, Index: j, Scale: 4}, p)
	return p
}

// part is vector v of the row at p.
func (s *simd) part(p reg.GPVirtual, v int) operand.Mem {
	return operand.Mem{Base: p, Disp: v * s.m.bytes}
}

func (s *simd) softmaxColumns() {
	s.function("softmaxColumns", "func(x view, scale float32, rows, cols int)", `, for each column,

	x[i][j] = exp(scale x[i][j]) / sum over l of exp(scale x[l][j])`)
	scale, one := s.broadcast(s.arg("scale")), s.register(1)
	exp := s.newExponential(1, one)
	s.strips(s.arg("cols"), s.m.lanes, 2, func(j reg.GPVirtual, vectors int, m mask) {
		largest, sum := s.vecs(vectors), s.vecs(vectors)
		p := s.strip("x", j)
		for v := range vectors {
			s.VBROADCASTSS(s.memory(bitsOf(math.Inf(-1))), largest[v])
			s.clear(sum[v])
		}
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				x := s.loaded(s.part(p, v), m)
				s.VMAXPS(x, largest[v], largest[v])
			}
			s.ADDQ(s.arg("x", "stride"), p)
		})
		p = s.strip("x", j)
		s.down(s.arg("rows"), func() {
			xs := s.vecs(vectors)
			each(xs, func(v int, x reg.VecVirtual) { s.load(s.part(p, v), m, x) })
			each(xs, func(v int, x reg.VecVirtual) { s.VSUBPS(largest[v], x, x) })
			each(xs, func(_ int, x reg.VecVirtual) { s.VMULPS(scale, x, x) })
			exp.of(xs...)
			each(xs, func(v int, x reg.VecVirtual) {
				s.store(x, m, s.part(p, v))
				s.VADDPS(x, sum[v], sum[v])
			})
			s.ADDQ(s.arg("x", "stride"), p)
		})
		for v := range vectors {
			s.VDIVPS(sum[v], one, sum[v])
		}
		p = s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				x := s.loaded(s.part(p, v), m)
				s.VMULPS(sum[v], x, x)
				s.store(x, m, s.part(p, v))
			}
			s.ADDQ(s.arg("x", "stride"), p)
		})
	})
	s.ret()
}

func (s *simd) softmaxColumnsBackward() {
	s.function("softmaxColumnsBackward", "func(g, y view, scale float32, rows, cols int)", `, for each column,

	g[i][j] = scale y[i][j] (g[i][j] - sum over l of g[l][j] y[l][j])`)
	scale := s.broadcast(s.arg("scale"))
	s.strips(s.arg("cols"), s.m.lanes, 2, func(j reg.GPVirtual, vectors int, m mask) {
		mean := s.vecs(vectors)
		for v := range vectors {
			s.clear(mean[v])
		}
		both := func(body func(g, y operand.Mem, v int)) {
			g, y := s.strip("g", j), s.strip("y", j)
			s.down(s.arg("rows"), func() {
				for v := range vectors {
					body(s.part(g, v), s.part(y, v), v)
				}
				s.ADDQ(s.arg("g", "stride"), g)
				s.ADDQ(s.arg("y", "stride"), y)
			})
		}
		both(func(g, y operand.Mem, v int) {
			a, b := s.loaded(g, m), s.loaded(y, m)
			s.VFMADD231PS(a, b, mean[v])
		})
		both(func(g, y operand.Mem, v int) {
			a, b := s.loaded(g, m), s.loaded(y, m)
			s.shareGradient(a, b, mean[v], scale)
			s.store(a, m, g)
		})
	})
	s.ret()
}
