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
// In training the batch norm of a stream needs that stream of every sample
// first: a training step takes all samples over one block, then over the next.
type pass struct {
	k       *kernel.Kernels
	config  Config // its dropouts are 0 in a forecast
	tensors *tensors
	layers  *layers
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
	x, next := p.view(i), p.sample.streams[i+1]
	if kind := p.tensors.blocks[i].kind; kind == feedForward {
		p.feed(i, next, x)
	} else {
		p.attend(i, kind, next, x)
	}
	p.drop(next.Data, p.config.PathDropout, pathSite(i), 0)
	if p.config.PreNorm {
		x = p.sample.streams[i]
	}
	p.k.Add(next.Data, x.Data)
}

// blockBackward takes the gradient of the view of stream i+1 to that of the
// view of stream i, and to the block's weights. Both stand in the sample's
// viewGradient.
func (p *pass) blockBackward(i int, gradient *tensors) {
	p.viewBackward(i+1, gradient)
	s := p.sample
	dAdded, past := s.streamGradient, matrix{}
	if p.config.PathDropout > 0 {
		dAdded = p.scratch.addedGradient
		copy(dAdded.Data, s.streamGradient.Data)
		p.drop(dAdded.Data, p.config.PathDropout, pathSite(i), 0)
	}
	if !p.config.PreNorm {
		past = s.streamGradient // what was added to is the view itself
	}
	if kind := p.tensors.blocks[i].kind; kind == feedForward {
		p.feedBackward(i, &gradient.blocks[i], s.viewGradient, past, p.view(i), dAdded)
	} else {
		p.attendBackward(i, kind, &gradient.blocks[i], s.viewGradient, past, p.view(i), dAdded)
	}
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
	if !p.config.PreNorm {
		clear(s.streamGradient.Data)
	}
	p.norms[block].backward(p.k, s.streamGradient, s.viewGradient, s.streams[stream], &gradient.blocks[block].norm)
}
