package patchtst

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The gradients of this file are checked against differences: how much a
// weighted sum of a layer's outputs moves when one number moves by h.

// small is a model small enough to move each of its numbers.
func small(change ...func(*Config)) Config {
	c := NewConfig()
	c.ContextLength, c.PredictionLength, c.Channels = 12, 3, 3
	c.PatchLength, c.PatchStride = 4, 3
	c.ModelWidth, c.Heads, c.FeedForwardWidth, c.Layers = 4, 2, 6, 1
	c.Scaling, c.InitDeviation = "none", 0.4
	for _, f := range change {
		f(&c)
	}
	return c
}

func layerNorms(c *Config) { c.Norm = "layernorm" }
func postNorm(c *Config)   { c.PreNorm = false }
func withRelu(c *Config)   { c.Activation = "relu" }
func noBias(c *Config)     { c.Bias = false }
func acrossToo(c *Config)  { c.ChannelAttention = true }
func token(c *Config)      { c.ClassToken = true }
func learned(c *Config)    { c.Position = "random" }
func separate(c *Config)   { c.ShareEmbedding = false }
func flatten(c *Config)    { c.Pooling = "flatten" }
func maxPool(c *Config)    { c.Pooling = "max" }
func stdScale(c *Config)   { c.Scaling = "std" }
func meanScale(c *Config)  { c.Scaling = "mean" }
func long(c *Config)       { c.ContextLength, c.PatchLength, c.PatchStride = 140, 4, 1 } // 137 patches
func dropouts(c *Config) {
	c.PositionalDropout, c.AttentionDropout, c.PathDropout, c.FeedForwardDropout, c.HeadDropout = 0.1, 0.2, 0.15, 0.25, 0.3
}

// A part is one piece of the network between an activation x and an output.
type part struct {
	name     string
	config   Config
	forward  func(p *pass, x matrix) (y []float32)
	backward func(p *pass, gradient *tensors, dx, x matrix, dy []float32)
}

// blockLayer is the part of a model's block of some kind.
func blockLayer(name string, kind blockKind, c Config) part {
	at := func(p *pass) int {
		for i, b := range p.tensors.blocks {
			if b.kind == kind {
				return i
			}
		}
		panic("BUG: the model has no such block")
	}
	return part{name, c,
		func(p *pass, x matrix) []float32 {
			y := p.sample.streams[at(p)+1]
			if kind == feedForward {
				p.feed(at(p), y, x)
			} else {
				p.attend(at(p), kind, y, x)
			}
			return y.Data
		},
		func(p *pass, gradient *tensors, dx, x matrix, dy []float32) {
			g, dY := &gradient.blocks[at(p)], dense(dy, x.Rows, x.Cols)
			if kind == feedForward {
				p.feedBackward(at(p), g, dx, matrix{}, x, dY)
			} else {
				p.attendBackward(at(p), kind, g, dx, matrix{}, x, dY)
			}
		},
	}
}

// readOutLayer is the head, with units to come back to.
func readOutLayer(name string, c Config) part {
	units := func(p *pass) {
		for i := range p.sample.scale {
			p.sample.scale[i], p.sample.center[i] = 1.5-float32(i)/4, float32(i)
		}
	}
	return part{name, c,
		func(p *pass, x matrix) []float32 {
			units(p)
			p.readOut(x)
			return p.sample.forecast
		},
		func(p *pass, gradient *tensors, dx, x matrix, dy []float32) {
			units(p)
			p.readOut(x)
			p.readOutBackward(gradient, dx, x, dy)
		},
	}
}

// embedLayer is the embedding; its input is a window and has no gradient.
func embedLayer(name string, c Config) part {
	w := window{values: make([]float32, c.ContextLength*c.Channels)}
	fillHash(w.values, "window", func(u float32) float32 { return u - 0.5 })
	return part{name, c,
		func(p *pass, _ matrix) []float32 {
			p.begin(w, nil)
			return p.sample.streams[0].Data
		},
		func(p *pass, gradient *tensors, _, _ matrix, dy []float32) {
			p.begin(w, nil)
			copy(p.sample.streamGradient.Data, dy)
			p.embedBackward(gradient)
		},
	}
}

// normLayer is a norm in training.
func normLayer(name string, c Config) part {
	sums := func() ([]float64, []float64) { return make([]float64, c.ModelWidth), make([]float64, c.ModelWidth) }
	forward := func(p *pass, x matrix) []float32 {
		n := &p.norms[0]
		if !n.layer {
			sum, square := sums()
			p.k.Moments(sum, square, x)
			n.useBatch(sum, square, x.Rows)
		}
		n.forward(p.k, p.scratch.view, x)
		return p.scratch.view.Data
	}
	return part{name, c, forward,
		func(p *pass, gradient *tensors, dx, x matrix, dy []float32) {
			forward(p, x)
			n, g, dY := &p.norms[0], &gradient.blocks[0].norm, dense(dy, x.Rows, x.Cols)
			if !n.layer {
				sum, product := sums()
				p.k.BatchNormSums(sum, product, dY, x, n.mean, n.inverse)
				n.useGradient(sum, product, x.Rows, g)
			}
			n.backward(p.k, dx, dY, x, g)
		},
	}
}

func TestLayerGradients(t *testing.T) {
	for _, l := range []part{
		blockLayer("attention", attendPatches, small()),
		blockLayer("attention with a class token", attendPatches, small(token)),
		blockLayer("attention with dropout", attendPatches, small(dropouts)),
		blockLayer("channel attention", attendChannels, small(acrossToo)),
		blockLayer("channel attention with dropout and a class token", attendChannels, small(acrossToo, dropouts, token)),
		blockLayer("feed-forward", feedForward, small(maxPool)),
		blockLayer("feed-forward with dropout", feedForward, small(maxPool, dropouts)),
		blockLayer("feed-forward without bias", feedForward, small(maxPool, noBias)),
		blockLayer("feed-forward with relu", feedForward, small(maxPool, withRelu)),
		normLayer("batch norm", small()),
		normLayer("layer norm", small(layerNorms)),
		readOutLayer("head of means", small()),
		readOutLayer("head of means with dropout", small(dropouts)),
		readOutLayer("head of maxima", small(maxPool)),
		readOutLayer("flat head", small(flatten)),
		readOutLayer("head of the class token", small(token)),
		embedLayer("embedding", small(layerNorms)),
		embedLayer("embedding with dropout", small(dropouts, learned)),
		embedLayer("separate embeddings", small(separate)),
		embedLayer("learned positions and class token", small(token, learned)),
		embedLayer("class token with dropout", small(token, dropouts)),
	} {
		t.Run(l.name, func(t *testing.T) { checkLayer(t, l) })
	}
}

// checkLayer moves every number of the input and of the model's weights.
func checkLayer(t *testing.T, l part) {
	m, err := New(l.config, 5)
	if err != nil {
		t.Fatal(err)
	}
	shake(m, 6)
	c := l.config
	p := &pass{k: m.kernels, config: c, tensors: &m.tensors, layers: m.layers, noise: newNoise(7, 8, 9)}
	fill(func(a *arena) int {
		p.sample, p.scratch = newSample(a, c, m.tensors.blocks, false), newScratch(a, c, true, false)
		p.norms = newNormalizers(a, c, m.tensors.blocks, true)
		return 0
	})
	x, dx := dense(make([]float32, c.rows()*c.ModelWidth), c.rows(), c.ModelWidth), dense(make([]float32, c.rows()*c.ModelWidth), c.rows(), c.ModelWidth)
	draw(x.Data, 1)
	weights := make([]float32, len(l.forward(p, x)))
	draw(weights, 2)
	sum := func() float64 {
		var s float64
		m.prepare()
		for i, y := range l.forward(p, x) {
			s += float64(y) * float64(weights[i])
		}
		return s
	}
	gradient := make([]float32, len(m.numbers.trained))
	bound := bindGradient(c, gradient)
	sum()
	l.backward(p, &bound, dx, x, weights)
	sameSlopes(t, "input", x.Data, dx.Data, sum)
	sameSlopes(t, "weights", m.numbers.trained, gradient, sum)
}

// sameSlopes compares a gradient with differences of the function.
func sameSlopes(t *testing.T, what string, values, gradient []float32, function func() float64) {
	t.Helper()
	const h = 1.0 / 128 // large enough for float32's rounding
	allowed := 2e-3*largestOf(gradient) + 2e-4
	for i, v := range values {
		values[i] = v + h
		up := function()
		values[i] = v - h
		down := function()
		values[i] = v
		if slope := (up - down) / (2 * h); !(math.Abs(slope-float64(gradient[i])) <= allowed) {
			t.Errorf("%s, number %d: gradient %v; the slope is %v, allowed %.2g away", what, i, gradient[i], slope, allowed)
		}
	}
}

// TestTrainingGradients checks the whole way back, of every variant, with all
// five dropouts, whose noise is the same each time the step is.
func TestTrainingGradients(t *testing.T) {
	for _, v := range []struct {
		name   string
		config Config
	}{
		{"pre-norm", small()},
		{"post-norm", small(postNorm)},
		{"layer norm", small(layerNorms)},
		{"post-norm, layer norm", small(postNorm, layerNorms)},
		{"channel attention", small(acrossToo)},
		{"channel attention, post-norm, class token", small(acrossToo, postNorm, token)},
		{"flat head, standard scaling", small(flatten, stdScale)},
		{"class token, learned positions, mean scaling", small(token, learned, meanScale)},
		{"separate embeddings, no bias", small(separate, noBias)},
		{"more patches than attention takes at one time", small(long)},
	} {
		for _, dropout := range []bool{false, true} {
			config, name := v.config, v.name
			if dropout {
				dropouts(&config)
				name += ", dropout"
			}
			t.Run(name, func(t *testing.T) { checkTraining(t, config) })
		}
	}
}

func checkTraining(t *testing.T, c Config) {
	m, err := New(c, 5)
	if err != nil {
		t.Fatal(err)
	}
	shake(m, 6)
	const windows = 5 // one shard has more than the others
	trainer := startTrainer(t, m, stepOptions{batch: windows, seed: 3, threads: 1})
	past, future := make([]float32, windows*c.ContextLength*c.Channels), make([]float32, windows*c.PredictionLength*c.Channels)
	draw(past, 1)
	draw(future, 2)
	b := batchOf(c, past, future, nil)
	trainer.gradient(b)
	gradient := make([]float32, len(m.numbers.trained))
	for k := range trainer.shards {
		m.kernels.Add(gradient, trainer.shards[k].gradient)
	}
	sameSlopes(t, "weights", m.numbers.trained, gradient, func() float64 { return trainer.gradient(b) })
}

// shake moves every weight away from where training starts: a norm's weight of
// 1 and a bias of 0 hide mistakes.
func shake(m *Model, seed uint64) {
	noise := make([]float32, len(m.numbers.trained))
	draw(noise, seed)
	for i, v := range noise {
		m.numbers.trained[i] += 0.5 * v
	}
	m.prepare()
}

// draw fills values with numbers between -1 and 1.
func draw(values []float32, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range values {
		values[i] = 2*r.Float32() - 1
	}
}

// TestThreadsMakeNoDifference trains on one thread and on several: the same
// bits.
func TestThreadsMakeNoDifference(t *testing.T) {
	c := small(dropouts, acrossToo, learned)
	for _, windows := range []int{1, 3, 6, 9} {
		past, future := make([]float32, windows*c.ContextLength*c.Channels), make([]float32, windows*c.PredictionLength*c.Channels)
		draw(past, 1)
		draw(future, 2)
		b := batchOf(c, past, future, nil)
		var want string
		for _, threads := range []int{1, 2, 3, 8} {
			m, err := New(c, 5)
			if err != nil {
				t.Fatal(err)
			}
			trainer := startTrainer(t, m, stepOptions{batch: windows, weightDecay: 0.01, clip: 1, seed: 3, threads: threads})
			for range 3 {
				if _, _, err := trainer.step(b, 1e-2); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprint(m.numbers); want == "" {
				want = got
			} else if got != want {
				t.Errorf("%d windows: %d threads make another model than one does", windows, threads)
			}
		}
	}
}
