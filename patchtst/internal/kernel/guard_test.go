package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// everyPath runs a test for each implementation that the machine has.
func everyPath(t *testing.T, test func(t *testing.T, k *Kernels)) {
	for _, k := range Available() {
		t.Run(k.String(), func(t *testing.T) { test(t, k) })
	}
}

// A guarded slice lies between guard values, offset numbers past the start of
// an allocation. They are NaN, so what reads them shows too.
type guarded struct {
	all    []float32
	values []float32
}

const guardBits = 0x7FC0BEEF

func newGuarded(n, offset int) guarded {
	all := make([]float32, 64+offset+n+64)
	for i := range all {
		all[i] = math.Float32frombits(guardBits)
	}
	return guarded{all, all[64+offset:][:n:n]}
}

func (g guarded) check(t *testing.T) {
	t.Helper()
	before := len(g.all) - 64 - len(g.values)
	for i, v := range g.all {
		if inside := i >= before && i < before+len(g.values); !inside && math.Float32bits(v) != guardBits {
			t.Fatalf("wrote %g over the guard at %d of %d numbers", v, i-before, len(g.values))
		}
	}
}

// randomMatrix has guard values between its rows too.
func randomMatrix(r *rand.Rand, rows, cols, stride, offset int) (Matrix, guarded) {
	n := 0
	if rows > 0 {
		n = (rows-1)*stride + cols
	}
	g := newGuarded(n, offset)
	m := Matrix{Data: g.values, Rows: rows, Cols: cols, Stride: stride}
	for i := range rows {
		for j := range cols {
			m.Row(i)[j] = float32(r.NormFloat64())
		}
	}
	return m, g
}

func (g guarded) checkBetween(t *testing.T, m Matrix) {
	t.Helper()
	g.check(t)
	for i := range g.values {
		if i%m.Stride >= m.Cols && math.Float32bits(g.values[i]) != guardBits {
			t.Fatalf("wrote %g between the rows at %d, stride %d, %d columns", g.values[i], i, m.Stride, m.Cols)
		}
	}
}
