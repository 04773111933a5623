package patchtst

// feed is a feed-forward block: D -> F, activation, F -> D, token by token,
// from x to y (C K, D).
func (p *pass) feed(index int, y, x matrix) {
	l, up, half := &p.layers.blocks[index], p.up(index), p.sample.kept[index].half
	l.up.forward(p.k, up, p.scratch.operands.x.round(p.k, x))
	if half != nil {
		p.k.RoundBF16(half.up.Data, up.Data)
	}
	p.activate(p.scratch.hidden.Data, up.Data)
	p.drop(p.scratch.hidden.Data, p.config.FeedForwardDropout, insideSite(index), 0)
	l.down.forward(p.k, y, p.scratch.operands.hidden.round(p.k, p.scratch.hidden))
}

// feedBackward takes the gradient dy of y to the weights and to the input, dx
// = plus + ... . What the activation gave is computed again: that is cheaper
// than keeping it.
func (p *pass) feedBackward(index int, gradient *block, dx, plus, x, dy matrix) {
	l, up, o := &p.layers.blocks[index], p.up(index), &p.scratch.operands
	if half := p.sample.kept[index].half; half != nil {
		p.k.WidenBF16(up.Data, half.up.Data)
	}
	hidden, dHidden, rate := p.scratch.hidden, p.scratch.hiddenGradient, p.config.FeedForwardDropout
	l.down.backward(p.k, dHidden, o.dy.round(p.k, dy), matrix{})
	p.drop(dHidden.Data, rate, insideSite(index), 0)
	p.activateBackward(dHidden.Data, hidden.Data, up.Data)
	p.drop(hidden.Data, rate, insideSite(index), 0)
	l.down.learn(p.k, &gradient.down, o.hidden.pair(p.k, hidden), o.dy.pair(p.k, dy))
	l.up.learn(p.k, &gradient.up, o.x.pair(p.k, x), o.dHidden.pair(p.k, dHidden))
	l.up.backward(p.k, dx, o.dHidden.round(p.k, dHidden), plus)
}

// up is what a block has before the activation, (C K, F).
func (p *pass) up(index int) matrix {
	if kept := p.sample.kept[index]; kept.half == nil {
		return kept.up
	}
	return p.scratch.up
}

// activate is the function between the two linear layers, gelu or relu.
func (p *pass) activate(y, x []float32) {
	if p.config.Activation == "relu" {
		p.k.ReLU(y, x)
	} else {
		p.k.GELU(y, x)
	}
}

// activateBackward turns the gradient of activate's y into that of its x, and
// computes y again.
func (p *pass) activateBackward(gradient, y, x []float32) {
	if p.config.Activation == "relu" {
		p.k.ReLUBackward(gradient, x)
		p.k.ReLU(y, x)
	} else {
		p.k.GELUBackward(gradient, y, x)
	}
}
