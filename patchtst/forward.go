package patchtst

import "fmt"

// workspace is the memory of one forecast under way.
type workspace struct {
	sample   *sample
	scratch  *scratch
	fallback []float64 // (C) see batchMeans
}

func newWorkspace(a *arena, c Config, blocks []block) *workspace {
	return &workspace{newForecastSample(a, c, blocks), newScratch(a, c, false, false), make([]float64, c.Channels)}
}

// forecastNumbers counts the numbers that a forecast has in memory at one
// time: a workspace, its window and what it answers.
func forecastNumbers(c Config) float64 {
	// Blocks share their memory: one layer's need is the need of all.
	c.Layers = 1
	blocks := []block{{kind: attendPatches}, {kind: attendChannels}, {kind: feedForward}}
	return float64(c.ContextLength+c.PredictionLength)*float64(c.Channels) +
		count(func(a *arena) *workspace { return newWorkspace(a, c, blocks) })
}

// Forward forecasts one window, as the model does in transformers' eval mode.
// x is (L, C) row major, oldest row first, in the units that the model was
// trained on; the answer is (T, C) in the same units. The answer stands in dst
// if that is large enough, else in new memory; dst must not overlap x. A NaN
// in a channel makes that channel's forecast NaN, and with channel attention
// every channel's. Forward panics if x is no window of L C numbers; after the
// first few calls it allocates nothing.
func (m *Model) Forward(dst, x []float32) []float32 {
	if want := m.config.ContextLength * m.config.Channels; len(x) != want {
		panic(fmt.Sprintf("BUG: patchtst: Forward was given %d numbers; the model takes %d rows of %d channels", len(x), m.config.ContextLength, m.config.Channels))
	}
	return m.ForwardBatch(dst, x, nil)
}

// ForwardBatch forecasts several windows, one after the other: from x
// (B, L, C) to (B, T, C), as Forward does each. observed, of x's shape, says
// which numbers were measured: the scalings "std" and "mean" look at no
// others. Nil means all. Put any finite number in the place of one that was
// not measured; transformers' users take 0. It panics if x is no whole number of
// windows, or observed is of another length.
func (m *Model) ForwardBatch(dst, x []float32, observed []bool) []float32 {
	size, answer := m.config.ContextLength*m.config.Channels, m.config.PredictionLength*m.config.Channels
	if len(x)%size != 0 || observed != nil && len(observed) != len(x) {
		panic(fmt.Sprintf("BUG: patchtst: ForwardBatch was given %d numbers and %d marks; the model takes windows of %d", len(x), len(observed), size))
	}
	windows := len(x) / size
	if cap(dst) < windows*answer {
		dst = make([]float32, windows*answer)
	}
	dst = dst[:windows*answer]
	at := func(i int) window { return windowAt(x, observed, i*size, size) }

	w := m.workspaces.Get().(*workspace)
	defer m.workspaces.Put(w)
	if observed != nil && m.config.Scaling == "mean" {
		batchMeans(w.fallback, windows, at)
	}
	for i := range windows {
		copy(dst[i*answer:], m.forecast(w, at(i)))
	}
	return dst
}

// forecast computes one window; the answer is the workspace's.
func (m *Model) forecast(w *workspace, x window) []float32 {
	p := pass{k: m.kernels, config: m.forecasting, tensors: &m.tensors, layers: m.layers, first: m.first, norms: m.norms, sample: w.sample, scratch: w.scratch}
	p.begin(x, w.fallback)
	last := len(m.norms)
	if m.config.hasLast() {
		last--
	}
	for i := range last {
		p.block(i)
	}
	if m.config.hasLast() {
		p.readOutLast()
	} else {
		p.readOut(p.view(last))
	}
	return w.sample.forecast
}

// windowAt is a window that starts at a number of a longer row of them.
func windowAt(values []float32, observed []bool, from, size int) window {
	w := window{values: values[from:][:size]}
	if observed != nil {
		w.observed = observed[from:][:size]
	}
	return w
}
