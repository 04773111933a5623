package patchtst

// sample is what the computation of one window keeps on its way. For a
// gradient everything is kept that the way back needs; a forecast uses the
// same memory for every block.
//
// Activations have a row for each token: (C, K, D) is a matrix of C K rows.
type sample struct {
	center, scale []float32 // (C) units of each channel
	patches       matrix    // (C N, P)
	streams       []matrix  // (C K, D) after the embedding, unless first leads around it, and after each block
	kept          []kept    // of each block
	forecast      []float32 // (T, C)

	// Of a training step alone:
	streamGradient matrix // (C K, D) of the stream that the way back has reached; see passLast
	viewGradient   matrix // (C K, D) of that stream as the block after it saw it
	tokenGradient  matrix // (C, D) of each of a channel's last tokens, see readOutLast
}

// kept is what one block leaves for its way back.
type kept struct {
	qkv    matrix    // (C K, 3 D) query, key and value side by side, heads side by side in each
	shares []float32 // (C K, H, queries up to an even number) of attention, look by look; nil: computed again
	mixed  matrix    // (C K, D) what attention gave each token, heads side by side
	up     matrix    // (C K, F) inside a feed-forward block, before the activation
	half   *keptHalf // instead of all these, of products of bfloat16
}

// newSample makes a sample for training; half keeps bfloat16.
func newSample(a *arena, c Config, blocks []block, half bool) *sample {
	s := newSampleFrame(a, c)
	if c.hasFirst() {
		s.streams = append(s.streams, matrix{})
	} else {
		s.streams = append(s.streams, a.matrix(c.rows(), c.ModelWidth))
	}
	for i, b := range blocks {
		if i == len(blocks)-1 && c.hasLast() {
			break // it keeps nothing: see readOutLast
		}
		s.streams = append(s.streams, a.matrix(c.rows(), c.ModelWidth))
		if half {
			s.kept = append(s.kept, kept{half: newKeptHalf(a, c, b.kind)})
		} else {
			s.kept = append(s.kept, newKept(a, c, b.kind))
		}
	}
	s.viewGradient = a.matrix(c.rows(), c.ModelWidth)
	if c.hasLast() {
		s.streamGradient, s.tokenGradient = s.streams[len(s.streams)-1], a.matrix(c.Channels, c.ModelWidth)
	} else {
		s.streamGradient = a.matrix(c.rows(), c.ModelWidth)
	}
	return s
}

func newKept(a *arena, c Config, kind blockKind) kept {
	if kind == feedForward {
		return kept{up: a.matrix(c.rows(), c.FeedForwardWidth)}
	}
	k := kept{qkv: a.matrix(c.rows(), 3*c.ModelWidth), mixed: a.matrix(c.rows(), c.ModelWidth)}
	if length := kind.sequences(c).length; length <= maxQueries {
		k.shares = a.take(c.rows(), c.Heads, even(length))
	}
	return k
}

func newKeptHalf(a *arena, c Config, kind blockKind) *keptHalf {
	if kind == feedForward {
		return &keptHalf{up: a.halfMatrix(c.rows(), c.FeedForwardWidth)}
	}
	k := &keptHalf{qkv: a.halfMatrix(c.rows(), 3*c.ModelWidth), mixed: a.halfMatrix(c.rows(), c.ModelWidth)}
	if length := kind.sequences(c).length; length <= maxQueries {
		k.shares = a.takeHalves(c.rows(), c.Heads, even(length))
	}
	return k
}

// newForecastSample makes a sample whose blocks share their memory.
func newForecastSample(a *arena, c Config, blocks []block) *sample {
	s := newSampleFrame(a, c)
	stream, next := a.matrix(c.rows(), c.ModelWidth), a.matrix(c.rows(), c.ModelWidth)
	shared := kept{
		qkv:   a.matrix(c.rows(), 3*c.ModelWidth),
		mixed: a.matrix(c.rows(), c.ModelWidth),
		up:    a.matrix(c.rows(), c.FeedForwardWidth),
	}
	s.streams = append(s.streams, stream)
	for range blocks {
		s.streams, s.kept = append(s.streams, next), append(s.kept, shared)
		stream, next = next, stream
	}
	return s
}

// newSampleFrame makes what both kinds have.
func newSampleFrame(a *arena, c Config) *sample {
	return &sample{
		center: a.take(c.Channels), scale: a.take(c.Channels),
		patches:  a.matrix(c.Channels*c.Patches(), c.PatchLength),
		forecast: a.take(c.PredictionLength, c.Channels),
	}
}

// longestSequence is the most tokens that look at each other.
func longestSequence(c Config) int {
	if c.ChannelAttention {
		return max(c.tokens(), c.Channels)
	}
	return c.tokens()
}

// scratch is what is needed only while one sample is at one place. One is
// enough for all samples that are computed one after the other.
type scratch struct {
	scaled []float32 // (L, C) the window in its own units
	view   matrix    // (C K, D) the stream as a block sees it
	pooled matrix    // (C, D') what the head reads
	output matrix    // (C, T) what the head answers, in the encoder's units

	// Of a training step alone:
	operands       operands
	addedGradient  matrix // (C K, D) of what a block adds
	pooledGradient matrix // (C, D')

	// Of attention, in the memory that a feed-forward block has too:
	shares        []float32 // (keys, heads queries) of one look
	queryT        []float32 // (D, tokens) of one sequence
	mixedT        []float32 // (D, tokens) of one sequence
	dropped       []float32 // (keys, heads queries) of one look, after dropout
	shareGradient []float32 // (keys, heads queries) of one look
	qkvGradient   matrix    // (C K, 3 D)
	mixedGradient matrix    // (C K, D)
	half          *scratchHalf
	qkv, mixed    matrix // (C K, 3 D), (C K, D) before they are rounded and kept; where their gradients stand later

	// Of a feed-forward block:
	hidden                 matrix // (C K, F) after the activation
	hiddenGradient         matrix // (C K, F)
	up                     matrix // (C K, F) before it, if that is kept in bfloat16, and of the last block
	hiddenMean, streamMean matrix // (C, F), (C, D) see readOutLast
}

// operands are what the scratch rounds for products of bfloat16.
type operands struct{ x, dy, dQKV, hidden, dHidden operand }

// newScratch makes the scratch of a forecast, or of a training step; half is
// for products of bfloat16.
func newScratch(a *arena, c Config, training, half bool) *scratch {
	s := &scratch{
		scaled: a.take(c.ContextLength, c.Channels),
		view:   a.matrix(c.rows(), c.ModelWidth),
		pooled: a.matrix(c.Channels, c.headWidth()),
		output: a.matrix(c.Channels, c.PredictionLength),
	}
	if training {
		s.pooledGradient = a.matrix(c.Channels, c.headWidth())
		s.operands.x = newOperand(a, c.rows(), c.ModelWidth, half)
		s.operands.dy = newOperand(a, c.rows(), c.ModelWidth, half)
		if c.PathDropout > 0 {
			s.addedGradient = a.matrix(c.rows(), c.ModelWidth)
		}
	}
	a.oneOf(
		func() { s.takeAttention(a, c, training, half) },
		func() { s.takeFeedForward(a, c, training, half) },
	)
	return s
}

// takeAttention takes what only attention needs.
func (s *scratch) takeAttention(a *arena, c Config, training, half bool) {
	longest := longestSequence(c)
	look := lookSize(c)
	s.shares, s.queryT = a.take(look), a.take(longest, c.ModelWidth)
	if half {
		s.half = newScratchHalf(a, c)
	}
	if !training {
		return
	}
	s.qkvGradient, s.mixedGradient = a.matrix(c.rows(), 3*c.ModelWidth), a.matrix(c.rows(), c.ModelWidth)
	s.qkv, s.mixed = s.qkvGradient, s.mixedGradient
	s.operands.dQKV = newOperand(a, c.rows(), 3*c.ModelWidth, half)
	s.mixedT, s.shareGradient = a.take(longest, c.ModelWidth), a.take(look)
	if c.AttentionDropout > 0 {
		s.dropped = a.take(look)
	}
}

// takeFeedForward takes what only a feed-forward block needs.
func (s *scratch) takeFeedForward(a *arena, c Config, training, half bool) {
	rows, width := c.rows(), c.FeedForwardWidth
	s.hidden = a.matrix(rows, width)
	if c.hasLast() || half {
		s.up = a.matrix(rows, width)
	}
	if c.hasLast() {
		s.hiddenMean, s.streamMean = a.matrix(c.Channels, width), a.matrix(c.Channels, c.ModelWidth)
	}
	if training {
		s.hiddenGradient = a.matrix(rows, width)
		s.operands.hidden, s.operands.dHidden = newOperand(a, rows, width, half), newOperand(a, rows, width, half)
	}
}
