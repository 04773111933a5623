package patchtst

import (
	"fmt"
	"math"

	"fettle/patchtst/internal/kernel"
)

// shards is how many parts a batch is cut into, each computed in one piece.
// The number is fixed, and not that of the threads: sums over a batch are sums
// over shards, in order, so that any number of threads makes the same bits.
const shards = 4

// chunk is how many weights are added up and changed in one piece.
const chunk = 1 << 14

// trainer takes steps of training. Its memory is allocated once.
type trainer struct {
	model     *Model
	options   stepOptions
	layers    *layers
	first     *first   // nil if the first attention is as the others
	packing   []*layer // all of them
	norms     []normalizer
	pool      *kernel.Pool
	samples   []*sample
	scratches chan *scratch // one for each thread
	shards    [shards]shard
	means     []float64 // (C) see batchMeans
	losses    []float64 // of each sample: the sum of its squared errors
	squares   []float64 // of each chunk of the gradient

	momentum, variance []float32 // AdamW's running means of the gradient and its square
	steps              int       // taken so far
}

// stepOptions is what does not change from step to step.
type stepOptions struct {
	batch       int // windows in the largest batch
	weightDecay float64
	clip        float64 // the gradient's largest norm; 0 is no limit
	seed        uint64  // of dropout
	threads     int
	precision   Precision
}

// shard is what one part of a batch needs for itself.
type shard struct {
	forecastError []float32 // (T, C) the gradient of a forecast
	gradient      []float32 // of all trained numbers
	tensors       tensors   // the same, tensor by tensor
	sum, product  []float64 // (D) of a norm
	first         *firstSums
}

// newTrainer starts the threads of a trainer; close ends them.
func newTrainer(m *Model, o stepOptions) *trainer {
	t := fill(func(a *arena) *trainer { return buildTrainer(a, m.config, m.kernels, &m.tensors, o) })
	t.model, t.options = m, o
	t.pool = kernel.NewPool(o.threads)
	return t
}

func (t *trainer) close() { t.pool.Close() }

// buildTrainer takes a trainer's memory out of an arena.
func buildTrainer(a *arena, c Config, k *kernel.Kernels, model *tensors, o stepOptions) *trainer {
	blocks, half := model.blocks, o.precision.half(k, c)
	trained, _, _ := countNumbers(c)
	t := &trainer{layers: newLayers(a, k, c, model, half), norms: newNormalizers(a, c, blocks, true)}
	t.packing = t.layers.list()
	if c.hasFirst() {
		t.first = newFirst(a, c, true)
	}
	for range o.batch {
		t.samples = append(t.samples, newSample(a, c, blocks, half))
	}
	t.scratches = make(chan *scratch, max(1, min(o.threads, shards)))
	for range cap(t.scratches) {
		t.scratches <- newScratch(a, c, true, half)
	}
	for i := range t.shards {
		s := shard{
			forecastError: a.take(c.PredictionLength, c.Channels),
			gradient:      a.take(trained),
			sum:           make([]float64, c.ModelWidth), product: make([]float64, c.ModelWidth),
		}
		if c.hasFirst() {
			s.first = newFirstSums(a, c)
		}
		if a.real {
			s.tensors = bindGradient(c, s.gradient)
		}
		t.shards[i] = s
	}
	t.momentum, t.variance = a.take(trained), a.take(trained)
	t.means = make([]float64, c.Channels)
	t.losses = make([]float64, o.batch)
	t.squares = make([]float64, (trained+chunk-1)/chunk)
	return t
}

// step trains the model on one batch and answers what its loss and the norm of
// the gradient were before: the mean squared error over all B T C numbers, in
// the series' units. A loss that is not finite changes no weights.
func (t *trainer) step(b batch, rate float64) (loss, norm float64, err error) {
	loss = t.gradient(b)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, math.NaN(), fmt.Errorf("the loss is %v", loss)
	}
	return loss, t.update(rate), nil
}

// gradient computes a batch's loss, and leaves its gradient in the shards.
func (t *trainer) gradient(b batch) float64 {
	t.pool.Run(len(t.packing), func(i int) { t.packing[i].pack(t.model.kernels) })
	t.embed(b)
	blocks := len(t.norms) // that are taken one by one
	if t.model.config.hasLast() {
		blocks--
	}
	for block := range blocks {
		t.overSamples(b, func(p *pass, s *shard, _ int) {
			p.block(block)
			t.sumMoments(p, s, block+1)
		})
		t.joinMoments(b, block+1)
	}
	t.readOut(b, blocks)
	for block := blocks - 1; block > 0 || block == 0 && t.first == nil; block-- {
		t.overSamples(b, func(p *pass, s *shard, _ int) {
			p.blockBackward(block, &s.tensors)
			t.sumGradients(p, s, block)
		})
		t.joinGradients(b, block)
	}
	t.embedBackward(b)
	return t.loss(len(b.starts))
}

// embed starts the streams.
func (t *trainer) embed(b batch) {
	if c := t.model.config; c.Scaling == "mean" && b.series.Observed != nil {
		batchMeans(t.means, len(b.starts), func(i int) window { return b.window(c, i) })
	}
	t.overSamples(b, func(p *pass, s *shard, i int) {
		p.begin(b.window(p.config, i), t.means)
		if t.first == nil {
			t.sumMoments(p, s, 0)
		} else {
			s.first.addPatches(p.sample.patches)
		}
	})
	if t.first == nil {
		t.joinMoments(b, 0)
	} else {
		t.prepareFirst(b)
	}
}

// prepareFirst gives the first attention its norm and its tables.
func (t *trainer) prepareFirst(b batch) {
	sums, whole, model := t.shards[0].first, &t.shards[0], &t.model.tensors
	for i := 1; i < shards; i++ {
		sums.joinPatches(t.shards[i].first)
	}
	t.pool.Run(len(whole.sum), func(i int) {
		whole.sum[i], whole.product[i] = t.first.moments(i, sums, model, t.count(b))
	})
	t.joinMoments(b, 0)
	t.first.prepare(t.model.kernels, model, t.layers, &t.norms[0])
}

// count is how many patches of a batch have the same place.
func (t *trainer) count(b batch) float64 { return float64(len(b.starts) * t.model.config.Channels) }

// readOut makes the forecasts after so many blocks, and goes the way back from
// their errors to the view of the stream there.
func (t *trainer) readOut(b batch, blocks int) {
	t.overSamples(b, func(p *pass, s *shard, i int) {
		miss := func() {
			cells := len(b.starts) * len(s.forecastError)
			t.losses[i] = squaredError(s.forecastError, p.sample.forecast, b.target(p.config, i), cells)
		}
		if blocks < len(t.norms) {
			p.readOutLast()
			miss()
			p.readOutLastBackward(&s.tensors, s.forecastError)
		} else {
			x := p.view(blocks)
			p.readOut(x)
			miss()
			p.readOutBackward(&s.tensors, p.sample.viewGradient, x, s.forecastError)
		}
		t.sumGradients(p, s, blocks)
	})
	t.joinGradients(b, blocks)
}

// embedBackward goes the last part of the way back: from the view of the first
// stream, or with t.first from the stream after the first block.
func (t *trainer) embedBackward(b batch) {
	if t.first == nil {
		t.overSamples(b, func(p *pass, s *shard, _ int) {
			p.viewBackward(0, &s.tensors)
			p.embedBackward(&s.tensors)
		})
		return
	}
	t.overSamples(b, func(p *pass, s *shard, _ int) { p.firstBackward(&s.tensors, s.first) })
	k, model, sums, gradient := t.model.kernels, &t.model.tensors, t.shards[0].first, &t.shards[0].tensors
	for i := 1; i < shards; i++ {
		sums.joinGradients(k, t.shards[i].first)
	}
	t.first.learn(k, sums, t.layers, &gradient.blocks[0])
	t.pool.Run(t.model.config.ModelWidth, func(i int) {
		t.first.learnFeature(i, sums, model, &t.norms[0], t.count(b), gradient)
	})
	for i := range t.shards {
		t.shards[i].first.clear()
	}
}

// overSamples runs do for every sample of the batch, shard by shard.
func (t *trainer) overSamples(b batch, do func(p *pass, s *shard, i int)) {
	t.pool.Run(shards, func(k int) {
		scratch := <-t.scratches
		defer func() { t.scratches <- scratch }()
		for i := k * len(b.starts) / shards; i < (k+1)*len(b.starts)/shards; i++ {
			do(&pass{
				k: t.model.kernels, config: t.model.config,
				tensors: &t.model.tensors, layers: t.layers, first: t.first, norms: t.norms,
				sample: t.samples[i], scratch: scratch,
				noise: newNoise(t.options.seed, t.steps, i),
			}, &t.shards[k], i)
		}
	})
}

// sumMoments adds a sample's stream to the shard's sums, if a batch norm
// stands on it.
func (t *trainer) sumMoments(p *pass, s *shard, stream int) {
	if block, there := p.normOn(stream); there && !t.norms[block].layer {
		p.k.Moments(s.sum, s.product, p.sample.streams[stream])
	}
}

// joinMoments gives the sums over the whole batch to the norm.
func (t *trainer) joinMoments(b batch, stream int) {
	p := pass{config: t.model.config, norms: t.norms}
	if block, there := p.normOn(stream); there && !t.norms[block].layer {
		sum, square := t.joinSums()
		t.norms[block].useBatch(sum, square, len(b.starts)*p.config.rows())
		t.model.numbers.counters[block]++
	}
	t.clearSums()
}

// sumGradients and joinGradients do the same for the gradient of a view.
func (t *trainer) sumGradients(p *pass, s *shard, stream int) {
	if block, there := p.normOn(stream); there && !t.norms[block].layer {
		n := &t.norms[block]
		p.k.BatchNormSums(s.sum, s.product, p.sample.viewGradient, p.sample.streams[stream], n.mean, n.inverse)
	}
}

func (t *trainer) joinGradients(b batch, stream int) {
	p := pass{config: t.model.config, norms: t.norms}
	if block, there := p.normOn(stream); there && !t.norms[block].layer {
		sum, product := t.joinSums()
		t.norms[block].useGradient(sum, product, len(b.starts)*p.config.rows(), &t.shards[0].tensors.blocks[block].norm)
	}
	t.clearSums()
}

// joinSums adds up the shards' sums in their order, into the first.
func (t *trainer) joinSums() (sum, product []float64) {
	sum, product = t.shards[0].sum, t.shards[0].product
	for k := 1; k < shards; k++ {
		for i := range sum {
			sum[i] += t.shards[k].sum[i]
			product[i] += t.shards[k].product[i]
		}
	}
	return sum, product
}

func (t *trainer) clearSums() {
	for k := range t.shards {
		clear(t.shards[k].sum)
		clear(t.shards[k].product)
	}
}

// squaredError is the sum of (forecast - target) squared; the gradient of its
// mean over all cells of a batch goes to dForecast.
func squaredError(dForecast, forecast, target []float32, cells int) float64 {
	var sum float64
	for i, y := range forecast {
		d := y - target[i]
		sum += float64(d) * float64(d)
		dForecast[i] = 2 * d / float32(cells)
	}
	return sum
}

// loss is the mean squared error of a batch.
func (t *trainer) loss(windows int) float64 {
	var sum float64
	for _, l := range t.losses[:windows] {
		sum += l
	}
	return sum / float64(windows*len(t.shards[0].forecastError))
}

// update adds the shards' gradients up, clips the sum, takes a step of AdamW
// with it, and clears the gradients for the next step. It answers the norm of
// the gradient before clipping.
func (t *trainer) update(rate float64) (norm float64) {
	chunks := len(t.squares)
	t.pool.Run(chunks, func(i int) { t.squares[i] = t.model.kernels.SumSquares(t.joinChunk(i)) })
	for _, s := range t.squares {
		norm += s
	}
	norm = math.Sqrt(norm)
	left := 1.0
	if t.options.clip > 0 {
		left = min(1, t.options.clip/(norm+1e-6))
	}
	t.steps++
	step := newAdamStep(rate, t.options.weightDecay, left, t.steps)
	w := t.model.numbers.trained
	t.pool.Run(chunks, func(i int) {
		from, to := i*chunk, min((i+1)*chunk, len(w))
		t.model.kernels.AdamW(w[from:to], t.momentum[from:to], t.variance[from:to], t.shards[0].gradient[from:to], step)
		for k := range t.shards {
			clear(t.shards[k].gradient[from:to])
		}
	})
	return norm
}

// joinChunk adds up a piece of the shards' gradients in their order, into the
// first's.
func (t *trainer) joinChunk(i int) []float32 {
	from := i * chunk
	to := min(from+chunk, len(t.momentum))
	sum := t.shards[0].gradient[from:to]
	for k := 1; k < shards; k++ {
		t.model.kernels.Add(sum, t.shards[k].gradient[from:to])
	}
	return sum
}
