package kernel

import (
	"math"
	"testing"
)

// numbers between -15 and 15: all exponents, and dense where functions bend.
func numbers() []float32 {
	var x []float32
	for bits := uint32(0); bits < math.Float32bits(15); bits += 9973 {
		x = append(x, math.Float32frombits(bits), -math.Float32frombits(bits))
	}
	for v := -15.0; v < 15; v += 1e-4 {
		x = append(x, float32(v))
	}
	return x
}

// TestGELUAccuracy holds GELU and its derivative to the error that they
// promise against math.Erf in float64.
func TestGELUAccuracy(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		x := numbers()
		y, again, slope := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		for i := range slope {
			slope[i] = 1
		}
		k.GELU(y, x)
		k.GELUBackward(slope, again, x)
		var worst, worstSlope, worstRelative float64
		for i, v := range x {
			x := float64(v)
			phi := 0.5 * math.Erfc(-x/math.Sqrt2)
			wantSlope := phi + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
			if y[i] != again[i] {
				t.Fatalf("GELU(%g) is %g forward and %g backward", v, y[i], again[i])
			}
			worst = max(worst, math.Abs(float64(y[i])-x*phi)/max(1, math.Abs(x)))
			worstSlope = max(worstSlope, math.Abs(float64(slope[i])-wantSlope))
			if x > -10 && math.Abs(x) > 1e-30 {
				worstRelative = max(worstRelative, math.Abs(float64(y[i])/(x*phi)-1))
			}
		}
		t.Logf("%s: error %.2g max(1, |x|), relative %.2g above -10; of the derivative %.2g", k, worst, worstRelative, worstSlope)
		if worst > 1.5e-7 || worstRelative > 3e-6 || worstSlope > 3e-7 {
			t.Error("more than GELU and GELUBackward promise")
		}
	})
}

func TestSoftmaxAccuracy(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		var worst float64
		for v := float32(0); v > -87; v -= 1.7e-3 {
			x := []float32{0, v}
			k.SoftmaxRows(Dense(x, 1, 2), 1)
			e := math.Exp(float64(v))
			worst = max(worst, math.Abs(float64(x[1])/(e/(1+e))-1))
		}
		t.Logf("%s: relative error %.2g", k, worst)
		if worst > 3e-7 {
			t.Error("more than SoftmaxRows promises")
		}
	})
}

// TestAdamWAccuracy is the first step against the formula in float64; the
// factors 1-Beta1 and 1-Beta2 must not come from rounded betas.
func TestAdamWAccuracy(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		w, m, v, g := []float32{1}, []float32{0}, []float32{0}, []float32{3}
		k.AdamW(w, m, v, g, AdamStep{GradientScale: 0.5, Decay: 0.99, Size: 0.01, Root: 20, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8})
		wantM, wantV := 0.1*1.5, 0.001*1.5*1.5
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"m", float64(m[0]), wantM}, {"v", float64(v[0]), wantV},
			{"w", float64(w[0]), 0.99 - 0.01*wantM/(math.Sqrt(wantV)*20+1e-8)},
		} {
			if math.Abs(c.got/c.want-1) > 2e-7 {
				t.Errorf("%s = %.9g, want %.9g", c.name, c.got, c.want)
			}
		}
	})
}

// TestSpecialNumbers wants NaN and infinity where the Go loops have them, and
// finite numbers near theirs; a denormal number may be zero.
func TestSpecialNumbers(t *testing.T) {
	inf := float32(math.Inf(1))
	special := []float32{float32(math.NaN()), inf, -inf, 0, float32(math.Copysign(0, -1)), 1e-40, -1e-45, 1e-38, math.MaxFloat32, -math.MaxFloat32, 1e20, -88, 100, 0.5}
	everyPath(t, func(t *testing.T, k *Kernels) {
		for _, l := range append(append([]loop(nil), vectorLoops...), matrixLoops...) {
			for at := range special {
				// One special number in otherwise plain ones: what it does to a
				// sum does not hide what others do.
				l.testSpecial(t, k, special[at], at)
			}
		}
	})
}

func (l loop) testSpecial(t *testing.T, k *Kernels, special float32, at int) {
	const rows, cols = 5, 37
	run := func(k *Kernels) (all []Matrix) {
		var columns [][]float32
		for b := range l.buffers + l.columns {
			m := Dense(make([]float32, rows*cols), rows, cols)
			for i := range m.Data {
				m.Data[i] = float32(math.Sin(float64(i + b)))
			}
			if all = append(all, m); b >= l.buffers {
				columns = append(columns, m.Row(0))
			} else {
				m.Data[(7*at+b)%len(m.Data)] = special
			}
		}
		l.run(k, all[:l.buffers], columns)
		return all
	}
	got, want := run(k), run(Generic())
	for b := range got {
		for i, g := range got[b].Data {
			w := want[b].Data[i]
			switch {
			case g != g && w != w, g == w:
			case math.Abs(float64(g)-float64(w)) <= max(l.close, 1e-6)*max(1, math.Abs(float64(w))):
			default:
				t.Errorf("%s %s with %g: buffer %d [%d] = %g, want %g", k, l.name, special, b, i, g, w)
				return
			}
		}
	}
}
