package patchtst

import "fmt"

// tensors are the numbers of a model, or, of the same shapes, the gradients of
// a loss with respect to them.
type tensors struct {
	embedding []linear  // P -> D: one, or one for each channel
	class     []float32 // (D) the class token, if there is one
	position  []float32 // (K, D)
	blocks    []block   // in the order of the computation
	head      linear    // D' -> T
}

// linear is y = x W' + b.
type linear struct {
	weight  []float32 // (out, in)
	bias    []float32 // (out), or nil
	in, out int
}

// block is one step of the encoder: attention over the patches of a channel,
// attention over the channels at a patch, or a feed-forward block, each with
// the norm before it (after it, where pre_norm is off).
type block struct {
	kind                      blockKind
	norm                      norm
	query, key, value, output linear // D -> D each, of attention
	up                        linear // D -> F, of a feed-forward block
	down                      linear // F -> D
}

type blockKind int

const (
	attendPatches blockKind = iota
	attendChannels
	feedForward
)

// norm is a trained scale and shift of D features. Batch normalisation has
// running statistics besides.
type norm struct {
	weight, bias   []float32 // (D)
	mean, variance []float32 // (D) running statistics
}

// role says what a tensor is for: how it starts, and whether it is trained.
type role int

const (
	weightRole   role = iota // trained, starts random
	zeroRole                 // trained, starts at 0
	oneRole                  // trained, starts at 1
	learnedTable             // trained, starts random with its own deviation
	// From here on nothing is trained.
	fixedTable   // sines and cosines
	meanRole     // running mean, starts at 0
	varianceRole // running variance, starts at 1
	counterRole  // how many batches the statistics have seen: an int64, never used
)

func (r role) trained() bool { return r < fixedTable }

// parameter says whether PyTorch counts the tensor among model.parameters().
func (r role) parameter() bool { return r <= fixedTable }

// A take answers the numbers of one tensor; its shape is row major.
type take func(name string, r role, shape ...int) []float32

// describe names every tensor of a model as HuggingFace does, in its order. It
// is the one place that knows them: counting, allocating, loading and saving
// all ask it.
func describe(c Config, take take) tensors {
	const encoder = "model.encoder."
	var t tensors
	embedding := encoder + "embedder.input_embedding"
	if c.ShareEmbedding {
		t.embedding = append(t.embedding, take.linear(embedding, c.PatchLength, c.ModelWidth, true))
	} else {
		for channel := range c.Channels {
			t.embedding = append(t.embedding, take.linear(fmt.Sprint(embedding, ".", channel), c.PatchLength, c.ModelWidth, true))
		}
	}
	const positions = encoder + "positional_encoder."
	if c.ClassToken {
		t.class = take(positions+"cls_token", weightRole, 1, 1, 1, c.ModelWidth)
	}
	table := fixedTable
	if c.Position == "random" {
		table = learnedTable
	}
	t.position = take(positions+"position_enc", table, c.tokens(), c.ModelWidth)
	for i := range c.Layers {
		t.blocks = append(t.blocks, take.layer(fmt.Sprintf("%slayers.%d.", encoder, i), c)...)
	}
	t.head = take.linear("head.projection", c.headWidth(), c.PredictionLength, true)
	return t
}

// layer names the tensors of one layer and makes its two or three blocks. Both
// kinds of attention use the same weights.
func (t take) layer(prefix string, c Config) []block {
	attention := block{kind: attendPatches}
	for _, l := range []struct {
		name string
		to   *linear
	}{
		{"k_proj", &attention.key}, {"v_proj", &attention.value}, {"q_proj", &attention.query}, {"out_proj", &attention.output},
	} {
		*l.to = t.linear(prefix+"self_attn."+l.name, c.ModelWidth, c.ModelWidth, true)
	}
	attention.norm = t.norm(prefix+"norm_sublayer1", c)
	blocks := []block{attention}
	if c.ChannelAttention {
		across := attention
		across.kind, across.norm = attendChannels, t.norm(prefix+"norm_sublayer2", c)
		blocks = append(blocks, across)
	}
	return append(blocks, block{
		kind: feedForward,
		up:   t.linear(prefix+"ff.0", c.ModelWidth, c.FeedForwardWidth, c.Bias),
		down: t.linear(prefix+"ff.3", c.FeedForwardWidth, c.ModelWidth, c.Bias),
		norm: t.norm(prefix+"norm_sublayer3", c),
	})
}

func (t take) linear(name string, in, out int, bias bool) linear {
	l := linear{in: in, out: out, weight: t(name+".weight", weightRole, out, in)}
	if bias {
		l.bias = t(name+".bias", zeroRole, out)
	}
	return l
}

func (t take) norm(name string, c Config) norm {
	if c.Norm == "layernorm" {
		return norm{weight: t(name+".weight", oneRole, c.ModelWidth), bias: t(name+".bias", zeroRole, c.ModelWidth)}
	}
	name += ".batchnorm"
	n := norm{
		weight:   t(name+".weight", oneRole, c.ModelWidth),
		bias:     t(name+".bias", zeroRole, c.ModelWidth),
		mean:     t(name+".running_mean", meanRole, c.ModelWidth),
		variance: t(name+".running_var", varianceRole, c.ModelWidth),
	}
	t(name+".num_batches_tracked", counterRole)
	return n
}

// numbers is the memory of a model: two rows of numbers which all of its
// tensors are pieces of, and the counters.
type numbers struct {
	trained  []float32 // what an optimiser changes
	held     []float32 // running statistics and a fixed position table
	counters []int64   // one for each batch norm
}

// A named tensor is a piece of a model's numbers.
type named struct {
	name   string
	role   role
	shape  []int
	values []float32 // of all roles but counterRole
	count  *int64    // of counterRole
}

// newNumbers makes room for a model of the config.
func newNumbers(c Config) numbers {
	trained, held, counters := countNumbers(c)
	return numbers{make([]float32, trained), make([]float32, held), make([]int64, counters)}
}

// countNumbers counts the numbers of a model by what they are for.
func countNumbers(c Config) (trained, held, counters int) {
	describe(c, func(_ string, r role, shape ...int) []float32 {
		switch {
		case r == counterRole:
			counters++
		case r.trained():
			trained += product(shape)
		default:
			held += product(shape)
		}
		return nil
	})
	return trained, held, counters
}

// bind cuts the numbers into the tensors of the config, and lists them.
func (n numbers) bind(c Config) (tensors, []named) {
	var list []named
	trained, held, counters := n.trained, n.held, n.counters
	t := describe(c, func(name string, r role, shape ...int) []float32 {
		entry := named{name: name, role: r, shape: shape}
		switch size := product(shape); {
		case r == counterRole:
			entry.count, counters = &counters[0], counters[1:]
		case r.trained():
			entry.values, trained = trained[:size:size], trained[size:]
		default:
			entry.values, held = held[:size:size], held[size:]
		}
		list = append(list, entry)
		return entry.values
	})
	return t, list
}

// bindGradient cuts the gradient of all trained numbers into tensors. What is
// not trained has no gradient: its tensors are nil.
func bindGradient(c Config, gradient []float32) tensors {
	return describe(c, func(_ string, r role, shape ...int) []float32 {
		if !r.trained() {
			return nil
		}
		size := product(shape)
		piece := gradient[:size:size]
		gradient = gradient[size:]
		return piece
	})
}

// parameterNumbers counts the parameters of a config that may ask for far too
// many: a float64 does not overflow.
func parameterNumbers(c Config) float64 {
	var sum float64
	describe(c, func(_ string, r role, shape ...int) []float32 {
		if r.parameter() {
			size := 1.0
			for _, n := range shape {
				size *= float64(n)
			}
			sum += size
		}
		return nil
	})
	return sum
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
