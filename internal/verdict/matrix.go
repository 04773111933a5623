package verdict

import "math"

// Matrices are row-major slices.

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var sum float64
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// cholesky turns the lower triangle of a symmetric positive definite a (n, n)
// into its factor L, with a = L L'. False if it is not positive definite.
func cholesky(a []float64, n int) bool {
	for i := range n {
		row := a[i*n : i*n+n]
		for j := range i {
			other := a[j*n : j*n+n]
			row[j] = (row[j] - dot(row[:j], other[:j])) / other[j]
		}
		pivot := row[i] - dot(row[:i], row[:i])
		if !(pivot > 0) || math.IsInf(pivot, 1) { // not a number either
			return false
		}
		row[i] = math.Sqrt(pivot)
	}
	return true
}

// solveCholesky replaces x (n) by the solution of L L' s = x.
func solveCholesky(l []float64, n int, x []float64) {
	for i := range n {
		x[i] = (x[i] - dot(l[i*n:i*n+i], x[:i])) / l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		x[i] /= l[i*n+i]
		for j := range i {
			x[j] -= l[i*n+j] * x[i]
		}
	}
}

// invertCholesky returns the inverse (n, n) of L L'.
func invertCholesky(l []float64, n int) []float64 {
	inverse := make([]float64, n*n)
	for i := range n {
		column := inverse[i*n : i*n+n] // symmetric, so a column is a row
		column[i] = 1
		solveCholesky(l, n, column)
	}
	return inverse
}
