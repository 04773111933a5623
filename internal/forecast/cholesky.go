package forecast

import "math"

// leastPivot is how small a pivot may be beside its diagonal element before it
// is taken for rounding.
const leastPivot = 1e-13

// factor finds the lower triangle C with C C' = a + ridge*I, for a symmetric a
// (n, n), row-major. It tells false if there is none: a + ridge*I is not
// positive definite, to rounding, or not finite.
func factor(a []float64, n int, ridge float64) (c []float64, ok bool) {
	c = make([]float64, n*n)
	for i := range n {
		row := c[i*n : i*n+i]
		for j := range i {
			c[i*n+j] = (a[i*n+j] - dot(row[:j], c[j*n:j*n+j])) / c[j*n+j]
		}
		diagonal := a[i*n+i] + ridge
		pivot := diagonal - dot(row, row)
		if !(pivot > leastPivot*diagonal) || math.IsInf(pivot, 0) { // NaN is not above 0 either
			return nil, false
		}
		c[i*n+i] = math.Sqrt(pivot)
	}
	return c, true
}

// solve finds x with C C' x = b, in b's own memory.
func solve(c, b []float64) {
	n := len(b)
	for i := range n {
		b[i] = (b[i] - dot(c[i*n:i*n+i], b[:i])) / c[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		b[i] /= c[i*n+i]
		for j := range i { // C' by its rows: column i of C' is row i of C
			b[j] -= c[i*n+j] * b[i]
		}
	}
}
