package patchtst

import "math"

// readOut makes the forecast: from the stream x (C, K, D) over what the head
// reads of each channel (C, D') to (T, C), in the caller's units.
func (p *pass) readOut(x matrix) {
	c, s := p.config, p.scratch
	for channel := range c.Channels {
		pool(s.pooled.row(channel), x.every(channel*c.tokens(), 1, c.tokens()), c)
	}
	drop(s.pooled.values, c.HeadDropout, p.noise.key(headSite), 0)
	p.tensors.head.forward(s.output, s.pooled)
	for channel := range c.Channels {
		scale, center := p.sample.scale[channel], p.sample.center[channel]
		for t, y := range s.output.row(channel) {
			p.sample.forecast[t*c.Channels+channel] = y*scale + center
		}
	}
}

// readOutBackward takes the gradient of the forecast (T, C) to dx (C, K, D),
// which it overwrites, and to the head's weights. It follows readOut on the
// same scratch, which still holds what the head read.
func (p *pass) readOutBackward(gradient *tensors, dx, x matrix, dForecast []float32) {
	c, s := p.config, p.scratch
	dOutput := s.output
	for channel := range c.Channels {
		scale := p.sample.scale[channel]
		for t := range dOutput.cols {
			dOutput.row(channel)[t] = dForecast[t*c.Channels+channel] * scale
		}
	}
	clear(s.pooledGradient.values)
	p.tensors.head.backward(&s.pooledGradient, &gradient.head, s.pooled, dOutput)
	drop(s.pooledGradient.values, c.HeadDropout, p.noise.key(headSite), 0)
	clear(dx.values)
	for channel := range c.Channels {
		tokens := channel * c.tokens()
		poolBackward(dx.every(tokens, 1, c.tokens()), s.pooledGradient.row(channel), x.every(tokens, 1, c.tokens()), c)
	}
}

// pool is what the head reads of a channel's tokens x (K, D): the class token
// if there is one, else the mean or the maximum over the patches (D), or all
// of them, patch by patch (N D).
func pool(y []float32, x matrix, c Config) {
	switch {
	case c.ClassToken:
		copy(y, x.row(0))
	case c.Pooling == "flatten":
		copy(y, x.values)
	case c.Pooling == "max":
		copy(y, x.row(0))
		for n := 1; n < x.rows; n++ {
			for i, v := range x.row(n) {
				y[i] = max(y[i], v)
			}
		}
	default:
		clear(y)
		addRows(y, x)
		for i := range y {
			y[i] /= float32(x.rows)
		}
	}
}

// poolBackward adds the gradient g of what pool answered to dx (K, D).
func poolBackward(dx matrix, g []float32, x matrix, c Config) {
	switch {
	case c.ClassToken:
		add(dx.row(0), g)
	case c.Pooling == "flatten":
		add(dx.values[:len(g)], g)
	case c.Pooling == "max":
		for i, v := range g {
			dx.row(largest(x, i))[i] += v
		}
	default:
		for n := range dx.rows {
			addScaled(dx.row(n), 1/float32(dx.rows), g)
		}
	}
}

// largest is the first row that holds the maximum of a column.
func largest(x matrix, column int) int {
	best, at := float32(math.Inf(-1)), 0
	for n := range x.rows {
		if v := x.row(n)[column]; v > best {
			best, at = v, n
		}
	}
	return at
}
