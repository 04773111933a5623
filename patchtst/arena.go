package patchtst

import "math"

// line is how many numbers a cache line holds.
const line = 16

// An arena hands out pieces of one allocation, zero at first. An arena without
// memory behind it only counts: so what is said about memory beforehand comes
// from the code that takes it. Counting, it hands out nil.
type arena struct {
	free []float32
	need float64 // numbers handed out; a float64 does not overflow
	real bool
}

// fill runs build twice: once to count, once to allocate.
func fill[T any](build func(*arena) T) T {
	var counter arena
	build(&counter)
	a := &arena{free: make([]float32, int(counter.need)), real: true}
	return build(a)
}

// count is how many numbers build would take.
func count[T any](build func(*arena) T) float64 {
	var counter arena
	build(&counter)
	return counter.need
}

// take hands out as many numbers as the product of the sizes.
func (a *arena) take(sizes ...int) []float32 {
	size := 1.0
	for _, s := range sizes {
		size *= float64(s)
	}
	n := math.Ceil(size/line) * line // a piece starts on a cache line of its own
	a.need += n
	if !a.real {
		return nil
	}
	piece := a.free[:int(size):int(size)]
	a.free = a.free[int(n):]
	return piece
}

// matrix hands out a matrix.
func (a *arena) matrix(rows, cols int) matrix { return dense(a.take(rows, cols), rows, cols) }
