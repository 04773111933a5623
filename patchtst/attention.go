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

// first is the first row of the i-th sequence.
func (s sequences) first(i int) int {
	if s.step == 1 {
		return i * s.length
	}
	return i
}

// of takes the i-th sequence out of an activation, (length, width).
func (s sequences) of(x matrix, i int) matrix { return every(x, s.first(i), s.step, s.length) }

// shareScale keeps the scores of wide heads from growing.
func shareScale(c Config) float32 {
	return float32(1 / math.Sqrt(float64(c.ModelWidth/c.Heads)))
}

// maxKeptSequence is how many tokens look at each other at most for attention
// to keep their shares for the way back. The shares of longer sequences are
// computed again: they would take most of the memory, and fetching them from
// there would take as long.
const maxKeptSequence = 128

// attend lets every token of a sequence look at all of them: for each head
//
//	mixed = softmax(query key' / sqrt(D/H)) value,   (length, D/H)
//
// and adds up the heads in a last linear layer: from x to y (C K, D). Scores
// and shares stand transposed, (keys, queries): so softmax goes down columns,
// which a processor does for many at once, and of all operands only the query
// has to be transposed.
func (p *pass) attend(index int, kind blockKind, y, x matrix) {
	d, qkv, rounded := p.config.ModelWidth, p.qkv(index), p.scratch.operands.x.round(p.k, x)
	for i, l := range p.layers.blocks[index].projections() {
		l.forward(p.k, columns(qkv, i*d, d), rounded)
	}
	p.mix(index, kind, y)
}

// attendFirst is attend of the first block, from the sample's patches.
func (p *pass) attendFirst(y matrix) {
	p.first.project(p.k, p.qkv(0), p.sample.patches)
	p.mix(0, attendPatches, y)
}

// mix is attend after the projections, from qkv to y (C K, D).
func (p *pass) mix(index int, kind blockKind, y matrix) {
	kept, s := p.sample.kept[index], kind.sequences(p.config)
	if kept.half != nil {
		p.mixHalf(index, s, y)
		return
	}
	for i := range s.count {
		p.mixSequence(index, i, s.of(kept.qkv, i), s.of(kept.mixed, i))
	}
	p.layers.blocks[index].output.forward(p.k, y, plain(kept.mixed))
}

// mixSequence does so for sequence i, from qkv (length, 3 D) to mixed
// (length, D), head by head.
func (p *pass) mixSequence(index, i int, qkv, mixed matrix) {
	d, width := p.config.ModelWidth, p.config.ModelWidth/p.config.Heads
	queryT := p.transpose(p.scratch.queryT, columns(qkv, 0, d))
	for h := range p.config.Heads {
		number, from := i*p.config.Heads+h, h*width
		shares := p.sharesOf(index, number, qkv.Rows)
		p.share(shares, columns(qkv, d+from, width), queryT.RowRange(from, from+width))
		value := columns(qkv, 2*d+from, width)
		p.k.MultiplyTransposed(columns(mixed, from, width), p.dropShares(index, shares, number), value, matrix{})
	}
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
	l, kept, s := &p.layers.blocks[index].output, p.sample.kept[index], kind.sequences(p.config)
	if kept.half != nil {
		p.mixHalfBackward(index, s, gradient, dy)
		return
	}
	l.learn(p.k, &gradient.output, plain(kept.mixed), plain(dy))
	l.backward(p.k, p.scratch.mixedGradient, plain(dy), matrix{})
	for i := range s.count {
		p.mixSequenceBackward(index, i, s.of(kept.qkv, i), s.of(p.scratch.qkvGradient, i), s.of(p.scratch.mixedGradient, i))
	}
}

// mixSequenceBackward takes dMixed (length, D) to dQKV (length, 3 D).
func (p *pass) mixSequenceBackward(index, i int, qkv, dQKV, dMixed matrix) {
	d, width, length := p.config.ModelWidth, p.config.ModelWidth/p.config.Heads, qkv.Rows
	again := p.sample.kept[index].shares == nil
	if again {
		p.transpose(p.scratch.queryT, columns(qkv, 0, d))
	}
	dMixedT := p.transpose(p.scratch.mixedT, dMixed)
	dShares := dense(p.scratch.shareGradient[:length*length], length, length)
	for h := range p.config.Heads {
		number, from := i*p.config.Heads+h, h*width
		query, key, value := columns(qkv, from, width), columns(qkv, d+from, width), columns(qkv, 2*d+from, width)
		shares := p.sharesOf(index, number, length)
		if again {
			p.share(shares, key, dense(p.scratch.queryT, d, length).RowRange(from, from+width))
		}
		p.k.Multiply(columns(dQKV, 2*d+from, width), p.dropShares(index, shares, number), columns(dMixed, from, width), matrix{})
		p.k.Multiply(dShares, value, dMixedT.RowRange(from, from+width), matrix{})
		p.drop(dShares.Data, p.config.AttentionDropout, sharesSite(index), number*len(dShares.Data))
		p.k.SoftmaxColumnsBackward(dShares, shares, shareScale(p.config)) // now the gradient of key query'
		p.k.Multiply(columns(dQKV, d+from, width), dShares, query, matrix{})
		p.k.MultiplyTransposed(columns(dQKV, from, width), dShares, key, matrix{})
	}
}

// qkv is where the projections of a block go, (C K, 3 D).
func (p *pass) qkv(index int) matrix {
	if kept := p.sample.kept[index]; kept.half == nil {
		return kept.qkv
	}
	return p.scratch.qkv
}

// transpose is x (length, D) as (D, length).
func (p *pass) transpose(buffer []float32, x matrix) matrix {
	t := dense(buffer[:x.Rows*x.Cols], x.Cols, x.Rows)
	p.k.Transpose(t, x)
	return t
}

// sharesOf is where the shares of a head stand, (length, length). Without room
// for those of all heads there is room for one head's.
func (p *pass) sharesOf(index, head, length int) matrix {
	size := length * length
	if shares := p.sample.kept[index].shares; shares != nil {
		return dense(shares[head*size:][:size], length, length)
	}
	return dense(p.scratch.shares[:size], length, length)
}

// share computes the shares of a head, (keys, queries), from key (length, D/H)
// and queryT (D/H, length).
func (p *pass) share(shares, key, queryT matrix) {
	p.k.Multiply(shares, key, queryT, matrix{})
	p.k.SoftmaxColumns(shares, shareScale(p.config))
}

// dropShares is attention's dropout. It works on a copy: softmax's way back
// needs the shares as they were.
func (p *pass) dropShares(block int, shares matrix, head int) matrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := dense(p.scratch.dropped[:len(shares.Data)], shares.Rows, shares.Cols)
	copy(dropped.Data, shares.Data)
	p.drop(dropped.Data, p.config.AttentionDropout, sharesSite(block), head*len(shares.Data))
	return dropped
}
