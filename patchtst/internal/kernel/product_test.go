package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

type productCase struct{ rows, depth, cols int }

func productCases() []productCase {
	var cases []productCase
	for n := range 70 {
		cases = append(cases, productCase{n, 7, 33}, productCase{13, n, 40}, productCase{7, 5, n})
	}
	for rows := range 27 {
		for _, cols := range []int{1, 8, 9, 16, 17, 31, 32} {
			cases = append(cases, productCase{rows, 3, cols})
		}
	}
	return append(cases,
		productCase{138, 128, 384}, productCase{138, 256, 128}, productCase{23, 32, 23}, productCase{397, 64, 100},
		productCase{3, 2000, 35}, productCase{300, 130, 33}, productCase{5, 128, 130}, productCase{1, 40000, 1})
}

// TestMultiply is c = plus + a w in all its forms, against the sum in float64.
func TestMultiply(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for i, c := range productCases() {
			for j, form := range []string{"Multiply", "MultiplyPanels", "MultiplyTransposed"} {
				testProduct(t, k, c, form, []string{"nothing", "bias", "matrix", "itself"}[(i+j)%4], i)
			}
		}
	})
}

func testProduct(t *testing.T, k *Kernels, s productCase, form, plusKind string, seed int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	pad := func() int { return r.IntN(3) * r.IntN(20) }
	c, guardC := randomMatrix(r, s.rows, s.cols, s.cols+pad(), r.IntN(16))
	w, _ := randomMatrix(r, s.depth, s.cols, s.cols+pad(), r.IntN(16))
	a, _ := randomMatrix(r, s.rows, s.depth, s.depth+pad(), r.IntN(16))
	at := func(i, p int) float32 { return a.Row(i)[p] }
	if form == "MultiplyTransposed" {
		a, _ = randomMatrix(r, s.depth, s.rows, s.rows+pad(), r.IntN(16))
		at = func(i, p int) float32 { return a.Row(p)[i] }
	}
	var plus Matrix
	switch plusKind {
	case "bias":
		bias, _ := randomMatrix(r, 1, s.cols, s.cols, 5)
		plus = EveryRow(bias.Row(0))
	case "matrix":
		plus, _ = randomMatrix(r, s.rows, s.cols, s.cols+pad(), r.IntN(16))
	case "itself":
		plus = c
	}
	expected, scale := make([]float64, s.rows*s.cols), make([]float64, s.rows*s.cols)
	for i := range s.rows {
		for j := range s.cols {
			sum, size := 0.0, 0.0
			if plus.Data != nil {
				sum = float64(plus.Data[i*plus.Stride+j])
				size = math.Abs(sum)
			}
			for p := range s.depth {
				v := float64(at(i, p)) * float64(w.Row(p)[j])
				sum, size = sum+v, size+math.Abs(v)
			}
			expected[i*s.cols+j], scale[i*s.cols+j] = sum, size
		}
	}
	switch form {
	case "Multiply":
		k.Multiply(c, a, w, plus)
	case "MultiplyPanels":
		packed := newGuarded(k.PanelsLen(s.depth, s.cols), seed%16)
		k.MultiplyPanels(c, a, k.Pack(packed.values, w), plus)
		packed.check(t)
	case "MultiplyTransposed":
		k.MultiplyTransposed(c, a, w, plus)
	}
	name := fmt.Sprintf("%s %d x %d x %d plus %s", form, s.rows, s.depth, s.cols, plusKind)
	for i := range s.rows {
		for j, got := range c.Row(i) {
			want, size := expected[i*s.cols+j], scale[i*s.cols+j]
			if !(math.Abs(float64(got)-want) <= 1e-7*size*math.Sqrt(float64(s.depth+4))) {
				t.Fatalf("%s: c[%d][%d] = %g, want %g", name, i, j, got, want)
			}
		}
	}
	guardC.checkBetween(t, c)
}

// TestSameBits: a number of a product does not depend on how the rows are cut
// into calls, nor on where the matrices lie.
func TestSameBits(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		const rows, depth, cols = 150, 300, 70
		a, _ := randomMatrix(r, rows, depth, depth, 0)
		w, _ := randomMatrix(r, depth, cols, cols, 0)
		turned, _ := randomMatrix(r, depth, rows, rows, 0)
		k.Transpose(turned, a)
		packed := k.Pack(make([]float32, k.PanelsLen(depth, cols)), w)
		for name, multiply := range map[string]func(c Matrix, from, to int){
			"Multiply":           func(c Matrix, from, to int) { k.Multiply(c, a.RowRange(from, to), w, Matrix{}) },
			"MultiplyPanels":     func(c Matrix, from, to int) { k.MultiplyPanels(c, a.RowRange(from, to), packed, Matrix{}) },
			"MultiplyTransposed": func(c Matrix, from, to int) { k.MultiplyTransposed(c, turned.Columns(from, to), w, Matrix{}) },
		} {
			whole, _ := randomMatrix(r, rows, cols, cols, 0)
			parts, _ := randomMatrix(r, rows, cols, cols+3, 5)
			multiply(whole, 0, rows)
			for from := 0; from < rows; {
				to := min(rows, from+1+r.IntN(30))
				multiply(parts.RowRange(from, to), from, to)
				from = to
			}
			for i := range rows {
				compare(t, fmt.Sprintf("%s, row %d", name, i), parts.Row(i), whole.Row(i), 0)
			}
		}
	})
}
