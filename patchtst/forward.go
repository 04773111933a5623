package patchtst

import (
	"fmt"
	"math"
)

// workspace holds what one forecast computes on its way. One channel is
// computed after the other, since channels never mix; so nothing here grows
// with C.
type workspace struct {
	patches           []float32 // (N, P)
	stream            []float32 // (N, D) what each block adds to
	normed            []float32 // (N, D) what a block takes, and then what it adds
	query, key, value []float32 // (N, D) heads side by side
	mixed             []float32 // (N, D) heads side by side
	hidden            []float32 // (N, F)
	scores            []float32 // (N)
	pooled            []float32 // (D)
	forecast          []float32 // (T)
}

func newWorkspace(c Config) *workspace {
	n := c.Patches()
	wide := func() []float32 { return make([]float32, n*c.ModelWidth) }
	return &workspace{
		patches: make([]float32, n*c.PatchLength),
		stream:  wide(), normed: wide(), query: wide(), key: wide(), value: wide(), mixed: wide(),
		hidden:   make([]float32, n*c.FeedForwardWidth),
		scores:   make([]float32, n),
		pooled:   make([]float32, c.ModelWidth),
		forecast: make([]float32, c.PredictionLength),
	}
}

// workspaceSize counts the numbers that a forecast has in memory at one time:
// a workspace, its window and what it answers.
func workspaceSize(c Config) int64 {
	n, d := int64(c.Patches()), int64(c.ModelWidth)
	return n*(int64(c.PatchLength)+6*d+int64(c.FeedForwardWidth)+1) + d +
		int64(c.ContextLength+c.PredictionLength)*int64(c.Channels)
}

// Forward forecasts one window, as the model does in transformers' eval mode.
// x is (L, C) row major, oldest row first, in the units that the model was
// trained on; the answer is (T, C) in the same units. The answer stands in dst
// if that is large enough, else in new memory; dst must not overlap x. A NaN
// in a channel makes that channel's forecast NaN.
func (m *Model) Forward(dst, x []float32) []float32 {
	c := m.config
	if len(x) != c.ContextLength*c.Channels {
		panic(fmt.Sprintf("BUG: patchtst: Forward was given %d numbers; the model takes %d rows of %d channels", len(x), c.ContextLength, c.Channels))
	}
	if size := c.PredictionLength * c.Channels; cap(dst) < size {
		dst = make([]float32, size)
	} else {
		dst = dst[:size]
	}
	w := m.workspaces.Get().(*workspace)
	defer m.workspaces.Put(w)
	for channel := range c.Channels {
		m.forwardChannel(w, x[channel:])
		for step, y := range w.forecast {
			dst[step*c.Channels+channel] = y
		}
	}
	return dst
}

// forwardChannel forecasts one channel, whose numbers stand C apart in x, into
// w.forecast.
func (m *Model) forwardChannel(w *workspace, x []float32) {
	p := m.parameters
	cutPatches(w.patches, x, m.config)
	p.embedding.forward(w.stream, w.patches)
	add(w.stream, p.position)
	for i := range p.layers {
		p.layers[i].forward(w, m.config.Heads)
	}
	// There is no norm after the last layer.
	meanRows(w.pooled, w.stream)
	p.head.forward(w.forecast, w.pooled)
}

// cutPatches copies the patches of one channel, (N, P), oldest first; the last
// one ends on the newest row.
func cutPatches(patches, x []float32, c Config) {
	for n := range c.Patches() {
		first := c.FirstRow() + n*c.PatchStride
		for i := range c.PatchLength {
			patches[n*c.PatchLength+i] = x[(first+i)*c.Channels]
		}
	}
}

// forward adds the layer's two blocks, each of them normalised before, to
// w.stream.
func (l *layer) forward(w *workspace, heads int) {
	l.norm1.forward(w.normed, w.stream)
	l.query.forward(w.query, w.normed)
	l.key.forward(w.key, w.normed)
	l.value.forward(w.value, w.normed)
	attend(w, heads)
	l.output.forward(w.normed, w.mixed)
	add(w.stream, w.normed)

	l.norm3.forward(w.normed, w.stream)
	l.up.forward(w.hidden, w.normed)
	gelu(w.hidden)
	l.down.forward(w.normed, w.hidden)
	add(w.stream, w.normed)
}

// forward is y = x W' + b, from (rows, in) to (rows, out).
func (l linear) forward(y, x []float32) { multiply(y, x, l.weight, l.bias, l.in, l.out) }

// forward is y = x scale + shift, (N, D).
func (n norm) forward(y, x []float32) {
	width := len(n.scale)
	for at := 0; at < len(x); at += width {
		y, x := y[at:at+width], x[at:at+width]
		for i, scale := range n.scale {
			y[i] = x[i]*scale + n.shift[i]
		}
	}
}

// attend lets every patch of a channel look at all of them: for each head
// mixed = softmax(query key' / sqrt(D/H)) value, (N, D/H).
func attend(w *workspace, heads int) {
	patches := len(w.scores)
	width := len(w.query) / patches // D
	size := width / heads           // D/H
	scale := float32(1 / math.Sqrt(float64(size)))
	for from := 0; from < width; from += size {
		head := func(tensor []float32, row int) []float32 { return tensor[row*width+from:][:size] }
		for q := range patches {
			query := head(w.query, q)
			for k := range patches {
				w.scores[k] = dot(query, head(w.key, k)) * scale
			}
			softmax(w.scores)
			mixed := head(w.mixed, q)
			clear(mixed)
			for k, share := range w.scores {
				for i, v := range head(w.value, k) {
					mixed[i] += share * v
				}
			}
		}
	}
}

// softmax turns scores into shares that sum to 1. The largest score is taken
// off first, so that no exponential overflows.
func softmax(scores []float32) {
	largest := scores[0]
	for _, s := range scores {
		largest = max(largest, s)
	}
	var sum float32
	for i, s := range scores {
		e := float32(math.Exp(float64(s - largest)))
		scores[i] = e
		sum += e
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// gelu is x Phi(x) with the normal distribution itself, not its tanh
// approximation.
func gelu(x []float32) {
	for i, v := range x {
		x[i] = v * float32(0.5*(1+math.Erf(float64(v)/math.Sqrt2)))
	}
}

// meanRows is the mean over the patches, from (N, D) to (D).
func meanRows(mean, x []float32) {
	clear(mean)
	for at := 0; at < len(x); at += len(mean) {
		add(mean, x[at:at+len(mean)])
	}
	rows := float32(len(x) / len(mean))
	for i := range mean {
		mean[i] /= rows
	}
}

// add is y += x.
func add(y, x []float32) {
	for i, v := range x[:len(y)] {
		y[i] += v
	}
}
