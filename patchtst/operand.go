package patchtst

import "fettle/patchtst/internal/kernel"

// An operand is an activation, or its gradient, as the products of layers take
// it: as it is, or rounded to bfloat16, which is multiplied in pairs: along its
// rows, where they are multiplied with a weight, and down its columns, where
// the gradient of a weight is summed up. The two share their memory: it is one
// or the other, as it was made last.
type operand struct {
	matrix
	along kernel.MatrixOf[kernel.BF16] // (rows, cols)
	down  kernel.MatrixOf[kernel.Pair] // (rows/2, cols)
}

// plain is an operand of layers that multiply float32.
func plain(x matrix) operand { return operand{matrix: x} }

// newOperand takes the memory of an operand's bfloat16; without half there are
// none.
func newOperand(a *arena, rows, cols int, half bool) operand {
	if !half {
		return operand{}
	}
	halves := a.takeHalves(even(rows), cols)
	return operand{along: kernel.Dense(halves, rows, cols), down: kernel.Dense(pairsOf(halves), even(rows)/2, cols)}
}

// takePairs hands out pairs of bfloat16.
func (a *arena) takePairs(sizes ...int) []kernel.Pair {
	return pairsOf(a.takeHalves(append(sizes, 2)...))
}

// pairsOf are an even number of bfloat16, two by two.
func pairsOf(halves []kernel.BF16) []kernel.Pair {
	return kernel.Pairs(kernel.Dense(halves, 1, len(halves))).Data
}

// halfMatrix hands out a matrix of bfloat16.
func (a *arena) halfMatrix(rows, cols int) halfMatrix {
	return kernel.Dense(a.takeHalves(rows, cols), rows, cols)
}

// round makes an operand of x, which is dense, for products with weights.
func (o *operand) round(k *kernel.Kernels, x matrix) operand {
	o.matrix = x
	if o.along.Data != nil {
		k.RoundBF16(o.along.Data[:len(x.Data)], x.Data)
	}
	return *o
}

// pair makes an operand of x, which is dense, for gradients of weights.
func (o *operand) pair(k *kernel.Kernels, x matrix) operand {
	o.matrix = x
	if o.along.Data != nil {
		k.PairRows(o.down, x)
	}
	return *o
}

// columnsOf is a part of every row.
func (o operand) columnsOf(from, n int) operand {
	o.matrix = columns(o.matrix, from, n)
	if o.along.Data != nil {
		o.along, o.down = o.along.Columns(from, from+n), o.down.Columns(from, from+n)
	}
	return o
}
