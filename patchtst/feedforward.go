package patchtst

// feed is a feed-forward block: D -> F, activation, F -> D, token by token,
// from x (C K, D) to p.scratch's added (C K, D).
func (p *pass) feed(index int, b *block, x matrix) {
	up := p.sample.kept[index].up
	b.up.forward(up, x)
	p.activate(index, up)
	b.down.forward(p.scratch.added, p.scratch.hidden)
}

// feedBackward takes the gradient of added, in p.scratch, to dx (C K, D),
// which it is added to, and to the weights. What the activation gave is
// computed again: that is cheaper than keeping it.
func (p *pass) feedBackward(index int, b, gradient *block, dx, x matrix) {
	c, up := p.config, p.sample.kept[index].up
	p.activate(index, up)
	dHidden := p.scratch.hiddenGradient
	clear(dHidden.values)
	b.down.backward(&dHidden, &gradient.down, p.scratch.hidden, p.scratch.added)
	drop(dHidden.values, c.FeedForwardDropout, p.noise.key(insideSite(index)), 0)
	activateBackward(c.Activation, dHidden.values, up.values)
	b.up.backward(&dx, &gradient.up, x, dHidden)
}

// activate fills p.scratch's hidden (C K, F).
func (p *pass) activate(index int, up matrix) {
	hidden := p.scratch.hidden.values
	activate(p.config.Activation, hidden, up.values)
	drop(hidden, p.config.FeedForwardDropout, p.noise.key(insideSite(index)), 0)
}
