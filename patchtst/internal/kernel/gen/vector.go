package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vectors emits the loops over vectors.
func vectors(c *build.Context, m machine) {
	s := newSIMD(c, m)
	s.add()
	s.addScaled()
	s.scale()
	s.relu()
	s.reluBackward()
	s.dot()
	s.sumSquares()
	s.adamW()
	s.drop()
	s.gelu()
	s.geluBackward()
}

func (s *simd) add() {
	s.function("add", "func(y, x []float32)", "y[i] += x[i].")
	y, x := s.base("y"), s.base("x")
	s.over(s.length("y"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		a, b := s.loaded(s.at(y, i, u), m), s.loaded(s.at(x, i, u), m)
		s.VADDPS(b, a, a)
		s.store(a, m, s.at(y, i, u))
	})
	s.ret()
}

func (s *simd) addScaled() {
	s.function("addScaled", "func(y []float32, a float32, x []float32)", "y[i] += a * x[i].")
	y, x, a := s.base("y"), s.base("x"), s.broadcast(s.arg("a"))
	s.over(s.length("y"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		sum, v := s.loaded(s.at(y, i, u), m), s.loaded(s.at(x, i, u), m)
		s.VFMADD231PS(a, v, sum)
		s.store(sum, m, s.at(y, i, u))
	})
	s.ret()
}

func (s *simd) scale() {
	s.function("scale", "func(y []float32, a float32)", "y[i] *= a.")
	y, a := s.base("y"), s.broadcast(s.arg("a"))
	s.over(s.length("y"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(y, i, u), m)
		s.VMULPS(a, v, v)
		s.store(v, m, s.at(y, i, u))
	})
	s.ret()
}

func (s *simd) relu() {
	s.function("relu", "func(y, x []float32)", "y[i] = max(x[i], 0).")
	y, x, zero := s.base("y"), s.base("x"), s.zero()
	s.over(s.length("y"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(x, i, u), m)
		s.VMAXPS(v, zero, v) // a NaN is the second source and passes
		s.store(v, m, s.at(y, i, u))
	})
	s.ret()
}

func (s *simd) reluBackward() {
	s.function("reluBackward", "func(g, x []float32)", "if x[i] <= 0 { g[i] = 0 }.")
	g, x, zero := s.base("g"), s.base("x"), s.zero()
	s.over(s.length("g"), s.m.lanes, 4, func(i reg.GPVirtual, u int, m mask) {
		v, gradient := s.loaded(s.at(x, i, u), m), s.loaded(s.at(g, i, u), m)
		if s.m.wide {
			above := s.K()
			s.VCMPPS(operand.U8(notLeq), zero, v, above)
			s.VMOVAPS_Z(gradient, above, gradient)
		} else {
			s.VCMPPS(operand.U8(notLeq), zero, v, v)
			s.VANDPS(v, gradient, gradient)
		}
		s.store(gradient, m, s.at(g, i, u))
	})
	s.ret()
}

func (s *simd) dot() {
	s.function("dot", "func(x, y []float32) float32", "the sum of x[i] * y[i].")
	x, y := s.base("x"), s.base("y")
	sums := []reg.VecVirtual{s.zero(), s.zero(), s.zero(), s.zero()}
	s.over(s.length("x"), s.m.lanes, len(sums), func(i reg.GPVirtual, u int, m mask) {
		a, b := s.loaded(s.at(x, i, u), m), s.loaded(s.at(y, i, u), m)
		s.VFMADD231PS(a, b, sums[u])
	})
	s.VADDPS(sums[1], sums[0], sums[0])
	s.VADDPS(sums[3], sums[2], sums[2])
	s.VADDPS(sums[2], sums[0], sums[0])
	s.sum(sums[0])
	s.VMOVSS(sums[0].AsX(), s.result())
	s.ret()
}

// result is where the function's answer goes.
func (s *simd) result() operand.Mem {
	b, err := s.ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func (s *simd) sumSquares() {
	s.function("sumSquares", "func(x []float32) float64", "the sum of x[i] * x[i], in float64.")
	x := s.base("x")
	sums := []reg.VecVirtual{s.zero(), s.zero(), s.zero(), s.zero()}
	s.over(s.length("x"), s.m.lanes/2, len(sums), func(i reg.GPVirtual, u int, m mask) {
		narrow, v := s.half(), s.vec()
		s.load(operand.Mem{Base: x, Index: i, Scale: 4, Disp: u * s.m.bytes / 2}, m, narrow)
		s.VCVTPS2PD(narrow, v)
		s.VFMADD231PD(v, v, sums[u])
	})
	s.VADDPD(sums[1], sums[0], sums[0])
	s.VADDPD(sums[3], sums[2], sums[2])
	s.VADDPD(sums[2], sums[0], sums[0])
	x0, x1 := s.XMM(), s.XMM()
	sum := sums[0].AsY()
	if s.m.wide {
		high := s.YMM()
		s.VEXTRACTF64X4(operand.U8(1), sums[0], high)
		s.VADDPD(high, sum, sum)
	}
	s.VEXTRACTF128(operand.U8(1), sum, x0)
	s.VADDPD(x0, sums[0].AsX(), x0)
	s.VPERMILPD(operand.U8(1), x0, x1)
	s.VADDPD(x1, x0, x0)
	s.VMOVSD(x0, s.result())
	s.ret()
}

func (s *simd) adamW() {
	s.function("adamW", "func(w, m, v, g []float32, s adamFactors)", `, for each i,

	g    = g[i] * s.gradientScale
	m[i] = m[i] + s.rest1 (g - m[i])
	v[i] = s.beta2 v[i] + s.rest2 g g
	w[i] = s.decay w[i] - s.size m[i] / (sqrt(v[i]) s.root + s.epsilon)`)
	w, m, v, g := s.base("w"), s.base("m"), s.base("v"), s.base("g")
	field := func(name string) reg.VecVirtual { return s.broadcast(s.arg("s", name)) }
	gradientScale, decay, size, root, epsilon := field("gradientScale"), field("decay"), field("size"), field("root"), field("epsilon")
	rest1, beta2, rest2 := field("rest1"), field("beta2"), field("rest2")
	s.over(s.length("w"), s.m.lanes, 1, func(i reg.GPVirtual, u int, mask mask) {
		gradient, mean := s.loaded(s.at(g, i, u), mask), s.loaded(s.at(m, i, u), mask)
		s.VMULPS(gradientScale, gradient, gradient)
		t := s.vec()
		s.VSUBPS(mean, gradient, t)
		s.VFMADD231PS(rest1, t, mean)
		s.store(mean, mask, s.at(m, i, u))
		square := s.loaded(s.at(v, i, u), mask)
		s.VMULPS(rest2, gradient, t)
		s.VMULPS(gradient, t, t)
		s.VFMADD213PS(t, beta2, square)
		s.store(square, mask, s.at(v, i, u))
		s.VSQRTPS(square, square)
		s.VFMADD213PS(epsilon, root, square)
		s.VMULPS(size, mean, mean)
		s.VDIVPS(square, mean, mean)
		weight := s.loaded(s.at(w, i, u), mask)
		s.VFMSUB213PS(mean, decay, weight)
		s.store(weight, mask, s.at(w, i, u))
	})
	s.ret()
}

func (s *simd) drop() {
	const spread = 0x9E3779B1
	lanes := s.StaticGlobal("lanes")
	s.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range s.m.lanes {
		s.AppendDatum(operand.U32(uint32(i) * spread & 0xFFFFFFFF))
	}
	s.function("drop", "func(x []float32, d Dropout, first uint32)", `, for each i,

	if hash((first+i)*0x9E3779B1+low)^high < d.Threshold { x[i] = 0 } else { x[i] *= d.Scale }`)
	x := s.base("x")
	word := func(from reg.GPVirtual) reg.VecVirtual {
		v := s.vec()
		s.VMOVD(from.As32(), v.AsX())
		s.VPBROADCASTD(v.AsX(), v)
		return v
	}
	t, key := s.GP64(), s.gp(s.arg("d", "Key"))
	s.MOVL(s.arg("d", "Threshold"), t.As32())
	threshold := word(t)
	s.MOVL(operand.U32(spread), t.As32())
	s.IMULL(s.arg("first"), t.As32())
	s.ADDL(key.As32(), t.As32())
	place := word(t)
	s.SHRQ(operand.U8(32), key)
	high, scale := word(key), s.broadcast(s.arg("d", "Scale"))
	s.VPADDD(lanes, place, place)
	word32 := func(bits uint32) reg.VecVirtual { return s.broadcast(s.memory(bits)) }
	next, factor1, factor2 := word32(spread*uint32(s.m.lanes)&0xFFFFFFFF), word32(0x85EBCA6B), word32(0xC2B2AE35)
	if !s.m.wide { // it compares signed numbers only
		s.VXORPS(s.memory(1<<31), threshold, threshold)
		s.VXORPS(s.memory(1<<31), high, high)
	}
	s.over(s.length("x"), s.m.lanes, 2, func(i reg.GPVirtual, u int, m mask) {
		h, t := s.vec(), s.vec()
		shift := func(n uint8) {
			s.VPSRLD(operand.U8(n), h, t)
			s.xor(t, h)
		}
		s.VMOVAPS(place, h)
		s.VPADDD(next, place, place)
		shift(16)
		s.VPMULLD(factor1, h, h)
		shift(13)
		s.VPMULLD(factor2, h, h)
		shift(16)
		s.xor(high, h)
		v := s.loaded(s.at(x, i, u), m)
		if s.m.wide {
			stays := s.K()
			s.VPCMPUD(operand.U8(5), threshold, h, stays) // h >= threshold
			s.VMULPS_Z(scale, v, stays, v)
		} else {
			s.VPCMPGTD(h, threshold, h) // falls
			s.VMULPS(scale, v, v)
			s.VANDNPS(v, h, v)
		}
		s.store(v, m, s.at(x, i, u))
	})
	s.ret()
}

// xor is to ^= from.
func (s *simd) xor(from operand.Op, to reg.VecVirtual) {
	if s.m.wide {
		s.VPXORD(from, to, to)
	} else {
		s.VXORPS(from, to, to)
	}
}
