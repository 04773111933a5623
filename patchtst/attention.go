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
		return x.RowRange(i*s.length, (i+1)*s.length)
	}
	return every(x, i, s.step, s.length)
}

// shareScale keeps the scores of wide heads from growing.
func shareScale(c Config) float32 {
	return float32(1 / math.Sqrt(float64(c.ModelWidth/c.Heads)))
}

// maxKeptSequence is how many tokens look at each other at most for attention
// to keep their shares for the way back. The shares of longer sequences are
// computed again: they would take most of the memory, and fetching them from
// there would take as long.
const maxKeptSequence = 128

// head is one head of attention at one sequence: its own part of each matrix.
type head struct {
	number            int    // among all heads of all sequences
	query, key, value matrix // (length, D/H)
	mixed             matrix // (length, D/H)
}

// heads calls do for every head of every sequence of a block, with the parts
// of qkv (C K, 3 D) and mixed (C K, D).
func (p *pass) heads(kind blockKind, qkv, mixed matrix, do func(h head)) {
	s, d, width := kind.sequences(p.config), p.config.ModelWidth, p.config.ModelWidth/p.config.Heads
	for i := range s.count {
		qkv, mixed := s.of(qkv, i), s.of(mixed, i)
		for h := range p.config.Heads {
			do(head{
				number: i*p.config.Heads + h,
				query:  columns(qkv, h*width, width), key: columns(qkv, d+h*width, width), value: columns(qkv, 2*d+h*width, width),
				mixed: columns(mixed, h*width, width),
			})
		}
	}
}

// attend lets every token of a sequence look at all of them: for each head
//
//	mixed = softmax(query key' / sqrt(D/H)) value,   (length, D/H)
//
// and adds up the heads in a last linear layer: from x to y (C K, D). Scores
// and shares stand transposed, (keys, queries): so softmax goes down columns,
// which a processor does for many at once, and of all operands only the query
// has to be transposed.
func (p *pass) attend(index int, kind blockKind, y, x matrix) {
	d, rounded := p.config.ModelWidth, p.scratch.operands.x.round(p.k, x)
	for i, l := range p.layers.blocks[index].projections() {
		l.forward(p.k, columns(p.sample.kept[index].qkv, i*d, d), rounded)
	}
	p.mix(index, kind, y)
}

// attendFirst is attend of the first block, from the sample's patches.
func (p *pass) attendFirst(y matrix) {
	p.first.project(p.k, p.sample.kept[0].qkv, p.sample.patches)
	p.mix(0, attendPatches, y)
}

// mix is attend after the projections, from the kept qkv to y (C K, D).
func (p *pass) mix(index int, kind blockKind, y matrix) {
	kept := p.sample.kept[index]
	p.heads(kind, kept.qkv, kept.mixed, func(h head) {
		shares := p.sharesOf(index, h)
		p.share(shares, h)
		p.k.MultiplyTransposed(h.mixed, p.dropShares(index, shares, h), h.value, matrix{})
	})
	p.layers.blocks[index].output.forward(p.k, y, p.scratch.operands.mixed.round(p.k, kept.mixed))
}

// attendBackward takes the gradient dy of y to the weights and to the input,
// dx = plus + ... .
func (p *pass) attendBackward(index int, kind blockKind, gradient *block, dx, plus, x, dy matrix) {
	p.mixBackward(index, kind, gradient, dy)
	d, weights := p.config.ModelWidth, [3]*linear{&gradient.query, &gradient.key, &gradient.value}
	o := &p.scratch.operands
	paired := o.x.pair(p.k, x)
	o.dQKV.round(p.k, p.scratch.qkvGradient)
	dQKV := o.dQKV.pair(p.k, p.scratch.qkvGradient)
	for i, l := range p.layers.blocks[index].projections() {
		dPart := dQKV.columnsOf(i*d, d)
		l.learn(p.k, weights[i], paired, dPart)
		l.backward(p.k, dx, dPart, plus)
		plus = dx
	}
}

// mixBackward takes the gradient dy of y to the last layer's weights and to
// query, key and value, in p.scratch.
func (p *pass) mixBackward(index int, kind blockKind, gradient *block, dy matrix) {
	l, kept, o := &p.layers.blocks[index].output, p.sample.kept[index], &p.scratch.operands
	l.learn(p.k, &gradient.output, o.mixed.pair(p.k, kept.mixed), o.dy.pair(p.k, dy))
	l.backward(p.k, p.scratch.mixedGradient, o.dy.round(p.k, dy), matrix{})
	p.headsBackward(index, kind, kept, p.scratch.qkvGradient, p.scratch.mixedGradient)
}

// headsBackward takes the gradient of mixed to that of query, key and value.
func (p *pass) headsBackward(index int, kind blockKind, kept kept, dQKV, dMixed matrix) {
	gradients, width := p.scratch.heads[:0], p.config.ModelWidth/p.config.Heads
	p.heads(kind, dQKV, dMixed, func(h head) { gradients = append(gradients, h) })
	p.heads(kind, kept.qkv, kept.mixed, func(h head) {
		g, shares := gradients[h.number], p.sharesOf(index, h)
		if kept.shares == nil {
			p.share(shares, h)
		}
		p.k.Multiply(g.value, p.dropShares(index, shares, h), g.mixed, matrix{})

		length := h.query.Rows
		dMixedT := dense(p.scratch.transposed[:width*length], width, length)
		p.k.Transpose(dMixedT, g.mixed)
		dShares := dense(p.scratch.shareGradient[:length*length], length, length)
		p.k.Multiply(dShares, h.value, dMixedT, matrix{})
		p.drop(dShares.Data, p.config.AttentionDropout, sharesSite(index), h.number*len(dShares.Data))
		p.k.SoftmaxColumnsBackward(dShares, shares, shareScale(p.config)) // now the gradient of key query'
		p.k.Multiply(g.key, dShares, h.query, matrix{})
		p.k.MultiplyTransposed(g.query, dShares, h.key, matrix{})
	})
}

// sharesOf is where the shares of a head stand, (length, length). Without room
// for those of all heads there is room for one head's.
func (p *pass) sharesOf(index int, h head) matrix {
	length, shares := h.query.Rows, p.sample.kept[index].shares
	if size := length * length; shares != nil {
		return dense(shares[h.number*size:][:size], length, length)
	}
	return dense(p.scratch.shares[:length*length], length, length)
}

// share computes the shares of a head, (keys, queries).
func (p *pass) share(shares matrix, h head) {
	queryT := dense(p.scratch.transposed[:h.query.Rows*h.query.Cols], h.query.Cols, h.query.Rows)
	p.k.Transpose(queryT, h.query)
	p.k.Multiply(shares, h.key, queryT, matrix{})
	p.k.SoftmaxColumns(shares, shareScale(p.config))
}

// dropShares is attention's dropout. It works on a copy: softmax's way back
// needs the shares as they were.
func (p *pass) dropShares(block int, shares matrix, h head) matrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := dense(p.scratch.dropped[:len(shares.Data)], shares.Rows, shares.Cols)
	copy(dropped.Data, shares.Data)
	p.drop(dropped.Data, p.config.AttentionDropout, sharesSite(block), h.number*len(shares.Data))
	return dropped
}
