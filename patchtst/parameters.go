package patchtst

import (
	"fmt"
	"math"
	"slices"

	"fettle/patchtst/safetensors"
)

// parameters are a model's tensors, row major, as the forward pass takes them.
type parameters struct {
	embedding linear    // P -> D
	position  []float32 // (N, D)
	layers    []layer
	head      linear // D -> T
	count     int    // trained numbers and the position table; no running statistics
}

// layer is one layer of the encoder.
type layer struct {
	norm1                     norm   // before attention
	query, key, value, output linear // D -> D each
	norm3                     norm   // before the feed-forward block; norm 2 is channel attention's
	up                        linear // D -> F
	down                      linear // F -> D
}

// linear is y = x W' + b.
type linear struct {
	weight  []float32 // (out, in)
	bias    []float32 // (out)
	in, out int
}

// norm is batch normalisation by its running statistics, which is one affine
// map for each feature.
type norm struct {
	scale []float32 // (D) weight / sqrt(variance + eps)
	shift []float32 // (D) bias - mean scale
}

// loadParameters takes the config's tensors out of a file, every one of them
// and no other.
func loadParameters(file *safetensors.File, c Config) (*parameters, error) {
	b := &binder{file: file, taken: map[string]bool{}}
	const encoder = "model.encoder."
	p := &parameters{
		embedding: b.linear(encoder+"embedder.input_embedding", c.PatchLength, c.ModelWidth),
		position:  b.parameter(encoder+"positional_encoder.position_enc", c.Patches(), c.ModelWidth),
	}
	for i := 0; i < c.Layers && b.err == nil; i++ {
		p.layers = append(p.layers, b.layer(fmt.Sprintf("%slayers.%d.", encoder, i), c))
	}
	p.head = b.linear("head.projection", c.ModelWidth, c.PredictionLength)
	if err := b.finish(); err != nil {
		return nil, err
	}
	p.count = b.count
	return p, nil
}

// A binder takes tensors out of a file by name. It keeps the first error, so
// that the list of names above reads as a list.
type binder struct {
	file  *safetensors.File
	taken map[string]bool
	count int // numbers in parameters so far
	err   error
}

func (b *binder) layer(prefix string, c Config) layer {
	attention := prefix + "self_attn."
	return layer{
		norm1:  b.norm(prefix+"norm_sublayer1.batchnorm", c),
		query:  b.linear(attention+"q_proj", c.ModelWidth, c.ModelWidth),
		key:    b.linear(attention+"k_proj", c.ModelWidth, c.ModelWidth),
		value:  b.linear(attention+"v_proj", c.ModelWidth, c.ModelWidth),
		output: b.linear(attention+"out_proj", c.ModelWidth, c.ModelWidth),
		norm3:  b.norm(prefix+"norm_sublayer3.batchnorm", c),
		up:     b.linear(prefix+"ff.0", c.ModelWidth, c.FeedForwardWidth),
		down:   b.linear(prefix+"ff.3", c.FeedForwardWidth, c.ModelWidth),
	}
}

func (b *binder) linear(name string, in, out int) linear {
	return linear{b.parameter(name+".weight", out, in), b.parameter(name+".bias", out), in, out}
}

func (b *binder) norm(name string, c Config) norm {
	weight, bias := b.parameter(name+".weight", c.ModelWidth), b.parameter(name+".bias", c.ModelWidth)
	mean, variance := b.tensor(name+".running_mean", c.ModelWidth), b.tensor(name+".running_var", c.ModelWidth)
	b.counter(name + ".num_batches_tracked")
	if b.err != nil {
		return norm{}
	}
	n := norm{make([]float32, c.ModelWidth), make([]float32, c.ModelWidth)}
	for i := range n.scale {
		if variance[i] < 0 {
			b.err = fmt.Errorf("tensor %s.running_var holds %v; a variance is not negative", name, variance[i])
			return norm{}
		}
		scale := float64(weight[i]) / math.Sqrt(float64(variance[i])+c.NormEpsilon)
		n.scale[i] = float32(scale)
		n.shift[i] = float32(float64(bias[i]) - float64(mean[i])*scale)
	}
	return n
}

// parameter takes a tensor that counts as part of the model's size.
func (b *binder) parameter(name string, shape ...int) []float32 {
	values := b.tensor(name, shape...)
	b.count += len(values)
	return values
}

// tensor takes a float32 tensor of exactly this shape.
func (b *binder) tensor(name string, shape ...int) []float32 {
	if b.err != nil {
		return nil
	}
	found, there := b.file.Find(name)
	switch {
	case !there:
		b.err = fmt.Errorf("tensor %s is missing", name)
		return nil
	case !slices.Equal(found.Shape, shape):
		b.err = fmt.Errorf("tensor %s has shape %v; the config asks for %v", name, found.Shape, shape)
		return nil
	case found.Type != "F32":
		b.err = fmt.Errorf("tensor %s is %s; this version reads F32 only", name, found.Type)
		return nil
	}
	var values []float32
	values, b.err = b.file.Float32(name)
	b.taken[name] = true
	return values
}

// counter takes the count of training batches, which nothing needs. Files of
// old torch versions do not hold it.
func (b *binder) counter(name string) {
	if found, there := b.file.Find(name); there && found.Type == "I64" && len(found.Shape) == 0 {
		b.taken[name] = true
	}
}

// finish refuses tensors that nobody took: a model that silently leaves out a
// part of its file computes something else than its maker did.
func (b *binder) finish() error {
	if b.err != nil {
		return b.err
	}
	for _, t := range b.file.Tensors() {
		if !b.taken[t.Name] {
			return fmt.Errorf("tensor %s (%s %v) has no place in the config's model", t.Name, t.Type, t.Shape)
		}
	}
	return nil
}
