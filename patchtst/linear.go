package patchtst

import "fettle/patchtst/internal/kernel"

// A layer is a linear layer, y = x W' + b, as products take it. Its weights
// are packed anew whenever they have changed.
type layer struct {
	weight matrix        // (out, in) W
	packed kernel.Panels // (in, out) W'
	bias   []float32     // (out), or nil
}

// newLayer takes the memory of a layer out of an arena.
func newLayer(a *arena, k *kernel.Kernels, l linear) layer {
	return layer{
		weight: dense(l.weight, l.out, l.in), bias: l.bias,
		packed: kernel.Panels{Data: a.take(k.PanelsLen(l.in, l.out))},
	}
}

// pack takes over what the weights have become.
func (l *layer) pack(k *kernel.Kernels) { l.packed = k.PackTransposed(l.packed.Data, l.weight) }

// forward is y = x W' + b, from (rows, in) to (rows, out).
func (l *layer) forward(k *kernel.Kernels, y, x matrix) {
	k.MultiplyPanels(y, x, l.packed, kernel.EveryRow(l.bias))
}

// backward takes the gradient dy (rows, out) to the layer's input:
// dx = plus + dy W.
func (l *layer) backward(k *kernel.Kernels, dx, dy, plus matrix) {
	k.Multiply(dx, dy, l.weight, plus)
}

// learn adds the gradients of the weights to g: dW += dy' x.
func (l *layer) learn(k *kernel.Kernels, g *linear, x, dy matrix) {
	dw := dense(g.weight, g.out, g.in)
	k.MultiplyTransposed(dw, dy, x, dw)
	if g.bias != nil {
		k.ColumnSums(g.bias, dy)
	}
}

// layers are all linear layers of a model.
type layers struct {
	embedding []layer
	blocks    []blockLayers
	head      layer
}

// blockLayers are those of a block: the first four of attention, the others of
// a feed-forward block.
type blockLayers struct{ query, key, value, output, up, down layer }

// newLayers takes the memory out of an arena. Of tensors that only have shapes
// it counts.
func newLayers(a *arena, k *kernel.Kernels, t *tensors) *layers {
	all := &layers{head: newLayer(a, k, t.head)}
	for _, l := range t.embedding {
		all.embedding = append(all.embedding, newLayer(a, k, l))
	}
	for _, b := range t.blocks {
		if b.kind == feedForward {
			all.blocks = append(all.blocks, blockLayers{up: newLayer(a, k, b.up), down: newLayer(a, k, b.down)})
			continue
		}
		all.blocks = append(all.blocks, blockLayers{
			query: newLayer(a, k, b.query), key: newLayer(a, k, b.key),
			value: newLayer(a, k, b.value), output: newLayer(a, k, b.output),
		})
	}
	return all
}

// list are the layers one by one, to pack them.
func (all *layers) list() []*layer {
	list := []*layer{&all.head}
	for i := range all.embedding {
		list = append(list, &all.embedding[i])
	}
	for i := range all.blocks {
		b := &all.blocks[i]
		for _, l := range []*layer{&b.query, &b.key, &b.value, &b.output, &b.up, &b.down} {
			if l.weight.Rows > 0 {
				list = append(list, l)
			}
		}
	}
	return list
}

// embeddingOf is the layer that embeds a channel's patches.
func (all *layers) embeddingOf(channel int) *layer { return &all.embedding[channel%len(all.embedding)] }
