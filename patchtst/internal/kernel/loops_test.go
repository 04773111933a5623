package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A loop is one kernel over vectors or matrices of float32, which must do what
// its loop in plain Go does. run works on the buffers in place.
type loop struct {
	name    string
	buffers int     // vectors of n numbers, or matrices of rows x cols
	columns int     // further vectors of cols numbers
	close   float64 // how far from the Go loop, relative to the larger of 1 and the number; 0: same bits
	run     func(k *Kernels, b []Matrix, columns [][]float32)
}

var vectorLoops = []loop{
	{"Add", 2, 0, 0, func(k *Kernels, b []Matrix, _ [][]float32) { k.Add(b[0].Data, b[1].Data) }},
	{"AddScaled", 2, 0, 3e-7, func(k *Kernels, b []Matrix, _ [][]float32) { k.AddScaled(b[0].Data, 0.7, b[1].Data) }},
	{"Scale", 1, 0, 0, func(k *Kernels, b []Matrix, _ [][]float32) { k.Scale(b[0].Data, -0.3) }},
	{"ReLU", 2, 0, 0, func(k *Kernels, b []Matrix, _ [][]float32) { k.ReLU(b[0].Data, b[1].Data) }},
	{"ReLUBackward", 2, 0, 0, func(k *Kernels, b []Matrix, _ [][]float32) { k.ReLUBackward(b[0].Data, b[1].Data) }},
	{"GELU", 2, 0, 3e-7, func(k *Kernels, b []Matrix, _ [][]float32) { k.GELU(b[0].Data, b[1].Data) }},
	{"GELU in place", 1, 0, 3e-7, func(k *Kernels, b []Matrix, _ [][]float32) { k.GELU(b[0].Data, b[0].Data) }},
	{"GELUBackward", 3, 0, 1e-6, func(k *Kernels, b []Matrix, _ [][]float32) { k.GELUBackward(b[0].Data, b[1].Data, b[2].Data) }},
	{"Drop", 1, 0, 0, func(k *Kernels, b []Matrix, _ [][]float32) {
		k.Drop(b[0].Data, Dropout{Threshold: 1 << 30, Scale: 1.25, Key: 0xFEDCBA9876543210}, 77)
	}},
	{"AdamW", 4, 0, 1e-5, func(k *Kernels, b []Matrix, _ [][]float32) {
		for i, v := range b[2].Data {
			b[2].Data[i] = v * v // the mean of squares
		}
		k.AdamW(b[0].Data, b[1].Data, b[2].Data, b[3].Data, AdamStep{
			GradientScale: 0.5, Decay: 0.999, Size: 0.01, Root: 1.1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8})
	}},
}

var matrixLoops = []loop{
	{"SoftmaxRows", 1, 0, 1e-6, func(k *Kernels, b []Matrix, _ [][]float32) { k.SoftmaxRows(b[0], 2) }},
	{"SoftmaxColumns", 1, 0, 1e-6, func(k *Kernels, b []Matrix, _ [][]float32) { k.SoftmaxColumns(b[0], 2) }},
	{"SoftmaxRowsBackward", 2, 0, 2e-5, func(k *Kernels, b []Matrix, _ [][]float32) { k.SoftmaxRowsBackward(b[0], b[1], 0.2) }},
	{"SoftmaxColumnsBackward", 2, 0, 2e-5, func(k *Kernels, b []Matrix, _ [][]float32) { k.SoftmaxColumnsBackward(b[0], b[1], 0.2) }},
	{"ColumnSums", 1, 1, 1e-5, func(k *Kernels, b []Matrix, c [][]float32) { k.ColumnSums(c[0], b[0]) }},
	{"ScaleShift", 2, 2, 5e-7, func(k *Kernels, b []Matrix, c [][]float32) { k.ScaleShift(b[0], b[1], c[0], c[1]) }},
	{"BatchNormBackward", 3, 4, 2e-6, func(k *Kernels, b []Matrix, c [][]float32) {
		k.BatchNormBackward(b[0], b[1], b[2], BatchNormGradient{c[0], c[1], c[2], c[3]})
	}},
	{"LayerNorm", 2, 2, 1e-5, func(k *Kernels, b []Matrix, c [][]float32) { k.LayerNorm(b[0], b[1], c[0], c[1], 1e-2) }},
	{"LayerNormBackward", 3, 3, 2e-5, func(k *Kernels, b []Matrix, c [][]float32) {
		k.LayerNormBackward(b[0], c[0], c[1], b[1], b[2], c[2], 1e-2)
	}},
}

// TestVectorLoops runs every loop at every length, wherever the numbers lie.
func TestVectorLoops(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for _, l := range vectorLoops {
			for n := range 132 {
				for _, offset := range []int{0, 1, 7, 12} {
					l.test(t, k, 1, n, offset)
				}
			}
			l.test(t, k, 1, 3*maxChunk+5, 3)
		}
	})
}

func TestMatrixLoops(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for _, l := range matrixLoops {
			for n := range 132 {
				l.test(t, k, 3, n, n%16)
				l.test(t, k, n, 5, n%16)
			}
			for _, s := range [][2]int{{138, 128}, {23, 23}, {397, 70}, {2, 3 * maxChunk}, {maxChunk, 2}, {300, 37}} {
				l.test(t, k, s[0], s[1], 1)
			}
		}
	})
}

func (l loop) test(t *testing.T, k *Kernels, rows, cols, offset int) {
	t.Helper()
	name := fmt.Sprintf("%s %d x %d at %d", l.name, rows, cols, offset)
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	var got, want []guarded
	var gotM, wantM []Matrix
	var gotC, wantC [][]float32
	for range l.buffers {
		stride := cols
		if rows > 1 {
			stride += r.IntN(20)
		}
		m, g := randomMatrix(r, rows, cols, stride, offset)
		same := newGuarded(len(g.values), 0)
		copy(same.values, g.values)
		gotM, wantM = append(gotM, m), append(wantM, Matrix{same.values, rows, cols, stride})
		got, want = append(got, g), append(want, same)
	}
	for range l.columns {
		m, g := randomMatrix(r, 1, cols, cols, offset)
		same := append([]float32(nil), m.Data...)
		gotC, wantC = append(gotC, g.values), append(wantC, same)
		got, want = append(got, g), append(want, guarded{values: same})
	}
	l.run(k, gotM, gotC)
	l.run(Generic(), wantM, wantC)
	close := l.close * max(1, math.Sqrt(float64(max(rows, cols))/128)) // the longer a sum
	for b := range got {
		got[b].check(t)
		compare(t, fmt.Sprintf("%s, buffer %d", name, b), got[b].values, want[b].values, close)
	}
}

// compare wants what is between the rows untouched too: it is NaN in both.
func compare(t *testing.T, name string, got, want []float32, close float64) {
	t.Helper()
	for i, g := range got {
		w := want[i]
		switch {
		case math.Float32bits(g) == math.Float32bits(w):
		case g != g && w != w && math.Float32bits(w) != guardBits:
		case close > 0 && math.Abs(float64(g)-float64(w)) <= close*max(1, math.Abs(float64(w))):
		case close == 0 && g == w && g == 0:
		default:
			t.Fatalf("%s: [%d] = %g (%#x), want %g (%#x)", name, i, g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}

// TestSums is the kernels that answer a number or float64 sums.
func TestSums(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 132 {
			for _, offset := range []int{0, 1, 7, 12} {
				testSums(t, k, r, n, offset)
			}
		}
		testSums(t, k, r, 5*maxChunk+3, 1)
	})
}

func testSums(t *testing.T, k *Kernels, r *rand.Rand, n, offset int) {
	x, _ := randomMatrix(r, 1, n, n, offset)
	y, _ := randomMatrix(r, 1, n, n, offset+3)
	var dot, size, squares float64
	for i, v := range x.Data {
		dot += float64(v) * float64(y.Data[i])
		size += math.Abs(float64(v) * float64(y.Data[i]))
		squares += float64(v) * float64(v)
	}
	if got := float64(k.Dot(x.Data, y.Data)); !(math.Abs(got-dot) <= 3e-7*size) {
		t.Fatalf("Dot of %d = %g, want %g", n, got, dot)
	}
	if got := k.SumSquares(x.Data); !(math.Abs(got-squares) <= 1e-12*squares) {
		t.Fatalf("SumSquares of %d = %g, want %g", n, got, squares)
	}
}

func TestColumnStatistics(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for n := range 132 {
			testColumnStatistics(t, k, 3, n)
			testColumnStatistics(t, k, n, 37)
		}
		testColumnStatistics(t, k, 138, 128)
	})
}

func testColumnStatistics(t *testing.T, k *Kernels, rows, cols int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	x, _ := randomMatrix(r, rows, cols, cols+r.IntN(9), r.IntN(16))
	g, _ := randomMatrix(r, rows, cols, cols+r.IntN(9), r.IntN(16))
	mean, _ := randomMatrix(r, 1, cols, cols, 1)
	inverse, _ := randomMatrix(r, 1, cols, cols, 1)
	for i := range x.Rows {
		for j := range x.Row(i) {
			x.Row(i)[j] += 1000 // where the squares would swallow the variance
		}
	}
	var sums [2][4][]float64 // of k and generic: four columns
	for path, k := range []*Kernels{k, Generic()} {
		for i := range sums[path] {
			guard := make([]float64, cols+2)
			for j := range guard {
				guard[j] = float64(j)
			}
			sums[path][i] = guard
		}
		s := sums[path]
		in := func(i int) []float64 { return s[i][1:][:cols:cols] }
		k.Moments(in(0), in(1), x)
		k.BatchNormSums(in(2), in(3), g, x, mean.Data, inverse.Data)
	}
	for i := range sums[0] {
		close := []float64{1e-14, 1e-14, 1e-8, 1e-5}[i] // float64, float64, float32 from near 0 and near 1000
		for j, got := range sums[0][i] {
			want := sums[1][i][j]
			if j == 0 || j == cols+1 {
				want = float64(j)
			}
			if !(math.Abs(got-want) <= close*max(1000, math.Abs(want))) {
				t.Fatalf("%d x %d: column %d of statistic %d is %g, want %g", rows, cols, j, i, got, want)
			}
		}
	}
}

func TestTranspose(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 132 {
			for _, s := range [][2]int{{i, 23}, {16, i}, {i, i}, {7, i}, {i, 300}} {
				src, _ := randomMatrix(r, s[0], s[1], s[1]+r.IntN(9), r.IntN(16))
				dst, guard := randomMatrix(r, s[1], s[0], s[0]+r.IntN(9), r.IntN(16))
				k.Transpose(dst, src)
				guard.checkBetween(t, dst)
				for i := range src.Rows {
					for j, v := range src.Row(i) {
						if dst.Row(j)[i] != v {
							t.Fatalf("%v: dst[%d][%d] = %g, want %g", s, j, i, dst.Row(j)[i], v)
						}
					}
				}
			}
		}
	})
}

// TestPackTransposed is Pack of the transposed matrix.
func TestPackTransposed(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 132 {
			w, _ := randomMatrix(r, i, 20+i/3, 30+i/3, 1)
			turned, _ := randomMatrix(r, w.Cols, w.Rows, w.Rows, 1)
			k.Transpose(turned, w)
			n := k.PanelsLen(w.Cols, w.Rows)
			got, want := newGuarded(n, 3), newGuarded(n, 3)
			k.PackTransposed(got.values, w)
			k.Pack(want.values, turned)
			got.check(t)
			compare(t, fmt.Sprintf("%d x %d", w.Rows, w.Cols), got.values, want.values, 0)
		}
	})
}
