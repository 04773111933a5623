package patchtst

import "math"

// sequences says which tokens of a window look at each other: count sequences
// of length tokens, step rows apart.
type sequences struct{ count, length, step int }

func (k blockKind) sequences(c Config) sequences {
	if k == attendChannels {
		return sequences{count: c.tokens(), length: c.Channels, step: c.tokens()}
	}
	return sequences{count: c.Channels, length: c.tokens(), step: 1}
}

// of takes the i-th sequence out of an activation, (length, width).
func (s sequences) of(x matrix, i int) matrix {
	if s.step == 1 {
		return x.every(i*s.length, 1, s.length)
	}
	return x.every(i, s.step, s.length)
}

// shareScale keeps the scores of wide heads from growing.
func shareScale(c Config) float32 {
	return float32(1 / math.Sqrt(float64(c.ModelWidth/c.Heads)))
}

// sharesOf is where the shares of one head are kept, (length, length). A
// forecast has room for one head and uses it again.
func (k kept) sharesOf(s sequences, head int) matrix {
	size := s.length * s.length
	if at := head * size; at+size <= len(k.shares) {
		return dense(k.shares[at:][:size], s.length, s.length)
	}
	return dense(k.shares[:size], s.length, s.length)
}

// attend lets every token of a sequence look at all of them: for each head
//
//	mixed = softmax(query key' / sqrt(D/H)) value,   (length, D/H)
//
// and adds up the heads in a last linear layer: from x (C K, D) to p.scratch's
// added (C K, D).
func (p *pass) attend(index int, b *block, x matrix) {
	c, k := p.config, p.sample.kept[index]
	d, width := c.ModelWidth, c.ModelWidth/c.Heads
	b.query.forward(k.qkv.columns(0, d), x)
	b.key.forward(k.qkv.columns(d, d), x)
	b.value.forward(k.qkv.columns(2*d, d), x)

	clear(k.mixed.values)
	s := b.kind.sequences(c)
	for i := range s.count {
		qkv, mixed := s.of(k.qkv, i), s.of(k.mixed, i)
		for h := range c.Heads {
			query, key, value := qkv.columns(h*width, width), qkv.columns(d+h*width, width), qkv.columns(2*d+h*width, width)
			shares := k.sharesOf(s, i*c.Heads+h)
			productNT(shares, query, key, nil)
			softmax(shares, shareScale(c))
			shares = p.dropShares(index, shares, i*c.Heads+h)
			productNN(mixed.columns(h*width, width), shares, value)
		}
	}
	b.output.forward(p.scratch.added, k.mixed)
}

// attendBackward takes the gradient of added, in p.scratch, to dx (C K, D),
// which it is added to, and to the weights.
func (p *pass) attendBackward(index int, b, gradient *block, dx, x matrix) {
	c, k := p.config, p.sample.kept[index]
	d, width := c.ModelWidth, c.ModelWidth/c.Heads
	dMixed, dQKV := p.scratch.mixedGradient, p.scratch.qkvGradient
	clear(dMixed.values)
	clear(dQKV.values)
	b.output.backward(&dMixed, &gradient.output, k.mixed, p.scratch.added)

	s := b.kind.sequences(c)
	for i := range s.count {
		qkv, dQKV, dMixed := s.of(k.qkv, i), s.of(dQKV, i), s.of(dMixed, i)
		for h := range c.Heads {
			query, key, value := qkv.columns(h*width, width), qkv.columns(d+h*width, width), qkv.columns(2*d+h*width, width)
			dQuery, dKey, dValue := dQKV.columns(h*width, width), dQKV.columns(d+h*width, width), dQKV.columns(2*d+h*width, width)
			dMixed := dMixed.columns(h*width, width)
			shares, head := k.sharesOf(s, i*c.Heads+h), i*c.Heads+h
			productTN(dValue, p.dropShares(index, shares, head), dMixed)

			dShares := dense(p.scratch.shareGradient[:s.length*s.length], s.length, s.length)
			productNT(dShares, dMixed, value, nil)
			drop(dShares.values, c.AttentionDropout, p.noise.key(sharesSite(index)), head*len(dShares.values))
			softmaxBackward(dShares, shares, shareScale(c)) // now the gradient of query key'
			productNN(dQuery, dShares, key)
			productTN(dKey, dShares, query)
		}
	}
	b.query.backward(&dx, &gradient.query, x, dQKV.columns(0, d))
	b.key.backward(&dx, &gradient.key, x, dQKV.columns(d, d))
	b.value.backward(&dx, &gradient.value, x, dQKV.columns(2*d, d))
}

// dropShares is attention's dropout. It works on a copy: softmax's way back
// needs the shares as they were.
func (p *pass) dropShares(block int, shares matrix, head int) matrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := dense(p.scratch.shares[:len(shares.values)], shares.rows, shares.cols)
	copy(dropped.values, shares.values)
	drop(dropped.values, p.config.AttentionDropout, p.noise.key(sharesSite(block)), head*len(shares.values))
	return dropped
}
