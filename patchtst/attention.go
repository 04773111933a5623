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

// maxQueries is how many queries attention takes at one time, so that the
// shares of all keys in them stay near the processor. The shares of sequences
// that are longer are not kept for the way back but computed again: they would
// take most of the memory, and fetching them from there would take as long.
const maxQueries = 128

// A look is a part of attention: some queries of a sequence, which look at all
// of its keys, in one head or, in short sequences, in several at one time: their
// shares stand side by side, as many as fill maxQueries.
type look struct {
	sequence, length int
	from, to         int // queries
	head, heads      int // the first one, and how many
	width            int // of a head's columns
}

// looks calls do for every part of the attention at sequence i.
func (p *pass) looks(i, length int, do func(l look)) {
	all := p.config.Heads
	together := headsTogether(p.config, length)
	for h := 0; h < all; h += together {
		for from := 0; from < length; from += maxQueries {
			do(look{i, length, from, min(from+maxQueries, length), h, min(together, all-h), p.config.ModelWidth / all})
		}
	}
}

func headsTogether(c Config, length int) int { return max(1, min(c.Heads, maxQueries/even(length))) }

// lookSize is how many shares the largest look has.
func lookSize(c Config) int {
	size := func(length int) int {
		return length * headsTogether(c, length) * even(min(length, maxQueries))
	}
	if c.ChannelAttention {
		return max(size(c.tokens()), size(c.Channels))
	}
	return size(c.tokens())
}

// shares is a matrix (keys, heads queries) for the look in a buffer. The columns
// of a head are even in number, for bfloat16's sake: the last one may be of no
// query.
func (l look) shares(buffer []float32) matrix {
	cols := l.heads * even(l.to-l.from)
	return dense(buffer[:l.length*cols], l.length, cols)
}

// inHead is the columns of shares from..to-1 that are of the look's h-th head.
func (l look) inHead(h int) (from, to int) {
	from = h * even(l.to-l.from)
	return from, from + l.to - l.from
}

// ofHead is the columns from..to-1 of an activation (length, D) that are of the
// look's h-th head.
func (l look) ofHead(h int) (from, to int) {
	from = (l.head + h) * l.width
	return from, from + l.width
}

// more is a sum over several looks, so far.
func (l look) more(sum matrix) matrix {
	if l.from == 0 {
		return matrix{}
	}
	return sum
}

// even is n, or one more.
func even(n int) int { return n + n%2 }

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
// (length, D).
func (p *pass) mixSequence(index, i int, qkv, mixed matrix) {
	d := p.config.ModelWidth
	key, value := columns(qkv, d, d), columns(qkv, 2*d, d)
	queryT := p.transpose(p.scratch.queryT, columns(qkv, 0, d))
	p.looks(i, qkv.Rows, func(l look) {
		shares := p.sharesOf(index, l)
		p.share(shares, key, queryT, l)
		dropped, mixed := p.droppedShares(index, shares, l), mixed.RowRange(l.from, l.to)
		for h := range l.heads {
			p.k.MultiplyTransposed(mixed.Columns(l.ofHead(h)), dropped.Columns(l.inHead(h)), value.Columns(l.ofHead(h)), matrix{})
		}
	})
}

// attendBackward takes the gradient dy of y to the weights and to the input,
// dx = plus + ... .
func (p *pass) attendBackward(index int, kind blockKind, gradient *block, dx, plus, x, dy matrix) {
	p.mixBackward(index, kind, gradient, dy)
	d, weights := p.config.ModelWidth, [3]*linear{&gradient.query, &gradient.key, &gradient.value}
	o, projections := &p.scratch.operands, p.layers.blocks[index].projections()
	paired, dQKV := o.x.pair(p.k, x), o.dQKV.pair(p.k, p.scratch.qkvGradient)
	for i, l := range projections {
		l.learn(p.k, weights[i], paired, dQKV.columnsOf(i*d, d))
	}
	dQKV = o.dQKV.round(p.k, p.scratch.qkvGradient)
	for i, l := range projections {
		l.backward(p.k, dx, dQKV.columnsOf(i*d, d), plus)
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
	d, again := p.config.ModelWidth, p.sample.kept[index].shares == nil
	query, key, value := columns(qkv, 0, d), columns(qkv, d, d), columns(qkv, 2*d, d)
	dQuery, dKey, dValue := columns(dQKV, 0, d), columns(dQKV, d, d), columns(dQKV, 2*d, d)
	var queryT matrix
	if again {
		queryT = p.transpose(p.scratch.queryT, query)
	}
	dMixedT := p.transpose(p.scratch.mixedT, dMixed)
	p.looks(i, qkv.Rows, func(l look) {
		shares, dShares := p.sharesOf(index, l), l.shares(p.scratch.shareGradient)
		if again {
			p.share(shares, key, queryT, l)
		}
		dropped := p.droppedShares(index, shares, l)
		query, dQuery, dMixed := query.RowRange(l.from, l.to), dQuery.RowRange(l.from, l.to), dMixed.RowRange(l.from, l.to)
		for h := range l.heads {
			dValue := dValue.Columns(l.ofHead(h))
			p.k.Multiply(dValue, dropped.Columns(l.inHead(h)), dMixed.Columns(l.ofHead(h)), l.more(dValue))
			p.k.Multiply(dShares.Columns(l.inHead(h)), value.Columns(l.ofHead(h)), dMixedT.RowRange(l.ofHead(h)).Columns(l.from, l.to), matrix{})
		}
		p.dropShares(dShares, index, l)
		p.k.SoftmaxColumnsBackward(dShares, shares, shareScale(p.config)) // now the gradient of key query'
		for h := range l.heads {
			dKey, dShares := dKey.Columns(l.ofHead(h)), dShares.Columns(l.inHead(h))
			p.k.Multiply(dKey, dShares, query.Columns(l.ofHead(h)), l.more(dKey))
			p.k.MultiplyTransposed(dQuery.Columns(l.ofHead(h)), dShares, key.Columns(l.ofHead(h)), matrix{})
		}
	})
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

// sharesOf is where the shares of a look stand. Without room for those of all
// there is room for one look's.
func (p *pass) sharesOf(index int, l look) matrix {
	if shares := p.sample.kept[index].shares; shares != nil {
		return l.shares(shares[l.place(p.config.Heads):])
	}
	return l.shares(p.scratch.shares)
}

// place is where the shares of a look of all queries are kept among those of all
// sequences and heads.
func (l look) place(heads int) int { return (l.sequence*heads + l.head) * l.length * even(l.length) }

// share computes shares from key (length, D) and queryT (D, length).
func (p *pass) share(shares, key, queryT matrix, l look) {
	for h := range l.heads {
		p.k.Multiply(shares.Columns(l.inHead(h)), key.Columns(l.ofHead(h)), queryT.RowRange(l.ofHead(h)).Columns(l.from, l.to), matrix{})
	}
	p.k.SoftmaxColumns(shares, shareScale(p.config))
}

// droppedShares is attention's dropout. It works on a copy: softmax's way back
// needs the shares as they were.
func (p *pass) droppedShares(index int, shares matrix, l look) matrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := l.shares(p.scratch.dropped)
	copy(dropped.Data, shares.Data)
	p.dropShares(dropped, index, l)
	return dropped
}

// dropShares is drop at the shares of a look. Among all of a block's, that of a
// query in a key has the place
//
//	((sequence length + key) H + head) even(length) + query
//
// however they are taken: those of all heads and queries at one time lie just so.
func (p *pass) dropShares(shares matrix, index int, l look) {
	rate, site, stride := p.config.AttentionDropout, sharesSite(index), p.config.Heads*even(l.length)
	first := l.sequence*l.length*stride + l.head*even(l.length) + l.from
	if shares.Cols == stride {
		p.drop(shares.Data, rate, site, first)
		return
	}
	for key := range shares.Rows {
		p.drop(shares.Row(key), rate, site, first+key*stride)
	}
}
