package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Functions on several vectors at a time, step by step for all of them: their
// chains of dependent instructions are longer than what a processor sees of
// the instructions to come.

// each does a step for each vector.
func each(vectors []reg.VecVirtual, step func(i int, v reg.VecVirtual)) {
	for i, v := range vectors {
		step(i, v)
	}
}

// exponential is exp(f x), with a constant f, for f x <= 0 (or NaN), to about
// one unit in the last place: with n the nearest whole number to f x / ln 2 and
// r = f x - n ln 2,
//
//	exp(f x) = 2^n exp(r),   exp(r) = 1 + r + r² P(r)   on |r| <= ln(2)/2
//
// P is minimax in relative error, 3.1e-9; ln 2 is taken off in two parts. Below
// 2^-126 the result may be 0 at once. (f enters the constants: what runs along
// is r/f.)
type exponential struct {
	s                     *simd
	log2e, ln2High, ln2Lo operand.Op
	p                     []operand.Op // down to r's own coefficient
	one                   operand.Op
	f                     float64
	most                  reg.VecVirtual // of x, where f is negative; else the least
}

// newExponential loads the constants; one is 1 in a register.
func (s *simd) newExponential(f float64, one operand.Op) *exponential {
	e := &exponential{s: s, one: one, f: f}
	e.log2e, e.ln2High, e.ln2Lo = s.constant(f*1.44269504088896341), s.constant(0.693359375/f), s.constant(-2.12194440e-4/f)
	e.p = s.coefficients(
		math.Pow(f, 6)*0.0013814540108798064, math.Pow(f, 5)*0.00836874511152347, math.Pow(f, 4)*0.04166839078568708,
		math.Pow(f, 3)*0.166665203990154, f*f*0.49999993432113843, f)
	// Where 2^n is made of bits it ends at 2^-126; VSCALEFPS goes on.
	e.most = s.register(map[bool]float64{true: -110, false: -87.33654}[s.m.wide] / f)
	return e
}

// of turns each x into exp(f x).
func (e *exponential) of(xs ...reg.VecVirtual) {
	s := e.s
	inside, n, p := s.vecs(len(xs)), s.vecs(len(xs)), s.vecs(len(xs))
	each(xs, func(i int, x reg.VecVirtual) {
		within, limit := uint8(notLess), s.VMAXPS
		if e.f < 0 {
			within, limit = notMore, s.VMINPS
		}
		if !s.m.wide {
			s.VCMPPS(operand.U8(within), e.most, x, inside[i])
		}
		limit(x, e.most, x) // a NaN is the second source and passes
	})
	each(xs, func(i int, x reg.VecVirtual) { s.mul(e.log2e, x, n[i]) })
	each(n, func(_ int, n reg.VecVirtual) {
		if s.m.wide {
			s.VRNDSCALEPS(operand.U8(nearest), n, n)
		} else {
			s.VROUNDPS(operand.U8(nearest), n, n)
		}
	})
	each(xs, func(i int, x reg.VecVirtual) { s.multiplySubtract(e.ln2High, n[i], x) })
	each(xs, func(i int, x reg.VecVirtual) { s.multiplySubtract(e.ln2Lo, n[i], x) })
	s.horner(p, xs, e.p)
	each(xs, func(i int, x reg.VecVirtual) { s.VFMADD213PS(e.one, x, p[i]) })
	if s.m.wide {
		each(xs, func(i int, x reg.VecVirtual) { s.VSCALEFPS(n[i], p[i], x) })
		return
	}
	each(n, func(_ int, n reg.VecVirtual) { s.VCVTPS2DQ(n, n) })
	each(n, func(_ int, n reg.VecVirtual) { s.VPSLLD(operand.U8(23), n, n) })
	each(n, func(i int, n reg.VecVirtual) { s.VPADDD(n, p[i], p[i]) })
	each(xs, func(i int, x reg.VecVirtual) { s.VANDPS(inside[i], p[i], x) })
}

const (
	notLess = 0x15 // VCMPPS: not less, or NaN
	notMore = 0x1A // VCMPPS: not greater, or NaN
	notLeq  = 0x16 // VCMPPS: not less or equal, or NaN
	nearest = 8    // VRNDSCALEPS, VROUNDPS: to the nearest whole number
)

// coefficients of a polynomial stay in memory, like all constants that work on
// a whole register where a broadcast costs nothing.
func (s *simd) coefficients(c ...float64) []operand.Op {
	in := make([]operand.Op, len(c))
	for i, v := range c {
		in[i] = s.constant(v)
	}
	return in
}

// horner is p = (c[0] x + c[1]) x + c[2] ..., for each x.
func (s *simd) horner(p, xs []reg.VecVirtual, c []operand.Op) {
	each(p, func(_ int, p reg.VecVirtual) { s.VBROADCASTSS(c[0], p) })
	for _, c := range c[1:] {
		each(xs, func(i int, x reg.VecVirtual) {
			if s.m.wide {
				s.VFMADD213PS_BCST(c, x, p[i])
			} else {
				s.VFMADD213PS(c, x, p[i])
			}
		})
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
	s          *simd
	exp        *exponential
	q          []operand.Op
	one        reg.VecVirtual
	abs, slope operand.Op
}

func (s *simd) newNormalDistribution() *normalDistribution {
	n := &normalDistribution{s: s, one: s.register(1)}
	n.exp = s.newExponential(-0.5, n.one)
	n.q = s.coefficients(
		-0.07218947838770887, 0.28622163020957614, -0.33581315158878844, 0.3559479849578691, -0.09862152748990048,
		0.1269715636721537, 0.06862207281543262, 0.08515483923407945, 0.08370606566908763)
	n.abs, n.slope = s.memory(0x7FFFFFFF), s.constant(0.21)
	return n
}

// of answers a = |x|, exp(-a²/2) and Q(a), for each x.
func (n *normalDistribution) of(xs []reg.VecVirtual) (a, gauss, q []reg.VecVirtual) {
	s := n.s
	a, gauss, q = s.vecs(len(xs)), s.vecs(len(xs)), s.vecs(len(xs))
	t := s.vecs(len(xs))
	each(xs, func(i int, x reg.VecVirtual) { s.and(n.abs, x, a[i]) })
	each(t, func(i int, t reg.VecVirtual) { s.VMOVAPS(n.one, t) })
	each(t, func(i int, t reg.VecVirtual) { s.multiplyAdd(n.slope, a[i], t) })
	each(t, func(i int, t reg.VecVirtual) { s.VDIVPS(t, n.one, t) })
	each(gauss, func(i int, gauss reg.VecVirtual) { s.VMULPS(a[i], a[i], gauss) })
	n.exp.of(gauss...)
	s.horner(q, t, n.q)
	each(q, func(i int, q reg.VecVirtual) { s.VMULPS(t[i], q, q) })
	return a, gauss, q
}

// bySign is v where x is negative, else 1 - v, for each x and its v in each of
// the lists.
func (n *normalDistribution) bySign(xs []reg.VecVirtual, lists ...[]reg.VecVirtual) {
	s := n.s
	each(xs, func(i int, x reg.VecVirtual) {
		negative := s.K()
		if s.m.wide {
			s.VPMOVD2M(x, negative)
		}
		for _, vs := range lists {
			v, other := vs[i], s.vec()
			s.VSUBPS(v, n.one, other)
			if s.m.wide {
				s.VBLENDMPS(v, other, negative, v)
			} else {
				s.VBLENDVPS(x, v, other, v)
			}
		}
	})
}

// together is how many vectors the registers hold in GELU.
func (m machine) together() int { return map[bool]int{true: 4, false: 2}[m.wide] }

func (s *simd) gelu() {
	s.function("gelu", "func(y, x []float32)", "y[i] = x[i] Phi(x[i]), with the normal distribution Phi.")
	y, x := s.base("y"), s.base("x")
	n := s.newNormalDistribution()
	s.strips(s.length("x"), s.m.lanes, s.m.together(), func(i reg.GPVirtual, vectors int, m mask) {
		v := s.vecs(vectors)
		each(v, func(u int, v reg.VecVirtual) { s.load(s.at(x, i, u), m, v) })
		_, gauss, q := n.of(v)
		each(q, func(u int, q reg.VecVirtual) { s.VMULPS(gauss[u], q, q) })
		n.bySign(v, q)
		each(q, func(u int, q reg.VecVirtual) { s.VMULPS(q, v[u], q) })
		each(q, func(u int, q reg.VecVirtual) { s.store(q, m, s.at(y, i, u)) })
	})
	s.ret()
}

func (s *simd) geluBackward() {
	s.function("geluBackward", "func(g, y, x []float32)", `, for each i,

	g[i] *= Phi(x[i]) + x[i] phi(x[i])
	y[i]  = x[i] Phi(x[i])`)
	g, y, x := s.base("g"), s.base("y"), s.base("x")
	n := s.newNormalDistribution()
	density := s.constant(0.39894228040143268)
	s.strips(s.length("x"), s.m.lanes, s.m.together(), func(i reg.GPVirtual, vectors int, m mask) {
		v, slope := s.vecs(vectors), s.vecs(vectors)
		each(v, func(u int, v reg.VecVirtual) { s.load(s.at(x, i, u), m, v) })
		a, gauss, q := n.of(v)
		each(slope, func(u int, slope reg.VecVirtual) { s.VMOVAPS(q[u], slope) })
		each(slope, func(u int, slope reg.VecVirtual) { s.multiplySubtract(density, a[u], slope) })
		each(slope, func(u int, slope reg.VecVirtual) { s.VMULPS(gauss[u], slope, slope) })
		each(q, func(u int, q reg.VecVirtual) { s.VMULPS(gauss[u], q, q) })
		n.bySign(v, slope, q)
		each(q, func(u int, q reg.VecVirtual) { s.VMULPS(q, v[u], q) })
		each(slope, func(u int, slope reg.VecVirtual) {
			gradient := s.loaded(s.at(g, i, u), m)
			s.VMULPS(gradient, slope, slope)
			s.store(slope, m, s.at(g, i, u))
			s.store(q[u], m, s.at(y, i, u))
		})
	})
	s.ret()
}
