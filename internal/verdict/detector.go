package verdict

import (
	"math"
	"math/bits"
)

// The detector's constants. They were chosen on fault-free data with injected
// faults, never on labelled ones; a change needs the same care.
const (
	forget   = 0.05                    // how much of a row's deviation enters the moving average
	adapt    = 0.01                    // how fast a lasting small deviation becomes the new normal
	limit    = 5.5                     // strangeness that score 1 stands for
	release  = 0.9                     // score below which a machine is itself again
	variance = forget / (2.0 - forget) // of a moving average of noise of variance 1: 1/39
)

// A detector tells whether a machine is different from how it was. Row by row
// it predicts each sensor from the rows before, and keeps a moving average of
// how far the predictions were off. Noise averages out; a change stays.
//
//	e = z - W f          what the prediction missed, scaled
//	y += 0.05 (e - b - y)
//	S  = sqrt(y' M y)    about 1 when all is normal
//
// b is the small lasting deviation that has been accepted as the new normal.
type detector struct {
	*model
	history  []float64 // (5d+1): the last rows, scaled, newest first, and a constant 1
	seen     int       // rows in history, up to lags
	average  []float64 // (d): y
	accepted []float64 // (d): b
	strange  float64   // S
	on       bool      // the score went above 1 and has not come below release since
	miss     []float64 // (d): e - b of this row
	pull     []float64 // (d): M y
	hidden   imputer
}

func newDetector(m *model) *detector {
	d := m.dims()
	det := &detector{
		model:    m,
		history:  make([]float64, features(d)),
		average:  make([]float64, d),
		accepted: make([]float64, d),
		miss:     make([]float64, d),
		pull:     make([]float64, d),
	}
	det.history[lags*d] = 1
	return det
}

// restart forgets the last rows, for a row that does not follow on them. What
// was found out about the machine stays.
func (d *detector) restart() { d.seen = 0 }

// observe takes the next row: z scaled, and a bit in silent for each sensor that
// said nothing. The z of a silent sensor is set to what it probably was. With
// learn, small deviations are accepted as normal bit by bit.
//
// The first rows after a restart cannot be predicted and change no finding.
func (d *detector) observe(z []float64, silent uint64, learn bool) {
	if d.seen == lags {
		d.judge(z, silent, learn)
	} else {
		d.seen++
		for rest := silent; rest != 0; rest &= rest - 1 {
			j := bits.TrailingZeros64(rest)
			z[j] = d.history[j] // as before; 0, the mean, if there is no before
		}
	}
	n := d.dims()
	copy(d.history[n:lags*n], d.history[:(lags-1)*n])
	copy(d.history, z)
}

func (d *detector) judge(z []float64, silent uint64, learn bool) {
	n, k := d.dims(), len(d.history)
	for j := range n {
		predicted := dot(d.weights[j*k:(j+1)*k], d.history)
		d.miss[j] = z[j] - predicted - d.accepted[j]
		if silent&(1<<j) != 0 {
			z[j] = predicted + d.accepted[j]
		}
	}
	if silent != 0 {
		d.hidden.fill(d.miss, d.inverse, silent)
		for rest := silent; rest != 0; rest &= rest - 1 {
			j := bits.TrailingZeros64(rest)
			// Within what is usual: a prediction that feeds itself for hours
			// must not run away.
			z[j] = min(max(z[j]+d.miss[j], -unseen), unseen)
		}
	}
	for j := range n {
		d.average[j] += forget * (d.miss[j] - d.average[j])
	}
	d.measure()
	if score := d.score(); learn && score < 1 {
		pace := adapt * (1 - score*score)
		for j := range n {
			if silent&(1<<j) == 0 {
				d.accepted[j] += pace * d.average[j]
			}
		}
	}
}

// unseen bounds what a silent sensor is taken to read, in standard deviations.
const unseen = 4

// measure computes S, and whether the machine is different, from y.
func (d *detector) measure() {
	n := d.dims()
	var square float64
	for j := range n {
		d.pull[j] = dot(d.inverse[j*n:(j+1)*n], d.average)
		square += d.average[j] * d.pull[j]
	}
	d.strange = math.Sqrt(max(square, 0))
	d.on = d.score() > 1 || d.on && d.score() > release
}

// score is what people are shown: above 1 is anomalous.
func (d *detector) score() float64 { return d.strange / (limit * d.caution) }

// shares writes into dst (d) which part of the strangeness each sensor
// explains; they sum to 1. A sensor that lessens it explains nothing.
func (d *detector) shares(dst []float64) {
	var sum float64
	for j, y := range d.average {
		dst[j] = max(y*d.pull[j], 0)
		sum += dst[j]
	}
	if sum == 0 {
		return
	}
	for j := range dst {
		dst[j] /= sum
	}
}

// An imputer fills in the deviation of silent sensors: what those that spoke
// let expect, given how they usually deviate together. So a silent sensor
// neither adds to the strangeness nor takes from it, and its share is 0:
// S is then exactly that of the other sensors alone.
type imputer struct {
	silent uint64    // whose factor is held; 0: none
	which  []int     // places of the silent sensors
	factor []float64 // Cholesky factor of their block of the inverse covariance
	want   []float64
}

// fill solves M_ss x_s = -M_sp x_p for the silent part of x (d).
func (im *imputer) fill(x, inverse []float64, silent uint64) {
	n := len(x)
	if im.silent != silent {
		im.factorize(inverse, silent, n)
	}
	if im.factor == nil { // cannot be told apart from the others: no deviation
		for _, j := range im.which {
			x[j] = 0
		}
		return
	}
	for i, j := range im.which {
		var sum float64
		for p := range n {
			if silent&(1<<p) == 0 {
				sum -= inverse[j*n+p] * x[p]
			}
		}
		im.want[i] = sum
	}
	solveCholesky(im.factor, len(im.which), im.want)
	for i, j := range im.which {
		x[j] = im.want[i]
	}
}

func (im *imputer) factorize(inverse []float64, silent uint64, n int) {
	im.silent, im.which = silent, im.which[:0]
	for rest := silent; rest != 0; rest &= rest - 1 {
		im.which = append(im.which, bits.TrailingZeros64(rest))
	}
	s := len(im.which)
	im.factor = append(im.factor[:0], make([]float64, s*s)...)
	im.want = append(im.want[:0], make([]float64, s)...)
	for r, i := range im.which {
		for c, j := range im.which {
			im.factor[r*s+c] = inverse[i*n+j]
		}
	}
	if !cholesky(im.factor, s) {
		im.factor = nil
	}
}
