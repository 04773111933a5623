package patchtst

// begin takes a window (L, C) to its patches (C, N, P), and to the first stream
// unless the first attention goes without: see first.
func (p *pass) begin(w window, fallback []float64) {
	s := p.sample
	scaleWindow(p.scratch.scaled, s.center, s.scale, w, p.config.Scaling, fallback)
	cutPatches(s.patches.Data, p.scratch.scaled, p.config)
	if p.first == nil {
		p.embed(s.streams[0])
	}
}

// embed starts the stream: from the patches (C, N, P) to tokens (C, K, D), each
// a linear map of its patch plus its place in time. A class token, the same for
// all channels, comes before the patches.
func (p *pass) embed(stream matrix) {
	c, patched := p.config, p.sample.patches
	patches, first := c.Patches(), c.tokens()-c.Patches()
	for channel := range c.Channels {
		tokens := stream.RowRange(channel*c.tokens(), (channel+1)*c.tokens())
		embedded := tokens.RowRange(first, c.tokens())
		p.layers.embeddingOf(channel).forward(p.k, embedded, plain(patched.RowRange(channel*patches, (channel+1)*patches)))
		if c.ClassToken {
			copy(tokens.Row(0), p.tensors.class)
		}
		values := patches * c.ModelWidth
		p.k.Add(tokens.Data[:len(p.tensors.position)], p.tensors.position)
		p.drop(embedded.Data[:values], c.PositionalDropout, positionalSite, channel*values)
	}
}

// embedBackward takes the gradient of the stream's start, p.sample's
// streamGradient, to the embedding, the class token and a learned table.
func (p *pass) embedBackward(gradient *tensors) {
	c, s := p.config, p.sample
	patches, first := c.Patches(), c.tokens()-c.Patches()
	for channel := range c.Channels {
		tokens := s.streamGradient.RowRange(channel*c.tokens(), (channel+1)*c.tokens())
		embedded := tokens.RowRange(first, c.tokens())
		values := patches * c.ModelWidth
		p.drop(embedded.Data[:values], c.PositionalDropout, positionalSite, channel*values)
		if c.ClassToken {
			p.k.Add(gradient.class, tokens.Row(0))
		}
		if gradient.position != nil {
			p.k.Add(gradient.position, tokens.Data[:len(gradient.position)])
		}
		l, g := p.layers.embeddingOf(channel), &gradient.embedding[channel%len(gradient.embedding)]
		l.learn(p.k, g, plain(s.patches.RowRange(channel*patches, (channel+1)*patches)), plain(embedded))
	}
}

// cutPatches copies a window's patches, (C, N, P), oldest first; the last one
// of each channel ends on the newest row.
func cutPatches(patches, x []float32, c Config) {
	for channel := range c.Channels {
		for n := range c.Patches() {
			first := c.FirstRow() + n*c.PatchStride
			for i := range c.PatchLength {
				patches[i] = x[(first+i)*c.Channels+channel]
			}
			patches = patches[c.PatchLength:]
		}
	}
}
