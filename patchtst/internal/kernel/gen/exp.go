package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exponential is exp(x) for x <= 0 (or NaN), to about one unit in the last
// place: with n the nearest whole number to x/ln 2 and r = x - n ln 2,
//
//	exp(x) = 2^n exp(r),   exp(r) = 1 + r + r² P(r)   on |r| <= ln(2)/2
//
// P and the two parts of ln 2 are those of Cephes' expf (Moshier). Below
// 2^-126 it may be 0 at once.
type exponential struct {
	s                     *simd
	log2e, ln2High, ln2Lo operand.Op
	p                     []operand.Op
	one                   operand.Op
	lowest                reg.VecVirtual
}

// newExponential loads the constants; one is 1 in a register.
func (s *simd) newExponential(one operand.Op) *exponential {
	e := &exponential{s: s, one: one}
	e.log2e, e.ln2High, e.ln2Lo = s.constant(1.44269504088896341), s.constant(0.693359375), s.constant(-2.12194440e-4)
	for _, c := range []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		e.p = append(e.p, s.constant(c))
	}
	// Where 2^n is made of bits it ends at 2^-126; VSCALEFPS goes on.
	e.lowest = s.register(map[bool]float64{true: -110, false: -87.33654}[s.m.wide])
	return e
}

// of turns x into exp(x).
func (e *exponential) of(x reg.VecVirtual) {
	s := e.s
	above, n, p := s.vec(), s.vec(), s.vec()
	if !s.m.wide {
		s.VCMPPS(operand.U8(notLess), e.lowest, x, above)
	}
	s.VMAXPS(x, e.lowest, x) // a NaN is the second source and passes
	s.VMULPS(e.log2e, x, n)
	if s.m.wide {
		s.VRNDSCALEPS(operand.U8(nearest), n, n)
	} else {
		s.VROUNDPS(operand.U8(nearest), n, n)
	}
	s.VFNMADD231PS(e.ln2High, n, x)
	s.VFNMADD231PS(e.ln2Lo, n, x)
	s.horner(p, x, e.p...)
	s.VFMADD213PS(e.one, x, p)
	s.VFMADD213PS(e.one, x, p)
	if s.m.wide {
		s.VSCALEFPS(n, p, x)
		return
	}
	s.VCVTPS2DQ(n, n)
	s.VPSLLD(operand.U8(23), n, n)
	s.VPADDD(n, p, p)
	s.VANDPS(above, p, x)
}

const (
	notLess = 0x15 // VCMPPS: not less, or NaN
	notLeq  = 0x16 // VCMPPS: not less or equal, or NaN
	nearest = 8    // VRNDSCALEPS, VROUNDPS: to the nearest whole number
)

// horner is p = (c[0] x + c[1]) x + c[2] ...
func (s *simd) horner(p, x reg.VecVirtual, c ...operand.Op) {
	s.VMOVUPS(c[0], p)
	for _, c := range c[1:] {
		s.VFMADD213PS(c, x, p)
	}
}

// normalDistribution computes for GELU
//
//	Phi(-a) = exp(-a²/2) Q(a),   a = |x|
//
// where Q(a), the scaled complementary error function erfcx(a/√2)/2, is a
// polynomial in t = 1/(1 + 0.21 a) without constant term, minimax in relative
// error, 1.3e-8, on 0 <= a <= 13.3, beyond which exp(-a²/2) is 0.
type normalDistribution struct {
	s                     *simd
	exp                   *exponential
	q                     []operand.Op
	one                   reg.VecVirtual
	abs, minusHalf, slope operand.Op
}

func (s *simd) newNormalDistribution() *normalDistribution {
	n := &normalDistribution{s: s, one: s.register(1)}
	n.exp = s.newExponential(n.one)
	for _, c := range []float64{
		-0.07218947838770887, 0.28622163020957614, -0.33581315158878844, 0.3559479849578691, -0.09862152748990048,
		0.1269715636721537, 0.06862207281543262, 0.08515483923407945, 0.08370606566908763,
	} {
		n.q = append(n.q, s.constant(c))
	}
	n.abs, n.minusHalf, n.slope = s.bits(0x7FFFFFFF), s.constant(-0.5), s.constant(0.21)
	return n
}

// of answers a = |x|, exp(-a²/2) and Q(a).
func (n *normalDistribution) of(x reg.VecVirtual) (a, gauss, q reg.VecVirtual) {
	s := n.s
	a, gauss, q = s.vec(), s.vec(), s.vec()
	t := s.vec()
	s.VANDPS(n.abs, x, a)
	s.VMOVAPS(n.one, t)
	s.VFMADD231PS(n.slope, a, t)
	s.VDIVPS(t, n.one, t)
	s.VMULPS(a, a, gauss)
	s.VMULPS(n.minusHalf, gauss, gauss)
	n.exp.of(gauss)
	s.horner(q, t, n.q...)
	s.VMULPS(t, q, q)
	return a, gauss, q
}

// bySign is v where x is negative, else 1 - v.
func (n *normalDistribution) bySign(x, v reg.VecVirtual) {
	s := n.s
	other := s.vec()
	s.VSUBPS(v, n.one, other)
	if s.m.wide {
		negative := s.K()
		s.VPMOVD2M(x, negative)
		s.VBLENDMPS(v, other, negative, v)
	} else {
		s.VBLENDVPS(x, v, other, v)
	}
}

func (s *simd) gelu() {
	s.function("gelu", "func(y, x []float32)", "y[i] = x[i] Phi(x[i]), with the normal distribution Phi.")
	y, x := s.base("y"), s.base("x")
	n := s.newNormalDistribution()
	s.over(s.length("x"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(x, i, u), m)
		_, gauss, q := n.of(v)
		s.VMULPS(gauss, q, q)
		n.bySign(v, q)
		s.VMULPS(q, v, v)
		s.store(v, m, s.at(y, i, u))
	})
	s.ret()
}

func (s *simd) geluBackward() {
	s.function("geluBackward", "func(g, y, x []float32)", "g[i] *= Phi(x[i]) + x[i] phi(x[i]); y[i] = x[i] Phi(x[i]).")
	g, y, x := s.base("g"), s.base("y"), s.base("x")
	n := s.newNormalDistribution()
	density := s.constant(0.39894228040143268)
	s.over(s.length("x"), s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(x, i, u), m)
		a, gauss, q := n.of(v)
		slope := s.vec()
		s.VMOVAPS(q, slope)
		s.VFNMADD231PS(density, a, slope)
		s.VMULPS(gauss, slope, slope)
		n.bySign(v, slope)
		s.VMULPS(gauss, q, q)
		n.bySign(v, q)
		s.VMULPS(q, v, q)
		gradient := s.loaded(s.at(g, i, u), m)
		s.VMULPS(gradient, slope, slope)
		s.store(slope, m, s.at(g, i, u))
		s.store(q, m, s.at(y, i, u))
	})
	s.ret()
}
