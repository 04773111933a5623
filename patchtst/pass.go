package patchtst

import "fettle/patchtst/internal/kernel"

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
// The first stream is there for as long as the first block needs it, if first
// leads around its norm.
//
// In training the batch norm of a stream needs that stream of every sample
// first: a training step takes all samples over one block, then over the next.
type pass struct {
	k       *kernel.Kernels
	config  Config // its dropouts are 0 in a forecast
	tensors *tensors
	layers  *layers
	first   *first       // of the first attention; nil: as the others
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
	p.norms[block].forward(p.k, p.scratch.view, x)
	return p.scratch.view
}

// block computes stream i+1 from stream i.
func (p *pass) block(i int) {
	base, next := p.sample.streams[i], p.sample.streams[i+1]
	switch kind := p.tensors.blocks[i].kind; {
	case i == 0 && p.first != nil:
		base = p.scratch.view
		p.embed(base)
		p.attendFirst(next)
	case kind == feedForward:
		p.feed(i, next, p.view(i))
	default:
		p.attend(i, kind, next, p.view(i))
	}
	p.drop(next.Data, p.config.PathDropout, pathSite(i), 0)
	if !p.config.PreNorm {
		base = p.view(i)
	}
	p.k.Add(next.Data, base.Data)
}

// blockBackward takes the gradient of the view of stream i+1 to that of the
// view of stream i, and to the block's weights. Both stand in the sample's
// viewGradient.
func (p *pass) blockBackward(i int, gradient *tensors) {
	p.viewBackward(i+1, gradient)
	s, past := p.sample, matrix{}
	dAdded := p.addedBackward(i)
	if !p.config.PreNorm {
		past = s.streamGradient // what was added to is the view itself
	}
	if kind := p.tensors.blocks[i].kind; kind == feedForward {
		p.feedBackward(i, &gradient.blocks[i], s.viewGradient, past, p.view(i), dAdded)
	} else {
		p.attendBackward(i, kind, &gradient.blocks[i], s.viewGradient, past, p.view(i), dAdded)
	}
}

// addedBackward is the gradient of what block i adds to the stream.
func (p *pass) addedBackward(i int) matrix {
	if p.config.PathDropout == 0 {
		return p.sample.streamGradient
	}
	dAdded := p.scratch.addedGradient
	copy(dAdded.Data, p.sample.streamGradient.Data)
	p.drop(dAdded.Data, p.config.PathDropout, pathSite(i), 0)
	return dAdded
}

// firstBackward is blockBackward of the first block, down to the patches: it
// adds what the window gives to the batch's sums.
func (p *pass) firstBackward(gradient *tensors, sums *firstSums) {
	p.viewBackward(1, gradient)
	p.mixBackward(0, attendPatches, &gradient.blocks[0], p.addedBackward(0))
	sums.addGradients(p.k, p.sample.patches, p.scratch.qkvGradient, p.sample.streamGradient)
}

// viewBackward takes the gradient of a stream's view to the stream itself, in
// the sample's streamGradient. With pre_norm the stream goes past its block
// too: its gradient so far, from the stream after, stays and is added to.
func (p *pass) viewBackward(stream int, gradient *tensors) {
	s := p.sample
	block, there := p.normOn(stream)
	if !there {
		copy(s.streamGradient.Data, s.viewGradient.Data)
		return
	}
	if stream == len(p.norms)-1 && p.config.hasLast() {
		p.passLast(&gradient.blocks[block].norm)
		return
	}
	if !p.config.PreNorm {
		clear(s.streamGradient.Data)
	}
	p.norms[block].backward(p.k, s.streamGradient, s.viewGradient, s.streams[stream], &gradient.blocks[block].norm)
}
