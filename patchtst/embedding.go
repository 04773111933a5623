package patchtst

// embed starts the stream: from a window (L, C) over patches (C, N, P) to
// tokens (C, K, D), each a linear map of its patch plus its place in time. A
// class token, the same for all channels, comes before the patches.
func (p *pass) embed(w window, fallback []float64) {
	c, s := p.config, p.sample
	scaleWindow(p.scratch.scaled, s.center, s.scale, w, c.Scaling, fallback)
	cutPatches(s.patches.values, p.scratch.scaled, c)
	patches, first := c.Patches(), c.tokens()-c.Patches()
	for channel := range c.Channels {
		tokens := s.streams[0].every(channel*c.tokens(), 1, c.tokens())
		embedded := tokens.every(first, 1, patches)
		p.tensors.embeddingOf(channel).forward(embedded, s.patches.every(channel*patches, 1, patches))
		if c.ClassToken {
			copy(tokens.row(0), p.tensors.class)
			add(tokens.row(0), p.tensors.position[:c.ModelWidth])
		}
		for n := range patches {
			add(embedded.row(n), p.tensors.position[(first+n)*c.ModelWidth:][:c.ModelWidth])
		}
		values := patches * c.ModelWidth
		drop(embedded.values[:values], c.PositionalDropout, p.noise.key(positionalSite), channel*values)
	}
}

// embedBackward takes the gradient of the stream's start, p.sample's
// streamGradient, to the embedding, the class token and a learned table.
func (p *pass) embedBackward(gradient *tensors) {
	c, s := p.config, p.sample
	patches, first := c.Patches(), c.tokens()-c.Patches()
	for channel := range c.Channels {
		tokens := s.streamGradient.every(channel*c.tokens(), 1, c.tokens())
		embedded := tokens.every(first, 1, patches)
		values := patches * c.ModelWidth
		drop(embedded.values[:values], c.PositionalDropout, p.noise.key(positionalSite), channel*values)
		if c.ClassToken {
			add(gradient.class, tokens.row(0))
		}
		if gradient.position != nil {
			add(gradient.position, tokens.values[:len(gradient.position)])
		}
		l, g := p.tensors.embeddingOf(channel), gradient.embeddingOf(channel)
		l.backward(nil, g, s.patches.every(channel*patches, 1, patches), embedded)
	}
}

// embeddingOf is the linear layer that embeds a channel's patches.
func (t *tensors) embeddingOf(channel int) *linear {
	if len(t.embedding) == 1 {
		return &t.embedding[0]
	}
	return &t.embedding[channel]
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
