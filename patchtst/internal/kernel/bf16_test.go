package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestToBF16(t *testing.T) {
	for _, c := range []struct {
		in   uint32
		want BF16
	}{
		{0x3F800000, 0x3F80},                       // 1
		{0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, // half ways go to the even one
		{0x3F808001, 0x3F81}, {0x3F807FFF, 0x3F80},
		{0x7F7FFFFF, 0x7F80},                       // the largest float32 rounds to infinity
		{0xFF800000, 0xFF80}, {0x80000000, 0x8000}, // -Inf, -0
		{0x7F800001, 0x7FC0}, {0xFFC12345, 0xFFC1}, // NaN
	} {
		if got := ToBF16(math.Float32frombits(c.in)); got != c.want {
			t.Errorf("ToBF16(%#x) = %#x, want %#x", c.in, got, c.want)
		}
	}
}

// halves are random bfloat16, special ones among them, between guards.
func halves(r *rand.Rand, n, offset int) (all, inside []BF16) {
	all = make([]BF16, 64+offset+n+64)
	for i := range all {
		all[i] = 0xBEEF
	}
	inside = all[64+offset:][:n:n]
	for i := range inside {
		inside[i] = ToBF16(float32(r.NormFloat64()))
	}
	return all, inside
}

func checkHalves(t *testing.T, all, inside []BF16) {
	t.Helper()
	before := len(all) - 64 - len(inside)
	for i, v := range all {
		if (i < before || i >= before+len(inside)) && v != 0xBEEF {
			t.Fatalf("wrote %#x over the guard at %d of %d numbers", v, i-before, len(inside))
		}
	}
}

func TestRoundAndWiden(t *testing.T) {
	special := []uint32{0x3F808000, 0x3F818000, 0x7F7FFFFF, 0xFF800000, 0x80000000, 0x7F800001, 0xFFC12345, 0, 0x00800000, 0x7F7F0000}
	everyPath(t, func(t *testing.T, k *Kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 132 {
			for _, offset := range []int{0, 1, 7, 12} {
				src, _ := randomMatrix(r, 1, n, n, offset)
				for i := range src.Data {
					if r.IntN(4) == 0 {
						src.Data[i] = math.Float32frombits(special[r.IntN(len(special))])
					}
				}
				all, dst := halves(r, n, offset)
				k.RoundBF16(dst, src.Data)
				checkHalves(t, all, dst)
				wide := newGuarded(n, offset)
				k.WidenBF16(wide.values, dst)
				wide.check(t)
				for i, v := range src.Data {
					if dst[i] != ToBF16(v) {
						t.Fatalf("%d of %d: %g (%#x) became %#x, want %#x", i, n, v, math.Float32bits(v), dst[i], ToBF16(v))
					}
					if math.Float32bits(wide.values[i]) != uint32(dst[i])<<16 {
						t.Fatalf("%d of %d: %#x became %g", i, n, dst[i], wide.values[i])
					}
				}
			}
		}
	})
}

func TestPairRows(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for n := range 132 {
			testPairRows(t, k, 4, n)
			testPairRows(t, k, 5, n)
			testPairRows(t, k, n, 19)
		}
		testPairRows(t, k, 139, 256)
	})
}

func testPairRows(t *testing.T, k *Kernels, rows, cols int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	src, _ := randomMatrix(r, rows, cols, cols+r.IntN(9), r.IntN(16))
	_, data := halves(r, rows*(cols+3), r.IntN(16))
	rounded := MatrixOf[BF16]{data, rows, cols, cols + 3}
	for i := range rows {
		for j, v := range src.Row(i) {
			rounded.Row(i)[j] = ToBF16(v)
		}
	}
	for _, run := range []struct {
		name string
		pair func(dst MatrixOf[Pair])
	}{
		{"PairRows", func(dst MatrixOf[Pair]) { k.PairRows(dst, src) }},
		{"PairRowsBF16", func(dst MatrixOf[Pair]) { k.PairRowsBF16(dst, rounded) }},
	} {
		all, inside := halves(r, (rows+1)/2*2*cols, 2)
		dst := Pairs(Dense(inside, (rows+1)/2, 2*cols))
		run.pair(dst)
		checkHalves(t, all, inside)
		for i := range dst.Rows {
			for j, got := range dst.Row(i) {
				want := Pair{ToBF16(src.Row(2 * i)[j]), 0}
				if 2*i+1 < rows {
					want[1] = ToBF16(src.Row(2*i + 1)[j])
				}
				if got != want {
					t.Fatalf("%s of %d x %d: [%d][%d] = %x, want %x", run.name, rows, cols, i, j, got, want)
				}
			}
		}
	}
}

// TestMultiplyPairs is c = plus + a w in all its forms, against the sum in
// float64 of the rounded numbers.
func TestMultiplyPairs(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		for i, c := range productCases() {
			for j, form := range []string{"MultiplyPairs", "MultiplyPanelsPairs", "transposed panels", "MultiplyTransposedPairs"} {
				if c.rows*c.depth*c.cols < 1e6 || k.HasBF16() {
					testPairProduct(t, k, c, form, (i+j)%2 == 0, i)
				}
			}
		}
	})
}

func testPairProduct(t *testing.T, k *Kernels, s productCase, form string, accumulate bool, seed int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	matrix := func(rows, cols int) MatrixOf[BF16] {
		stride := cols + 2*r.IntN(10)
		_, data := halves(r, rows*stride, 0)
		return MatrixOf[BF16]{data, rows, cols, stride}
	}
	paired := func(m MatrixOf[BF16]) MatrixOf[Pair] {
		stride := m.Cols + r.IntN(10)
		dst := MatrixOf[Pair]{make([]Pair, (m.Rows+1)/2*stride), (m.Rows + 1) / 2, m.Cols, stride}
		k.PairRowsBF16(dst, m)
		return dst
	}
	even := s.depth + s.depth%2
	a, w := matrix(s.rows, even), matrix(even, s.cols)
	at := func(i, p int) BF16 { return a.Row(i)[p] }
	c, guard := randomMatrix(r, s.rows, s.cols, s.cols+r.IntN(20), r.IntN(16))
	var plus Matrix
	start := make([]float32, len(c.Data))
	if accumulate {
		plus = c
		copy(start, c.Data)
	}
	packed := make([]Pair, k.PanelsLen(even/2, s.cols))
	switch form {
	case "MultiplyPairs":
		k.MultiplyPairs(c, Pairs(a), paired(w), plus)
	case "MultiplyPanelsPairs":
		k.MultiplyPanelsPairs(c, Pairs(a), k.PackPairs(packed, w), plus)
	case "transposed panels":
		turned := matrix(s.cols, even)
		for i := range turned.Rows {
			for j := range turned.Row(i) {
				turned.Row(i)[j] = w.Row(j)[i]
			}
		}
		k.MultiplyPanelsPairs(c, Pairs(a), k.PackPairsTransposed(packed, turned), plus)
	case "MultiplyTransposedPairs":
		a = matrix(even, s.rows)
		at = func(i, p int) BF16 { return a.Row(p)[i] }
		k.MultiplyTransposedPairs(c, paired(a), paired(w), plus)
	}
	guard.checkBetween(t, c)
	for i := range s.rows {
		for j, got := range c.Row(i) {
			want := float64(start[i*c.Stride+j])
			size := math.Abs(want)
			for p := range even {
				v := float64(at(i, p).Float32()) * float64(w.Row(p)[j].Float32())
				want, size = want+v, size+math.Abs(v)
			}
			if !(math.Abs(float64(got)-want) <= 1e-7*size*math.Sqrt(float64(s.depth+4))) {
				t.Fatalf("%s of %d x %d x %d: c[%d][%d] = %g, want %g", form, s.rows, even, s.cols, i, j, got, want)
			}
		}
	}
}

func ExampleKernels_MultiplyPairs() {
	k := Generic()
	a := []BF16{ToBF16(1), ToBF16(2), ToBF16(3), ToBF16(4)} // 2 rows of one pair
	w := []Pair{{ToBF16(10), ToBF16(1)}}                    // one row of pairs, one column
	c := make([]float32, 2)
	k.MultiplyPairs(Dense(c, 2, 1), Pairs(Dense(a, 2, 2)), Dense(w, 1, 1), Matrix{})
	fmt.Println(c)
	// Output: [12 34]
}
