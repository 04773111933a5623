package patchtst

import (
	"math"

	"fettle/patchtst/internal/kernel"
)

// readOut makes the forecast: from the stream x (C, K, D) over what the head
// reads of each channel (C, D') to (T, C), in the caller's units.
func (p *pass) readOut(x matrix) {
	c, s := p.config, p.scratch
	for channel := range c.Channels {
		pool(p.k, s.pooled.Row(channel), x.RowRange(channel*c.tokens(), (channel+1)*c.tokens()), c)
	}
	p.answer()
}

// answer makes the forecast of what the head reads, the scratch's pooled.
func (p *pass) answer() {
	c, s := p.config, p.scratch
	p.drop(s.pooled.Data, c.HeadDropout, headSite, 0)
	p.layers.head.forward(p.k, s.output, plain(s.pooled))
	for channel := range c.Channels {
		scale, center := p.sample.scale[channel], p.sample.center[channel]
		for t, y := range s.output.Row(channel) {
			p.sample.forecast[t*c.Channels+channel] = y*scale + center
		}
	}
}

// readOutBackward takes the gradient of the forecast (T, C) to dx (C, K, D),
// which it overwrites, and to the head's weights. It follows readOut on the
// same scratch, which still holds what the head read.
func (p *pass) readOutBackward(gradient *tensors, dx, x matrix, dForecast []float32) {
	p.answerBackward(gradient, dForecast)
	clear(dx.Data)
	for channel := range p.config.Channels {
		from, to := channel*p.config.tokens(), (channel+1)*p.config.tokens()
		poolBackward(p.k, dx.RowRange(from, to), p.scratch.pooledGradient.Row(channel), x.RowRange(from, to), p.config)
	}
}

// answerBackward takes the gradient of the forecast to what the head read, the
// scratch's pooledGradient, and to the head's weights.
func (p *pass) answerBackward(gradient *tensors, dForecast []float32) {
	c, s := p.config, p.scratch
	dOutput := s.output
	for channel := range c.Channels {
		scale := p.sample.scale[channel]
		for t := range dOutput.Cols {
			dOutput.Row(channel)[t] = dForecast[t*c.Channels+channel] * scale
		}
	}
	p.layers.head.learn(p.k, &gradient.head, plain(s.pooled), plain(dOutput))
	p.layers.head.backward(p.k, s.pooledGradient, plain(dOutput), matrix{})
	p.drop(s.pooledGradient.Data, c.HeadDropout, headSite, 0)
}

// pool is what the head reads of a channel's tokens x (K, D): the class token
// if there is one, else the mean or the maximum over the patches (D), or all
// of them, patch by patch (N D).
func pool(k *kernel.Kernels, y []float32, x matrix, c Config) {
	switch {
	case c.ClassToken:
		copy(y, x.Row(0))
	case c.Pooling == "flatten":
		copy(y, x.Data)
	case c.Pooling == "max":
		copy(y, x.Row(0))
		for n := 1; n < x.Rows; n++ {
			for i, v := range x.Row(n) {
				y[i] = max(y[i], v)
			}
		}
	default:
		clear(y)
		k.ColumnSums(y, x)
		k.Scale(y, 1/float32(x.Rows))
	}
}

// poolBackward adds the gradient g of what pool answered to dx (K, D).
func poolBackward(k *kernel.Kernels, dx matrix, g []float32, x matrix, c Config) {
	switch {
	case c.ClassToken:
		k.Add(dx.Row(0), g)
	case c.Pooling == "flatten":
		k.Add(dx.Data[:len(g)], g)
	case c.Pooling == "max":
		for i, v := range g {
			dx.Row(largest(x, i))[i] += v
		}
	default:
		for n := range dx.Rows {
			k.AddScaled(dx.Row(n), 1/float32(dx.Rows), g)
		}
	}
}

// largest is the first row that holds the maximum of a column.
func largest(x matrix, column int) int {
	best, at := float32(math.Inf(-1)), 0
	for n := range x.Rows {
		if v := x.Row(n)[column]; v > best {
			best, at = v, n
		}
	}
	return at
}
