package patchtst

import "fettle/patchtst/internal/kernel"

// Attention in bfloat16: mix and mixBackward with all factors rounded, and kept
// so. Products take numbers in pairs along their sum, so matrices that are
// summed over the tokens are paired down their columns, or have an even number
// of columns, the last of which may be zeros.

type halfMatrix = kernel.MatrixOf[kernel.BF16]

// keptHalf is what a block keeps in bfloat16.
type keptHalf struct {
	qkv    halfMatrix    // (C K, 3 D)
	shares []kernel.BF16 // (C K, H, queries up to an even number); nil: computed again
	mixed  halfMatrix    // (C K, D)
	up     halfMatrix    // (C K, F)
}

// scratchHalf is what attention in bfloat16 needs at one sequence.
type scratchHalf struct {
	shares               []kernel.BF16 // (keys, heads queries) of one look
	dropped              []kernel.BF16 // likewise, after dropout
	shareGradient        []kernel.BF16 // likewise
	queryT, mixedT       []kernel.Pair // (D/2, tokens)
	qkvPairs, mixedPairs []kernel.Pair // (tokens/2, 3 D), (tokens/2, D)
	sharePairs           []kernel.Pair // (keys/2, heads queries) of one look
}

func newScratchHalf(a *arena, c Config) *scratchHalf {
	n, d := longestSequence(c), c.ModelWidth
	looks := lookSize(c)
	return &scratchHalf{
		shares: a.takeHalves(looks), dropped: a.takeHalves(looks), shareGradient: a.takeHalves(looks),
		queryT: a.takePairs(d/2, n), mixedT: a.takePairs(d/2, n),
		qkvPairs: a.takePairs(even(n)/2, 3*d), mixedPairs: a.takePairs(even(n)/2, d),
		sharePairs: a.takePairs(looks),
	}
}

// ofHalf takes the i-th sequence out of an activation.
func (s sequences) ofHalf(x halfMatrix, i int) halfMatrix {
	return halfMatrix{Data: x.Data[s.first(i)*x.Stride:], Rows: s.length, Cols: x.Cols, Stride: s.step * x.Stride}
}

func (p *pass) mixHalf(index int, s sequences, y matrix) {
	kept, mixed := p.sample.kept[index].half, p.scratch.mixed
	p.k.RoundBF16(kept.qkv.Data, p.scratch.qkv.Data)
	for i := range s.count {
		p.mixSequenceHalf(index, i, s.ofHalf(kept.qkv, i), s.of(mixed, i))
	}
	p.k.RoundBF16(kept.mixed.Data, mixed.Data)
	p.layers.blocks[index].output.forward(p.k, y, operand{matrix: mixed, along: kept.mixed})
}

func (p *pass) mixSequenceHalf(index, i int, qkv halfMatrix, mixed matrix) {
	d, half := p.config.ModelWidth, p.scratch.half
	key, queryT := qkv.Columns(d, 2*d), p.transposePairs(half.queryT, qkv.Columns(0, d))
	value := p.pairRows(half.qkvPairs, qkv.Columns(2*d, 3*d))
	p.looks(i, qkv.Rows, func(l look) {
		shares := p.droppedSharesHalf(index, p.shareHalf(index, key, queryT, l), l)
		paired, mixed := p.pairRows(half.sharePairs, shares), mixed.RowRange(l.from, l.to)
		for h := range l.heads {
			p.k.MultiplyTransposedPairs(mixed.Columns(l.ofHead(h)), paired.Columns(l.inHead(h)), value.Columns(l.ofHead(h)), matrix{})
		}
	})
}

func (p *pass) mixHalfBackward(index int, s sequences, gradient *block, dy matrix) {
	l, kept, o := &p.layers.blocks[index].output, p.sample.kept[index].half, &p.scratch.operands
	dMixed := p.scratch.mixedGradient
	p.k.PairRowsBF16(o.x.down, kept.mixed)
	l.learn(p.k, &gradient.output, o.x, o.dy.pair(p.k, dy))
	l.backward(p.k, dMixed, o.dy.round(p.k, dy), matrix{})
	dMixedHalf := o.dy.round(p.k, dMixed).along
	for i := range s.count {
		p.mixSequenceHalfBackward(index, i, s.ofHalf(kept.qkv, i), s.of(p.scratch.qkvGradient, i), s.ofHalf(dMixedHalf, i))
	}
}

func (p *pass) mixSequenceHalfBackward(index, i int, qkv halfMatrix, dQKV matrix, dMixed halfMatrix) {
	d, again, half := p.config.ModelWidth, p.sample.kept[index].half.shares == nil, p.scratch.half
	key, value := qkv.Columns(d, 2*d), kernel.Pairs(qkv.Columns(2*d, 3*d))
	dQuery, dKey, dValue := columns(dQKV, 0, d), columns(dQKV, d, d), columns(dQKV, 2*d, d)
	var queryT kernel.MatrixOf[kernel.Pair]
	if again {
		queryT = p.transposePairs(half.queryT, qkv.Columns(0, d))
	}
	queryAndKey := p.pairRows(half.qkvPairs, qkv.Columns(0, 2*d))
	queryPairs, keyPairs := queryAndKey.Columns(0, d), queryAndKey.Columns(d, 2*d)
	dMixedT, dMixedPairs := p.transposePairs(half.mixedT, dMixed), p.pairRows(half.mixedPairs, dMixed)
	p.looks(i, qkv.Rows, func(l look) {
		shares, dShares := p.keptSharesHalf(index, l), l.shares(p.scratch.shareGradient)
		if again {
			shares = p.shareHalf(index, key, queryT, l)
		}
		dropped := p.droppedSharesHalf(index, shares, l)
		queryPairs, dQuery, dMixedPairs := queryPairs.RowRange(l.pairs()), dQuery.RowRange(l.from, l.to), dMixedPairs.RowRange(l.pairs())
		for h := range l.heads {
			first, last := l.ofHead(h)
			dValue := dValue.Columns(first, last)
			p.k.MultiplyPairs(dValue, l.pairsInHead(dropped, h), dMixedPairs.Columns(first, last), l.more(dValue))
			p.k.MultiplyPairs(dShares.Columns(l.inHead(h)), value.Columns(first/2, last/2), dMixedT.RowRange(first/2, last/2).Columns(l.from, l.to), matrix{})
		}
		p.dropShares(dShares, index, l)
		widened := l.shares(p.scratch.shares)
		p.k.WidenBF16(widened.Data, shares.Data)
		p.k.SoftmaxColumnsBackward(dShares, widened, shareScale(p.config)) // now the gradient of key query'
		rounded := p.roundShares(half.shareGradient, dShares, l)
		paired := p.pairRows(half.sharePairs, rounded)
		for h := range l.heads {
			dKey := dKey.Columns(l.ofHead(h))
			p.k.MultiplyPairs(dKey, l.pairsInHead(rounded, h), queryPairs.Columns(l.ofHead(h)), l.more(dKey))
			p.k.MultiplyTransposedPairs(dQuery.Columns(l.ofHead(h)), paired.Columns(l.inHead(h)), keyPairs.Columns(l.ofHead(h)), matrix{})
		}
	})
}

// pairs are the pairs from..to-1 that the look's queries are in.
func (l look) pairs() (from, to int) { return l.from / 2, even(l.to) / 2 }

// pairsInHead are the shares of the look's h-th head, paired along the queries;
// an odd one's partner is 0.
func (l look) pairsInHead(shares halfMatrix, h int) kernel.MatrixOf[kernel.Pair] {
	queries := even(l.to - l.from)
	return kernel.Pairs(shares.Columns(h*queries, (h+1)*queries))
}

// shareHalf is share, rounded, from key (length, D) and queryT (D/2, length).
func (p *pass) shareHalf(index int, key halfMatrix, queryT kernel.MatrixOf[kernel.Pair], l look) halfMatrix {
	shares := l.shares(p.scratch.shares)
	for h := range l.heads {
		first, last := l.ofHead(h)
		p.k.MultiplyPairs(shares.Columns(l.inHead(h)), kernel.Pairs(key.Columns(first, last)), queryT.RowRange(first/2, last/2).Columns(l.from, l.to), matrix{})
	}
	p.k.SoftmaxColumns(shares, shareScale(p.config))
	return p.roundShares(p.keptSharesHalf(index, l).Data, shares, l)
}

// keptSharesHalf is where the shares of a look stand.
func (p *pass) keptSharesHalf(index int, l look) halfMatrix {
	cols := l.heads * even(l.to-l.from)
	if shares := p.sample.kept[index].half.shares; shares != nil {
		return kernel.Dense(shares[l.place(p.config.Heads):][:l.length*cols], l.length, cols)
	}
	return kernel.Dense(p.scratch.half.shares[:l.length*cols], l.length, cols)
}

// droppedSharesHalf is droppedShares: it leaves the shares as they were.
func (p *pass) droppedSharesHalf(index int, shares halfMatrix, l look) halfMatrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := l.shares(p.scratch.dropped)
	p.k.WidenBF16(dropped.Data, shares.Data)
	p.dropShares(dropped, index, l)
	return p.roundShares(p.scratch.half.dropped, dropped, l)
}

// roundShares rounds shares, with zeros where there is no query.
func (p *pass) roundShares(buffer []kernel.BF16, shares matrix, l look) halfMatrix {
	if queries := l.to - l.from; queries%2 == 1 {
		for i := queries; i < len(shares.Data); i += queries + 1 {
			shares.Data[i] = 0
		}
	}
	rounded := kernel.Dense(buffer[:len(shares.Data)], shares.Rows, shares.Cols)
	p.k.RoundBF16(rounded.Data, shares.Data)
	return rounded
}

// pairRows pairs x (length, cols) down its columns.
func (p *pass) pairRows(buffer []kernel.Pair, x halfMatrix) kernel.MatrixOf[kernel.Pair] {
	paired := kernel.Dense(buffer[:even(x.Rows)/2*x.Cols], even(x.Rows)/2, x.Cols)
	p.k.PairRowsBF16(paired, x)
	return paired
}

// transposePairs is x (length, D) as (D/2, length), paired along D.
func (p *pass) transposePairs(buffer []kernel.Pair, x halfMatrix) kernel.MatrixOf[kernel.Pair] {
	pairs := kernel.Pairs(x)
	t := kernel.Dense(buffer[:pairs.Rows*pairs.Cols], pairs.Cols, pairs.Rows)
	p.k.TransposePairs(t, pairs)
	return t
}
