package patchtst

// The last feed-forward block, where nothing follows but the mean over patches:
//
//	mean(stream + W hidden + b) = mean(stream) + W mean(hidden) + b
//
// so its second linear layer runs on C rows instead of C N, forward and back.

// hasLast says whether the conditions hold.
func (c Config) hasLast() bool {
	return c.PreNorm && c.Pooling == "mean" && !c.ClassToken && c.PathDropout == 0
}

// readOutLast is the last block and readOut in one.
func (p *pass) readOutLast() {
	c, s, index := p.config, p.scratch, len(p.norms)-1
	l, stream := &p.layers.blocks[index], p.sample.streams[index]
	l.up.forward(p.k, s.up, s.operands.x.round(p.k, p.view(index)))
	p.activate(s.hidden.Data, s.up.Data)
	p.drop(s.hidden.Data, c.FeedForwardDropout, insideSite(index), 0)
	tokens := c.tokens()
	clear(s.hiddenMean.Data)
	clear(s.streamMean.Data)
	for channel := range c.Channels {
		p.k.ColumnSums(s.hiddenMean.Row(channel), s.hidden.RowRange(channel*tokens, (channel+1)*tokens))
		p.k.ColumnSums(s.streamMean.Row(channel), stream.RowRange(channel*tokens, (channel+1)*tokens))
	}
	p.k.Scale(s.hiddenMean.Data, 1/float32(tokens))
	l.down.forward(p.k, s.pooled, plain(s.hiddenMean))
	p.k.AddScaled(s.pooled.Data, 1/float32(tokens), s.streamMean.Data)
	p.answer()
}

// readOutLastBackward takes the gradient of the forecast (T, C) to the block's
// view of the stream before it, in the sample's viewGradient, to what goes past
// the block, in tokenGradient, and to the weights. It follows readOutLast on the
// same scratch.
func (p *pass) readOutLastBackward(gradient *tensors, dForecast []float32) {
	c, s, index := p.config, p.scratch, len(p.norms)-1
	p.answerBackward(gradient, dForecast)
	l, g, tokens := &p.layers.blocks[index], &gradient.blocks[index], c.tokens()
	l.down.learn(p.k, &g.down, plain(s.hiddenMean), plain(s.pooledGradient))
	dHiddenMean := s.hiddenMean
	l.down.backward(p.k, dHiddenMean, plain(s.pooledGradient), matrix{})
	p.k.Scale(dHiddenMean.Data, 1/float32(tokens))
	p.k.Scale(s.pooledGradient.Data, 1/float32(tokens))
	copy(p.sample.tokenGradient.Data, s.pooledGradient.Data)
	for r := range s.hiddenGradient.Rows {
		copy(s.hiddenGradient.Row(r), dHiddenMean.Row(r/tokens))
	}
	p.drop(s.hiddenGradient.Data, c.FeedForwardDropout, insideSite(index), 0)
	p.activateBackward(s.hiddenGradient.Data, s.hidden.Data, s.up.Data)
	o := &s.operands
	l.up.learn(p.k, &g.up, o.x.pair(p.k, s.view), o.dHidden.pair(p.k, s.hiddenGradient))
	l.up.backward(p.k, p.sample.viewGradient, o.dHidden.round(p.k, s.hiddenGradient), matrix{})
}

// passLast is viewBackward of the stream before the last block. Past the block
// the same gradient goes to all tokens of a channel; and nobody needs the stream
// any more, so its own gradient takes its place.
func (p *pass) passLast(gradient *norm) {
	s, dx, index := p.sample, p.scratch.view, len(p.norms)-1
	for r := range dx.Rows {
		copy(dx.Row(r), s.tokenGradient.Row(r/p.config.tokens()))
	}
	p.norms[index].backward(p.k, dx, s.viewGradient, s.streams[index], gradient)
	copy(s.streamGradient.Data, dx.Data)
}
