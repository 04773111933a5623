package patchtst

import (
	"math"

	"fettle/patchtst/internal/kernel"
)

// line is how many numbers a cache line holds.
const line = 16

// An arena hands out pieces of one allocation, zero at first. An arena without
// memory behind it only counts: so what is said about memory beforehand comes
// from the code that takes it. Counting, it hands out nil.
type arena struct {
	free   []float32
	halves []kernel.BF16
	need   float64 // numbers handed out; a float64 does not overflow
	half   float64 // bfloat16 handed out
	real   bool
}

// fill runs build twice: once to count, once to allocate.
func fill[T any](build func(*arena) T) T {
	var counter arena
	build(&counter)
	a := &arena{free: make([]float32, int(counter.need)), halves: make([]kernel.BF16, int(counter.half)), real: true}
	return build(a)
}

// count is how many numbers build would take, two bfloat16 being one.
func count[T any](build func(*arena) T) float64 {
	var counter arena
	build(&counter)
	return counter.need + counter.half/2
}

// take hands out as many numbers as the product of the sizes.
func (a *arena) take(sizes ...int) []float32 {
	size, n := sizesOf(sizes, line)
	a.need += n
	if !a.real {
		return nil
	}
	piece := a.free[:int(size):int(size)]
	a.free = a.free[int(n):]
	return piece
}

// takeHalves does so for bfloat16.
func (a *arena) takeHalves(sizes ...int) []kernel.BF16 {
	size, n := sizesOf(sizes, 2*line)
	a.half += n
	if !a.real {
		return nil
	}
	piece := a.halves[:int(size):int(size)]
	a.halves = a.halves[int(n):]
	return piece
}

// oneOf hands out the same memory for several uses, of which only one is at work
// at any time.
func (a *arena) oneOf(uses ...func()) {
	before, after := *a, *a
	for _, use := range uses {
		*a = before
		use()
		if a.need > after.need {
			after.need, after.free = a.need, a.free
		}
		if a.half > after.half {
			after.half, after.halves = a.half, a.halves
		}
	}
	*a = after
}

// sizesOf is how many numbers a piece has, and how many it takes so that the
// next one starts on a cache line of its own.
func sizesOf(sizes []int, line float64) (size, whole float64) {
	size = 1
	for _, s := range sizes {
		size *= float64(s)
	}
	return size, math.Ceil(size/line) * line
}

// matrix hands out a matrix.
func (a *arena) matrix(rows, cols int) matrix { return dense(a.take(rows, cols), rows, cols) }
