package patchtst

import "fettle/patchtst/internal/kernel"

// A layer is a linear layer, y = x W' + b, as products take it. Its weights
// are packed anew whenever they have changed.
type layer struct {
	weight matrix        // (out, in) W
	bias   []float32     // (out), or nil
	packed kernel.Panels // (in, out) W'
	half   *halfLayer    // instead of packed, if it multiplies bfloat16
}

// halfLayer is the weight of a layer in bfloat16.
type halfLayer struct {
	rounded  kernel.MatrixOf[kernel.BF16] // (out, in) W
	forward  kernel.PanelsOf[kernel.Pair] // (in/2, out) W'
	backward kernel.PanelsOf[kernel.Pair] // (out/2, in) W
}

// newLayer takes the memory of a layer out of an arena.
func newLayer(a *arena, k *kernel.Kernels, l linear, half bool) layer {
	made := layer{weight: dense(l.weight, l.out, l.in), bias: l.bias}
	if half {
		made.half = &halfLayer{
			rounded:  kernel.Dense(a.takeHalves(l.out, l.in), l.out, l.in),
			forward:  kernel.PanelsOf[kernel.Pair]{Data: a.takePairs(k.PanelsLen(l.in/2, l.out))},
			backward: kernel.PanelsOf[kernel.Pair]{Data: a.takePairs(k.PanelsLen(l.out/2, l.in))},
		}
	} else {
		made.packed = kernel.Panels{Data: a.take(k.PanelsLen(l.in, l.out))}
	}
	return made
}

// pack takes over what the weights have become.
func (l *layer) pack(k *kernel.Kernels) {
	if h := l.half; h != nil {
		k.RoundBF16(h.rounded.Data, l.weight.Data)
		h.forward = k.PackPairsTransposed(h.forward.Data, h.rounded)
		h.backward = k.PackPairs(h.backward.Data, h.rounded)
	} else {
		l.packed = k.PackTransposed(l.packed.Data, l.weight)
	}
}

// forward is y = x W' + b, from (rows, in) to (rows, out).
func (l *layer) forward(k *kernel.Kernels, y matrix, x operand) {
	if l.half != nil {
		k.MultiplyPanelsPairs(y, kernel.Pairs(x.along), l.half.forward, kernel.EveryRow(l.bias))
	} else {
		k.MultiplyPanels(y, x.matrix, l.packed, kernel.EveryRow(l.bias))
	}
}

// backward takes the gradient dy (rows, out) to the layer's input:
// dx = plus + dy W.
func (l *layer) backward(k *kernel.Kernels, dx matrix, dy operand, plus matrix) {
	if l.half != nil {
		k.MultiplyPanelsPairs(dx, kernel.Pairs(dy.along), l.half.backward, plus)
	} else {
		k.Multiply(dx, dy.matrix, l.weight, plus)
	}
}

// learn adds the gradients of the weights to g: dW += dy' x.
func (l *layer) learn(k *kernel.Kernels, g *linear, x, dy operand) {
	dw := dense(g.weight, g.out, g.in)
	if l.half != nil {
		k.MultiplyTransposedPairs(dw, dy.down, x.down, dw)
	} else {
		k.MultiplyTransposed(dw, dy.matrix, x.matrix, dw)
	}
	if g.bias != nil {
		k.ColumnSums(g.bias, dy.matrix)
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

// projections are the layers that make query, key and value, in this order.
func (l *blockLayers) projections() [3]*layer { return [3]*layer{&l.query, &l.key, &l.value} }

// newLayers takes the memory out of an arena. Of tensors that only have shapes
// it counts.
//
// In bfloat16 the layers of the blocks are multiplied, but for those that do
// little: what the shortcuts have left, the embedding, the head.
func newLayers(a *arena, k *kernel.Kernels, c Config, t *tensors, half bool) *layers {
	all := &layers{head: newLayer(a, k, t.head, false)}
	for _, l := range t.embedding {
		all.embedding = append(all.embedding, newLayer(a, k, l, false))
	}
	for i, b := range t.blocks {
		if b.kind == feedForward {
			last := i == len(t.blocks)-1 && c.hasLast()
			all.blocks = append(all.blocks, blockLayers{up: newLayer(a, k, b.up, half), down: newLayer(a, k, b.down, half && !last)})
			continue
		}
		first := i == 0 && c.hasFirst()
		all.blocks = append(all.blocks, blockLayers{
			query: newLayer(a, k, b.query, half && !first), key: newLayer(a, k, b.key, half && !first),
			value: newLayer(a, k, b.value, half && !first), output: newLayer(a, k, b.output, half),
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
