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
	return &scratchHalf{
		mixedGradient: a.halfMatrix(c.rows(), d), mixed: newPaired(a, c.rows(), d),
		shares: a.takeHalves(n, even(n)), dropped: a.takeHalves(n, even(n)), shareGradient: a.takeHalves(n, even(n)),
		queryT: a.takePairs(d/2, n), mixedT: a.takePairs(d/2, n),
		qkvPairs: a.takePairs(even(n)/2, 3*d), mixedPairs: a.takePairs(even(n)/2, d),
		sharePairs: a.takePairs(even(n)/2, n),
	}
}

// even is n, or one more.
func even(n int) int { return n + n%2 }

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
	d, width := p.config.ModelWidth, p.config.ModelWidth/p.config.Heads
	queryT := p.transposePairs(p.scratch.half.queryT, qkv.Columns(0, d))
	values := p.pairRows(p.scratch.half.qkvPairs, qkv.Columns(2*d, 3*d))
	for h := range p.config.Heads {
		number, from := i*p.config.Heads+h, h*width
		shares := p.shareHalf(index, number, qkv.Columns(d+from, d+from+width), queryT.RowRange(from/2, (from+width)/2))
		dropped := p.dropSharesHalf(index, number, shares)
		p.k.MultiplyTransposedPairs(columns(mixed, from, width), p.pairRows(p.scratch.half.sharePairs, dropped.Columns(0, qkv.Rows)), values.Columns(from, from+width), matrix{})
	}
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
	d, width, length, half := p.config.ModelWidth, p.config.ModelWidth/p.config.Heads, qkv.Rows, p.scratch.half
	again := p.sample.kept[index].half.shares == nil
	if again {
		p.transposePairs(half.queryT, qkv.Columns(0, d))
	}
	queriesAndKeys := p.pairRows(half.qkvPairs, qkv.Columns(0, 2*d))
	dMixedT, dMixedPairs := p.transposePairs(half.mixedT, dMixed), p.pairRows(half.mixedPairs, dMixed)
	dShares := paddedShares(p.scratch.shareGradient, length)
	for h := range p.config.Heads {
		number, from := i*p.config.Heads+h, h*width
		shares := p.keptSharesHalf(index, number, length)
		if again {
			queryT := kernel.Dense(half.queryT[:d/2*length], d/2, length)
			shares = p.shareHalf(index, number, qkv.Columns(d+from, d+from+width), queryT.RowRange(from/2, (from+width)/2))
		}
		p.k.MultiplyPairs(columns(dQKV, 2*d+from, width), kernel.Pairs(p.dropSharesHalf(index, number, shares)), dMixedPairs.Columns(from, from+width), matrix{})
		p.k.MultiplyPairs(dShares, kernel.Pairs(qkv.Columns(2*d+from, 2*d+from+width)), dMixedT.RowRange(from/2, (from+width)/2), matrix{})
		p.drop(dShares.Data, p.config.AttentionDropout, sharesSite(index), number*len(shares.Data))
		widened := paddedShares(p.scratch.shares, length)
		p.k.WidenBF16(widened.Data, shares.Data)
		p.k.SoftmaxColumnsBackward(dShares, widened, shareScale(p.config)) // now the gradient of key query'
		rounded := p.roundShares(half.shareGradient, dShares)
		p.k.MultiplyPairs(columns(dQKV, d+from, width), kernel.Pairs(rounded), queriesAndKeys.Columns(from, from+width), matrix{})
		p.k.MultiplyTransposedPairs(columns(dQKV, from, width), p.pairRows(half.sharePairs, rounded.Columns(0, length)), queriesAndKeys.Columns(d+from, d+from+width), matrix{})
	}
}

// shareHalf is share, rounded, (keys, queries up to even).
func (p *pass) shareHalf(index, head int, key halfMatrix, queryT kernel.MatrixOf[kernel.Pair]) halfMatrix {
	shares := paddedShares(p.scratch.shares, key.Rows)
	p.k.MultiplyPairs(shares, kernel.Pairs(key), queryT, matrix{})
	p.k.SoftmaxColumns(shares, shareScale(p.config))
	return p.roundShares(p.keptSharesHalf(index, head, key.Rows).Data, shares)
}

// keptSharesHalf is where the shares of a head stand.
func (p *pass) keptSharesHalf(index, head, length int) halfMatrix {
	size := length * even(length)
	if shares := p.sample.kept[index].half.shares; shares != nil {
		return kernel.Dense(shares[head*size:][:size], length, even(length))
	}
	return kernel.Dense(p.scratch.half.shares[:size], length, even(length))
}

// dropSharesHalf is dropShares: it leaves the shares as they were.
func (p *pass) dropSharesHalf(index, head int, shares halfMatrix) halfMatrix {
	if p.config.AttentionDropout == 0 {
		return shares
	}
	dropped := paddedShares(p.scratch.dropped, shares.Rows)
	p.k.WidenBF16(dropped.Data, shares.Data)
	p.drop(dropped.Data, p.config.AttentionDropout, sharesSite(index), head*len(shares.Data))
	return p.roundShares(p.scratch.half.dropped, dropped)
}

// paddedShares is a matrix (keys, queries) whose rows lie an even number apart.
func paddedShares(buffer []float32, length int) matrix {
	return matrix{Data: buffer[:length*even(length)], Rows: length, Cols: length, Stride: even(length)}
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
