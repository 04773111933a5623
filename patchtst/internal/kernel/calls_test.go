package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// TestCallsAreShort looks at what one call of assembly is given at most, however
// large the whole is: a goroutine in assembly cannot be interrupted.
// BenchmarkLongestCalls says how long that takes.
func TestCallsAreShort(t *testing.T) {
	for _, k := range Available() {
		k, calls := *k, 0
		tile := func(_, _, _, _ pointer, _, _, _, _, rows, depth, cols int) {
			calls++
			if rows*depth > maxWork || cols > k.width {
				t.Errorf("%s: a product of %d x %d x %d in one call", &k, rows, depth, cols)
			}
		}
		numbers := func(n int) {
			calls++
			if n > maxChunk {
				t.Errorf("%s: %d numbers in one call", &k, n)
			}
		}
		k.product, k.productT = shapes{tile, tile, tile}, shapes{tile, tile, tile}
		k.gelu = func(y, _ []float32) { numbers(len(y)) }
		k.scaleShift = func(_, _ view, scale, _ []float32, rows int) { numbers(rows * len(scale)) }
		k.softmaxColumns = func(_ view, _ float32, rows, cols int) { numbers(rows * cols) }

		const rows, depth, cols = 1000, 700, 300
		c, a, w := make([]float32, rows*cols), make([]float32, rows*depth), make([]float32, depth*cols)
		k.Multiply(Dense(c, rows, cols), Dense(a, rows, depth), Dense(w, depth, cols), Matrix{})
		k.MultiplyTransposed(Dense(c, rows, cols), Dense(a, depth, rows), Dense(w, depth, cols), Matrix{})
		k.GELU(a, a)
		k.ScaleShift(Dense(a, rows, depth), Dense(a, rows, depth), w[:depth], w[:depth])
		k.SoftmaxColumns(Dense(w, 250, cols), 1)
		if wanted := 5; calls < wanted {
			t.Errorf("%s: %d calls; expected at least %d", &k, calls, wanted)
		}
	}
}

// BenchmarkLongestCalls prints the microseconds of calls as large as they come,
// of numbers that lie in no cache: the median, since a shared machine may take a
// thread away in any of them.
//
//	go test -bench LongestCalls -benchtime 1x ./patchtst/internal/kernel
func BenchmarkLongestCalls(b *testing.B) {
	const rows, cols, many = 64, maxChunk / 64, 600
	r := rand.New(rand.NewPCG(1, 1))
	buffers := make([]Matrix, many)
	for i := range buffers {
		buffers[i], _ = randomMatrix(r, rows, cols, cols, 0)
	}
	columns := make([][]float32, 4)
	for i := range columns {
		m, _ := randomMatrix(r, 1, cols, cols, 0)
		columns[i] = m.Data
	}
	for _, k := range Available()[1:] {
		report := func(name string, buffersEach int, call func(buffers []Matrix)) {
			b.Run(k.String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					var times []time.Duration
					for i := 0; i+buffersEach <= many; i += buffersEach {
						start := time.Now()
						call(buffers[i : i+buffersEach])
						times = append(times, time.Since(start))
					}
					slices.Sort(times)
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(times[len(times)/2].Seconds()*1e6, "us/call")
				}
			})
		}
		for _, l := range slices.Concat(vectorLoops, matrixLoops) {
			report(l.name, l.buffers, func(buffers []Matrix) { l.run(k, buffers, columns) })
		}
		a, w, c := make([]float32, maxWork), make([]float32, maxDepth*k.width), make([]float32, maxWork/maxDepth*k.width)
		at := func(x []float32) pointer { return unsafe.Pointer(unsafe.SliceData(x)) }
		product := func(name string, tile tileKernel) {
			report(name, 1, func([]Matrix) {
				tile(at(c), at(a), at(w), nil, size*k.width, size*maxDepth, size*k.width, 0, maxWork/maxDepth, maxDepth, k.width)
			})
		}
		product("product", k.product.full)
		if k.HasBF16() {
			product("product of pairs", k.productPairs.full)
		}
	}
}
