package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// norms emits the loops of batch and layer normalisation.
func norms(c *build.Context, m machine) {
	s := newSIMD(c, m)
	s.moments()
	s.columnSums()
	s.scaleShift()
	s.batchNormSums()
	s.batchNormBackward()
	s.layerNorm()
	s.layerNormBackward()
}

// doubles is u-th vector of float64 from element j on.
func (s *simd) doubles(base, j reg.Register, u int) operand.Mem {
	return operand.Mem{Base: base, Index: j, Scale: 8, Disp: u * s.m.bytes}
}

// addDoubles adds v to float64 numbers in memory, a mask of half a register's
// float32 lanes at most.
func (s *simd) addDoubles(v reg.VecVirtual, m mask, to operand.Mem) {
	old := s.vec()
	switch {
	case m == nil:
		s.VADDPD(to, v, v)
		s.VMOVUPD(v, to)
	case s.m.wide:
		s.VMOVUPD_Z(to, m, old)
		s.VADDPD(old, v, v)
		s.VMOVUPD(v, m, to)
	default:
		wide := s.YMM()
		s.VPMOVSXDQ(m, wide)
		s.VMASKMOVPD(to, wide, old)
		s.VADDPD(old, v, v)
		s.VMASKMOVPD(v, wide, to)
	}
}

// halfPart is the v-th half register of the row at p.
func (s *simd) halfPart(p reg.GPVirtual, v int) operand.Mem {
	return operand.Mem{Base: p, Disp: v * s.m.bytes / 2}
}

func (s *simd) moments() {
	s.function("moments", "func(sum, square []float64, x view, rows int)", `, for each column,

	sum[j]    += sum over i of x[i][j]
	square[j] += sum over i of x[i][j] x[i][j]`)
	sum, square := s.base("sum"), s.base("square")
	s.strips(s.length("sum"), s.m.lanes/2, 4, func(j reg.GPVirtual, vectors int, m mask) {
		sums, squares := s.vecs(vectors), s.vecs(vectors)
		for v := range vectors {
			s.clear(sums[v])
			s.clear(squares[v])
		}
		p := s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				narrow, x := s.half(), s.vec()
				s.load(s.halfPart(p, v), m, narrow)
				s.VCVTPS2PD(narrow, x)
				s.VADDPD(x, sums[v], sums[v])
				s.VFMADD231PD(x, x, squares[v])
			}
			s.ADDQ(s.arg("x", "stride"), p)
		})
		for v := range vectors {
			s.addDoubles(sums[v], m, s.doubles(sum, j, v))
			s.addDoubles(squares[v], m, s.doubles(square, j, v))
		}
	})
	s.ret()
}

func (s *simd) columnSums() {
	s.function("columnSums", "func(sum []float32, x view, rows int)", `, for each column,

	sum[j] += sum over i of x[i][j]`)
	sum := s.base("sum")
	s.strips(s.length("sum"), s.m.lanes, 4, func(j reg.GPVirtual, vectors int, m mask) {
		sums := s.vecs(vectors)
		for v := range vectors {
			s.clear(sums[v])
		}
		p := s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				x := s.loaded(s.part(p, v), m)
				s.VADDPS(x, sums[v], sums[v])
			}
			s.ADDQ(s.arg("x", "stride"), p)
		})
		for v := range vectors {
			old := s.loaded(s.at(sum, j, v), m)
			s.VADDPS(old, sums[v], sums[v])
			s.store(sums[v], m, s.at(sum, j, v))
		}
	})
	s.ret()
}

// columns loads a strip of numbers that belong to columns.
func (s *simd) columns(from operand.Mem, j reg.GPVirtual, vectors int, m mask) []reg.VecVirtual {
	p := s.gp(from)
	loaded := s.vecs(vectors)
	for v := range vectors {
		s.load(s.at(p, j, v), m, loaded[v])
	}
	return loaded
}

// slice is where the base of a slice lies among the parameters.
func (s *simd) slice(name string, field ...string) operand.Mem {
	c := s.Param(name)
	for _, f := range field {
		c = c.Field(f)
	}
	b, err := c.Base().Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func (s *simd) scaleShift() {
	s.function("scaleShift", "func(y, x view, scale, shift []float32, rows int)", `, for each row,

	y[i][j] = x[i][j] scale[j] + shift[j]`)
	s.strips(s.length("scale"), s.m.lanes, 4, func(j reg.GPVirtual, vectors int, m mask) {
		scale, shift := s.columns(s.slice("scale"), j, vectors, m), s.columns(s.slice("shift"), j, vectors, m)
		y, x := s.strip("y", j), s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				number := s.loaded(s.part(x, v), m)
				s.VFMADD213PS(shift[v], scale[v], number)
				s.store(number, m, s.part(y, v))
			}
			s.ADDQ(s.arg("x", "stride"), x)
			s.ADDQ(s.arg("y", "stride"), y)
		})
	})
	s.ret()
}

func (s *simd) batchNormSums() {
	s.function("batchNormSums", "func(sum, product []float64, g, x view, mean, inverse []float32, rows int)", `, for each column,

	sum[j]     += sum over i of g[i][j]
	product[j] += inverse[j] times the sum over i of g[i][j] (x[i][j] - mean[j])

where the sums over i are float32: rows are few.`)
	sum, product := s.base("sum"), s.base("product")
	s.strips(s.length("sum"), s.m.lanes/2, 4, func(j reg.GPVirtual, vectors int, m mask) {
		halves := func() []reg.VecVirtual {
			v := make([]reg.VecVirtual, vectors)
			for i := range v {
				v[i] = s.half()
			}
			return v
		}
		sums, products, mean, inverse := halves(), halves(), halves(), s.half()
		means, inverses := s.gp(s.slice("mean")), s.gp(s.slice("inverse"))
		ofColumns := func(base reg.GPVirtual, v int) operand.Mem {
			return operand.Mem{Base: base, Index: j, Scale: 4, Disp: v * s.m.bytes / 2}
		}
		for v := range vectors {
			s.VXORPS(sums[v], sums[v], sums[v])
			s.VXORPS(products[v], products[v], products[v])
			s.load(ofColumns(means, v), m, mean[v])
		}
		g, x := s.strip("g", j), s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				gradient, number := s.half(), s.half()
				s.load(s.halfPart(g, v), m, gradient)
				s.load(s.halfPart(x, v), m, number)
				s.VSUBPS(mean[v], number, number)
				s.VADDPS(gradient, sums[v], sums[v])
				s.VFMADD231PS(gradient, number, products[v])
			}
			s.ADDQ(s.arg("g", "stride"), g)
			s.ADDQ(s.arg("x", "stride"), x)
		})
		for v := range vectors {
			wide := s.vec()
			s.VCVTPS2PD(sums[v], wide)
			s.addDoubles(wide, m, s.doubles(sum, j, v))
			s.load(ofColumns(inverses, v), m, inverse)
			s.VMULPS(inverse, products[v], products[v])
			s.VCVTPS2PD(products[v], wide)
			s.addDoubles(wide, m, s.doubles(product, j, v))
		}
	})
	s.ret()
}

func (s *simd) batchNormBackward() {
	s.function("batchNormBackward", "func(dx, g, x view, n BatchNormGradient, rows int)", `, for each row,

	dx[i][j] += n.Factor[j] (g[i][j] - n.MeanG[j] - (x[i][j] - n.Mean[j]) n.Slope[j])`)
	vectors := map[bool]int{true: 4, false: 2}[s.m.wide]
	cols, err := s.Param("n").Field("Factor").Len().Resolve()
	if err != nil {
		panic(err)
	}
	s.strips(cols.Addr, s.m.lanes, vectors, func(j reg.GPVirtual, vectors int, m mask) {
		field := func(name string) []reg.VecVirtual { return s.columns(s.slice("n", name), j, vectors, m) }
		factor, mean, meanG, slope := field("Factor"), field("Mean"), field("MeanG"), field("Slope")
		dx, g, x := s.strip("dx", j), s.strip("g", j), s.strip("x", j)
		s.down(s.arg("rows"), func() {
			for v := range vectors {
				sum, gradient, number := s.loaded(s.part(dx, v), m), s.loaded(s.part(g, v), m), s.loaded(s.part(x, v), m)
				s.VSUBPS(meanG[v], gradient, gradient)
				s.VSUBPS(mean[v], number, number)
				s.VFNMADD231PS(slope[v], number, gradient)
				s.VFMADD231PS(factor[v], gradient, sum)
				s.store(sum, m, s.part(dx, v))
			}
			s.ADDQ(s.arg("dx", "stride"), dx)
			s.ADDQ(s.arg("g", "stride"), g)
			s.ADDQ(s.arg("x", "stride"), x)
		})
	})
	s.ret()
}

// rowMoments is the mean and 1/sqrt(variance + epsilon) of the row at x, in all
// lanes.
func (s *simd) rowMoments(x reg.GPVirtual, cols operand.Op, share, one, epsilon reg.VecVirtual) (mean, inverse reg.VecVirtual) {
	mean, inverse = s.zero(), s.zero()
	s.over(cols, s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(x, i, u), m)
		s.VADDPS(v, mean, mean)
	})
	s.sum(mean)
	s.VMULPS(share, mean, mean)
	s.over(cols, s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
		v := s.loaded(s.at(x, i, u), m)
		s.VSUBPS(mean, v, v)
		s.keep(v, m)
		s.VFMADD231PS(v, v, inverse)
	})
	s.sum(inverse)
	s.VFMADD213PS(epsilon, share, inverse)
	s.VSQRTPS(inverse, inverse)
	s.VDIVPS(inverse, one, inverse)
	return mean, inverse
}

// share is 1/n in all lanes.
func (s *simd) share(n operand.Mem, one reg.VecVirtual) reg.VecVirtual {
	share := s.vec()
	s.VXORPS(share.AsX(), share.AsX(), share.AsX())
	s.VCVTSI2SSQ(n, share.AsX(), share.AsX())
	s.VDIVSS(share.AsX(), one.AsX(), share.AsX())
	s.VBROADCASTSS(share.AsX(), share)
	return share
}

func (s *simd) layerNorm() {
	s.function("layerNorm", "func(y, x view, weight, bias []float32, epsilon float32, rows int)", `, for each row,

	y[i][j] = (x[i][j] - mean) / sqrt(variance + epsilon) weight[j] + bias[j]`)
	cols, err := s.Param("weight").Len().Resolve()
	if err != nil {
		panic(err)
	}
	y, x, weight, bias := s.gp(s.arg("y", "at")), s.gp(s.arg("x", "at")), s.base("weight"), s.base("bias")
	one, epsilon := s.register(1), s.broadcast(s.arg("epsilon"))
	share := s.share(cols.Addr, one)
	s.down(s.arg("rows"), func() {
		mean, inverse := s.rowMoments(x, cols.Addr, share, one, epsilon)
		s.over(cols.Addr, s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			v, w, b := s.loaded(s.at(x, i, u), m), s.loaded(s.at(weight, i, u), m), s.loaded(s.at(bias, i, u), m)
			s.VSUBPS(mean, v, v)
			s.VMULPS(inverse, v, v)
			s.VFMADD213PS(b, w, v)
			s.store(v, m, s.at(y, i, u))
		})
		s.ADDQ(s.arg("x", "stride"), x)
		s.ADDQ(s.arg("y", "stride"), y)
	})
	s.ret()
}

func (s *simd) layerNormBackward() {
	s.function("layerNormBackward",
		"func(dx view, dWeight, dBias []float32, g, x view, weight []float32, epsilon float32, rows int)", `, with z = (x[i][j] - mean) inverse and h = g[i][j] weight[j],

	dx[i][j]   += inverse (h - mean of h - z mean of h z)
	dWeight[j] += g[i][j] z
	dBias[j]   += g[i][j]`)
	cols, err := s.Param("weight").Len().Resolve()
	if err != nil {
		panic(err)
	}
	dx, g, x := s.gp(s.arg("dx", "at")), s.gp(s.arg("g", "at")), s.gp(s.arg("x", "at"))
	dWeight, dBias, weight := s.base("dWeight"), s.base("dBias"), s.base("weight")
	one, epsilon := s.register(1), s.broadcast(s.arg("epsilon"))
	share := s.share(cols.Addr, one)
	s.down(s.arg("rows"), func() {
		mean, inverse := s.rowMoments(x, cols.Addr, share, one, epsilon)
		meanH, meanHZ := s.zero(), s.zero()
		// zAndH computes both for a vector; lanes outside of the mask are 0 in h.
		zAndH := func(i reg.GPVirtual, u int, m mask, h reg.VecVirtual) (z reg.VecVirtual) {
			z = s.loaded(s.at(x, i, u), m)
			w := s.loaded(s.at(weight, i, u), m)
			s.VSUBPS(mean, z, z)
			s.VMULPS(inverse, z, z)
			s.VMULPS(w, h, h)
			return z
		}
		s.over(cols.Addr, s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			h := s.loaded(s.at(g, i, u), m)
			b := s.loaded(s.at(dBias, i, u), m)
			s.VADDPS(h, b, b)
			s.store(b, m, s.at(dBias, i, u))
			gradient := s.vec()
			s.VMOVAPS(h, gradient)
			z := zAndH(i, u, m, h)
			w := s.loaded(s.at(dWeight, i, u), m)
			s.VFMADD231PS(gradient, z, w)
			s.store(w, m, s.at(dWeight, i, u))
			s.VADDPS(h, meanH, meanH)
			s.VFMADD231PS(h, z, meanHZ)
		})
		s.sum(meanH)
		s.sum(meanHZ)
		s.VMULPS(share, meanH, meanH)
		s.VMULPS(share, meanHZ, meanHZ)
		s.over(cols.Addr, s.m.lanes, 1, func(i reg.GPVirtual, u int, m mask) {
			h := s.loaded(s.at(g, i, u), m)
			z := zAndH(i, u, m, h)
			s.VSUBPS(meanH, h, h)
			s.VFNMADD231PS(z, meanHZ, h)
			sum := s.loaded(s.at(dx, i, u), m)
			s.VFMADD231PS(inverse, h, sum)
			s.store(sum, m, s.at(dx, i, u))
		})
		s.ADDQ(s.arg("dx", "stride"), dx)
		s.ADDQ(s.arg("g", "stride"), g)
		s.ADDQ(s.arg("x", "stride"), x)
	})
	s.ret()
}
