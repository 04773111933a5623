package patchtst

// pass is the way of one window through the network, forward and backward:
//
//	embed -> stream 0 -> block 0 -> stream 1 -> ... -> stream M' -> readOut
//
// A block adds to the stream what it makes of its view of it. With pre_norm
// the view of a stream is its norm, and the last stream is read as it is;
// without, a norm follows each block, and it is what the next block sees and
// adds to:
//
//	pre_norm:  stream[i+1] = stream[i]     + block(view[i]),  view[i] = norm(stream[i])
//	else:      stream[i+1] = view[i]       + block(view[i]),  view[i] = norm(stream[i]), view[0] = stream[0]
//
// In training the batch norm of a stream needs that stream of every sample
// first: a training step takes all samples over one block, then over the next.
type pass struct {
	config  Config // its dropouts are 0 in a forecast
	tensors *tensors
	norms   []normalizer // of each block
	sample  *sample
	scratch *scratch
	noise   noise
}

// normOn is the block whose norm stands between a stream and its view.
func (p *pass) normOn(stream int) (block int, there bool) {
	if p.config.PreNorm {
		return stream, stream < len(p.norms)
	}
	return stream - 1, stream > 0
}

// view is a stream as the block after it sees it, (C K, D). It stands in
// p.scratch until the next view.
func (p *pass) view(stream int) matrix {
	x := p.sample.streams[stream]
	block, there := p.normOn(stream)
	if !there {
		return x
	}
	p.norms[block].forward(p.scratch.view, x)
	return p.scratch.view
}

// block computes stream i+1 from stream i.
func (p *pass) block(i int) {
	x, b := p.view(i), &p.tensors.blocks[i]
	if b.kind == feedForward {
		p.feed(i, b, x)
	} else {
		p.attend(i, b, x)
	}
	added := p.scratch.added.values
	drop(added, p.config.PathDropout, p.noise.key(pathSite(i)), 0)
	base := x
	if p.config.PreNorm {
		base = p.sample.streams[i]
	}
	next := p.sample.streams[i+1].values
	for j, v := range base.values[:len(next)] {
		next[j] = v + added[j]
	}
}

// blockBackward takes the gradient of the view of stream i+1 to that of the
// view of stream i, and to the block's weights. Both stand in the sample's
// viewGradient.
func (p *pass) blockBackward(i int, gradient *tensors) {
	p.viewBackward(i+1, gradient)
	s, dAdded := p.sample, p.scratch.added
	copy(dAdded.values, s.streamGradient.values)
	drop(dAdded.values, p.config.PathDropout, p.noise.key(pathSite(i)), 0)
	if p.config.PreNorm {
		clear(s.viewGradient.values)
	} else {
		copy(s.viewGradient.values, s.streamGradient.values)
	}
	x, b, g := p.view(i), &p.tensors.blocks[i], &gradient.blocks[i]
	if b.kind == feedForward {
		p.feedBackward(i, b, g, s.viewGradient, x)
	} else {
		p.attendBackward(i, b, g, s.viewGradient, x)
	}
}

// viewBackward takes the gradient of a stream's view to the stream itself, in
// the sample's streamGradient. With pre_norm the stream goes past its block
// too: its gradient so far, from the stream after, stays and is added to.
func (p *pass) viewBackward(stream int, gradient *tensors) {
	s := p.sample
	block, there := p.normOn(stream)
	if !there {
		copy(s.streamGradient.values, s.viewGradient.values)
		return
	}
	if !p.config.PreNorm {
		clear(s.streamGradient.values)
	}
	p.norms[block].backward(s.streamGradient, s.viewGradient, s.streams[stream], &gradient.blocks[block].norm)
}
