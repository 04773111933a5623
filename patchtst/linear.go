package patchtst

// forward is y = x W' + b, from (rows, in) to (rows, out).
func (l *linear) forward(y, x matrix) { productNT(y, x, l.matrix(), l.bias) }

// backward takes the gradient dy (rows, out) to the layer's weights, whose
// gradients it adds to g, and to its input x: dx += dy W, unless dx is nil.
func (l *linear) backward(dx *matrix, g *linear, x, dy matrix) {
	productTN(g.matrix(), dy, x) // dW += dy' x
	if g.bias != nil {
		addRows(g.bias, dy)
	}
	if dx != nil {
		productNN(*dx, dy, l.matrix())
	}
}

// matrix is the weight, (out, in).
func (l *linear) matrix() matrix { return dense(l.weight, l.out, l.in) }
