package verdict

import (
	"errors"
	"fmt"
	"math"
	"time"

	"fettle"
)

// A source hands over the rows to fit on, ascending in time; each time it is
// called it hands over the same ones.
type source func(yield func(fettle.Reading) error) error

// errUnknown says that the rows hold no sensor that is known well enough, or
// that too few of them follow on one another.
var errUnknown = errors.New("no sensor is known well enough")

// Strength of the ridge, for scaled readings and for the constant.
const (
	ridge         = 10
	ridgeConstant = 1e-6
)

// How the covariance of the residuals is kept away from singular: part of it
// goes to its diagonal, and a little is added there.
const (
	shrink = 0.1
	nugget = 1e-6
)

// fit learns what a machine is like from a stretch of its rows, in two passes:
// one for what each sensor is like, one for how they move. It needs memory for
// the sensors, not for the rows.
func fit(rows source) (*model, error) {
	s := newSurvey()
	if err := rows(func(r fettle.Reading) error { s.add(r); return nil }); err != nil {
		return nil, err
	}
	s.close()
	m := s.sketch()
	if m.dims() == 0 {
		return nil, errUnknown
	}
	f := newFitter(m, s)
	if err := rows(func(r fettle.Reading) error { f.add(r); return nil }); err != nil {
		return nil, err
	}
	if f.moments.count < leastKnown {
		return nil, errUnknown
	}
	if err := f.moments.solve(m); err != nil {
		return nil, fmt.Errorf("fit %d sensors on %d rows: %w", m.dims(), m.rows, err)
	}
	for j, sensor := range m.sensors {
		m.usual[j] = f.spreads[j].usual(m, j, s.sensors[sensor])
	}
	m.beCautious()
	return m, nil
}

// sketch makes a model that knows its sensors, but not yet how they move.
func (s *survey) sketch() *model {
	m := &model{sensors: s.choose(), rows: s.rows}
	for _, sensor := range m.sensors {
		p := s.sensors[sensor]
		m.mean = append(m.mean, p.mean)
		m.scale = append(m.scale, p.scale())
		m.habit = append(m.habit, p.habit())
	}
	m.usual = make([]fettle.Span, m.dims())
	m.step, m.gap = s.rhythm()
	return m
}

// A fitter is the second look: it lines rows up with the rows before them.
type fitter struct {
	*model
	moments moments
	spreads []spread
	blocks  int // one of so many blocks of rows is used
	row     int
	last    time.Time
	seen    int
	history []float64 // (5d+1), as in detector
	z       []float64 // (d)
	stood   []int     // (d): rows for which the last word has stood; more than hold: not known
	known   []bool    // (d)
}

// fitWork bounds the multiplications of a fit, to a few seconds. Of a stretch
// that would take more, blocks of rows evenly spread over it are used.
const (
	fitWork  = 2e9
	fitBlock = 512 // rows
)

func newFitter(m *model, s *survey) *fitter {
	d := m.dims()
	k := features(d)
	f := &fitter{
		model:   m,
		moments: newMoments(d),
		spreads: make([]spread, d),
		blocks:  1 + s.rows*(k*k/2+k*d)/fitWork,
		history: make([]float64, k),
		z:       make([]float64, d),
		stood:   make([]int, d),
		known:   make([]bool, d),
	}
	f.history[k-1] = 1
	for j := range f.stood {
		f.stood[j] = hold
	}
	return f
}

func (f *fitter) add(r fettle.Reading) {
	if r.Time.Sub(f.last) > f.gap {
		f.seen = 0
	}
	f.last = r.Time
	for j, sensor := range f.sensors {
		value, said := r.Value(sensor)
		if f.stood[j]++; said {
			f.z[j], f.stood[j] = f.scaled(j, value), 0
		} else if f.stood[j] >= hold {
			f.z[j] = 0 // nothing is known: the mean
		}
		f.known[j] = f.stood[j] < hold
		if f.known[j] {
			f.spreads[j].add(f.z[j])
		}
	}
	if f.seen < lags {
		f.seen++
	} else if (f.row/fitBlock)%f.blocks == 0 {
		f.moments.add(f.history, f.z, f.known)
	}
	d := f.dims()
	copy(f.history[d:lags*d], f.history[:(lags-1)*d])
	copy(f.history, f.z)
	f.row++
}

// moments are the sums that a ridge regression of z (d) on f (k) needs.
type moments struct {
	d, k  int
	count int       // rows added
	ff    []float64 // (k, k), lower triangle: sum of f f'
	zf    []float64 // (d, k): sum of z f'
	zz    []float64 // (d, d): sum of z z'
	rows  []float64 // (d): rows of which the sensor is known
}

func newMoments(d int) moments {
	k := features(d)
	return moments{d: d, k: k, ff: make([]float64, k*k), zf: make([]float64, d*k), zz: make([]float64, d*d), rows: make([]float64, d)}
}

func (m *moments) add(f, z []float64, known []bool) {
	m.count++
	for i, x := range f {
		if x != 0 {
			addScaled(m.ff[i*m.k:], x, f[:i+1])
		}
	}
	for j, x := range z {
		addScaled(m.zf[j*m.k:], x, f)
		addScaled(m.zz[j*m.d:], x, z)
		if known[j] {
			m.rows[j]++
		}
	}
}

// addScaled adds x times row to dst.
func addScaled(dst []float64, x float64, row []float64) {
	dst = dst[:len(row)]
	for i, v := range row {
		dst[i] += x * v
	}
}

var errSingular = errors.New("readings cannot be told apart")

// solve completes the model: its weights W = (A'A + R)^-1 A'B, and the inverse
// covariance of what they leave unexplained.
func (m *moments) solve(model *model) error {
	d, k := m.d, m.k
	for i := range k {
		m.ff[i*k+i] += penalty(i, k)
	}
	if !cholesky(m.ff, k) {
		return errSingular
	}
	model.weights = make([]float64, d*k)
	copy(model.weights, m.zf)
	for j := range d {
		solveCholesky(m.ff, k, model.weights[j*k:(j+1)*k])
	}
	c := m.residuals(model.weights)
	if !cholesky(c, d) {
		return errSingular
	}
	model.inverse = invertCholesky(c, d)
	for i := range model.inverse {
		model.inverse[i] /= variance * float64(d)
	}
	return nil
}

func penalty(feature, k int) float64 {
	if feature == k-1 {
		return ridgeConstant
	}
	return ridge
}

// residuals returns the covariance (d, d; lower triangle) of e = z - W f, not
// centred, and kept away from singular. The sum
// of e e' needs no further pass: it is zz - W zf' - W R W', because W solves the
// normal equations. A sensor that is known in a part of the rows has no
// residual in the others, so its sums are divided by its own number of rows.
func (m *moments) residuals(weights []float64) []float64 {
	d, k := m.d, m.k
	c := make([]float64, d*d)
	for i := range d {
		w := weights[i*k : (i+1)*k]
		for j := range i + 1 { // the lower triangle is all that is needed
			sum := m.zz[i*d+j] - dot(w, m.zf[j*k:(j+1)*k])
			for g, x := range weights[j*k : (j+1)*k] {
				sum -= w[g] * penalty(g, k) * x
			}
			c[i*d+j] = sum / math.Sqrt(max(m.rows[i], 1)*max(m.rows[j], 1))
		}
	}
	for i := range d {
		for j := range i {
			c[i*d+j] *= 1 - shrink
		}
		c[i*d+i] = max(c[i*d+i], 0) + nugget
	}
	return c
}
