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
	shares []kernel.BF16 // (sequences, H, keys, queries up to an even number); nil: computed again
	mixed  halfMatrix    // (C K, D)
	up     halfMatrix    // (C K, F)
}

// scratchHalf is what attention in bfloat16 needs at one sequence.
type scratchHalf struct {
	mixedGradient        halfMatrix                   // (C K, D)
	mixed                kernel.MatrixOf[kernel.Pair] // (C K/2, D) paired
	shares               []kernel.BF16                // (keys, queries up to even) of one head
	dropped              []kernel.BF16                // likewise, after dropout
	shareGradient        []kernel.BF16                // likewise
	queryT, mixedT       []kernel.Pair                // (D/2, tokens)
	qkvPairs, mixedPairs []kernel.Pair                // (tokens/2, 3 D), (tokens/2, D)
	sharePairs           []kernel.Pair                // (keys/2, queries)
}

func newScratchHalf(a *arena, c Config) *scratchHalf {
	n, d := longestSequence(c), c.ModelWidth
	looks := n * even(min(n, maxQueries))
	return &scratchHalf{
		mixedGradient: a.halfMatrix(c.rows(), d), mixed: newPaired(a, c.rows(), d),
		shares: a.takeHalves(looks), dropped: a.takeHalves(looks), shareGradient: a.takeHalves(looks),
		queryT: a.takePairs(d/2, n), mixedT: a.takePairs(d/2, n),
		qkvPairs: a.takePairs(even(n)/2, 3*d), mixedPairs: a.takePairs(even(n)/2, d),
		sharePairs: a.takePairs(even(n)/2, min(n, maxQueries)),
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
	queryT := p.transposePairs(half.queryT, qkv.Columns(0, d))
	values := p.pairRows(half.qkvPairs, qkv.Columns(2*d, 3*d))
	p.looks(i, qkv.Rows, func(l look) {
		shares := p.droppedSharesHalf(index, p.shareHalf(index, qkv, queryT, l), l)
		paired := p.pairRows(half.sharePairs, shares.Columns(0, l.to-l.from))
		p.k.MultiplyTransposedPairs(columns(mixed, l.first, l.width).RowRange(l.from, l.to), paired, values.Columns(l.first, l.first+l.width), matrix{})
	})
}

func (p *pass) mixHalfBackward(index int, s sequences, gradient *block, dy matrix) {
	l, kept, o := &p.layers.blocks[index].output, p.sample.kept[index].half, &p.scratch.operands
	dMixed, dMixedHalf := p.scratch.mixedGradient, p.scratch.half.mixedGradient
	p.k.PairRowsBF16(p.scratch.half.mixed, kept.mixed)
	l.learn(p.k, &gradient.output, operand{down: p.scratch.half.mixed}, o.dy.pair(p.k, dy))
	l.backward(p.k, dMixed, o.dy.round(p.k, dy), matrix{})
	p.k.RoundBF16(dMixedHalf.Data, dMixed.Data)
	for i := range s.count {
		p.mixSequenceHalfBackward(index, i, s.ofHalf(kept.qkv, i), s.of(p.scratch.qkvGradient, i), s.ofHalf(dMixedHalf, i))
	}
}

func (p *pass) mixSequenceHalfBackward(index, i int, qkv halfMatrix, dQKV matrix, dMixed halfMatrix) {
	d, again, half := p.config.ModelWidth, p.sample.kept[index].half.shares == nil, p.scratch.half
	var queryT kernel.MatrixOf[kernel.Pair]
	if again {
		queryT = p.transposePairs(half.queryT, qkv.Columns(0, d))
	}
	queriesAndKeys := p.pairRows(half.qkvPairs, qkv.Columns(0, 2*d))
	dMixedT, dMixedPairs := p.transposePairs(half.mixedT, dMixed), p.pairRows(half.mixedPairs, dMixed)
	p.looks(i, qkv.Rows, func(l look) {
		last := l.first + l.width
		dQuery, dKey, dValue := columns(dQKV, l.first, l.width).RowRange(l.from, l.to), columns(dQKV, d+l.first, l.width), columns(dQKV, 2*d+l.first, l.width)
		shares := p.keptSharesHalf(index, l)
		if again {
			shares = p.shareHalf(index, qkv, queryT, l)
		}
		p.k.MultiplyPairs(dValue, kernel.Pairs(p.droppedSharesHalf(index, shares, l)), dMixedPairs.Columns(l.first, last).RowRange(l.from/2, even(l.to)/2), l.more(dValue))

		dShares := l.shares(p.scratch.shareGradient)
		p.k.MultiplyPairs(dShares, kernel.Pairs(qkv.Columns(2*d+l.first, 2*d+last)), dMixedT.RowRange(l.first/2, last/2).Columns(l.from, l.to), matrix{})
		p.dropShares(dShares, index, l)
		widened := l.shares(p.scratch.shares)
		p.k.WidenBF16(widened.Data, shares.Data)
		p.k.SoftmaxColumnsBackward(dShares, widened, shareScale(p.config)) // now the gradient of key query'
		rounded := p.roundShares(half.shareGradient, dShares)
		p.k.MultiplyPairs(dKey, kernel.Pairs(rounded), queriesAndKeys.Columns(l.first, last).RowRange(l.from/2, even(l.to)/2), l.more(dKey))
		p.k.MultiplyTransposedPairs(dQuery, p.pairRows(half.sharePairs, rounded.Columns(0, l.to-l.from)), queriesAndKeys.Columns(d+l.first, d+last), matrix{})
	})
}

// shareHalf is share, rounded, (keys, queries up to even), from qkv
// (length, 3 D) and queryT (D/2, length).
func (p *pass) shareHalf(index int, qkv halfMatrix, queryT kernel.MatrixOf[kernel.Pair], l look) halfMatrix {
	d, last, shares := p.config.ModelWidth, l.first+l.width, l.shares(p.scratch.shares)
	p.k.MultiplyPairs(shares, kernel.Pairs(qkv.Columns(d+l.first, d+last)), queryT.RowRange(l.first/2, last/2).Columns(l.from, l.to), matrix{})
	p.k.SoftmaxColumns(shares, shareScale(p.config))
	return p.roundShares(p.keptSharesHalf(index, l).Data, shares)
}

// keptSharesHalf is where the shares of a look stand.
func (p *pass) keptSharesHalf(index int, l look) halfMatrix {
	cols := even(l.to - l.from)
	size := l.length * cols
	if shares := p.sample.kept[index].half.shares; shares != nil {
		return kernel.Dense(shares[l.head*size:][:size], l.length, cols)
	}
	return kernel.Dense(p.scratch.half.shares[:size], l.length, cols)
}

// droppedSharesHalf is droppedShares: it leaves the shares as they were.
func (p *pass) droppedSharesHalf(index int, shares halfMatrix, l look) halfMatrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := l.shares(p.scratch.dropped)
	p.k.WidenBF16(dropped.Data, shares.Data)
	p.dropShares(dropped, index, l)
	return p.roundShares(p.scratch.half.dropped, dropped)
}

// roundShares rounds such a matrix, with zeros beside it.
func (p *pass) roundShares(buffer []kernel.BF16, shares matrix) halfMatrix {
	rounded := kernel.Dense(buffer[:len(shares.Data)], shares.Rows, shares.Stride)
	if shares.Cols < shares.Stride {
		for r := range shares.Rows {
			shares.Data[r*shares.Stride+shares.Cols] = 0
		}
	}
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
