package forecast

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"fettle/internal/db"
)

// Forecasts that are scored are only looked back at. They are kept together,
// some fifty at a time, as exact as a curve on a page: those that three
// forecasters make of six sensors take 0.8 MB a machine and week, and 9 MB one by
// one.
const (
	packedLayout = 1
	// packedUnits are in half of a band at its widest step, the narrowest that
	// is packed together: a value is off by a twentieth of it at most, an edge of
	// the band by a tenth and a half.
	packedUnits = 10
	// packedValues is how many numbers are packed together, so that nobody holds
	// more of them: some 8 MB.
	packedValues = 1 << 18
	// packedBytes bounds what is unpacked at once.
	packedBytes = 64 << 20
	// packedTicks is about how many forecasts are packed together.
	packedTicks = 48
)

// span is how much of a forecaster's time is packed together: an hour, four or a
// day, in microseconds.
func (f Forecaster) span() int64 {
	for _, span := range []time.Duration{time.Hour, 4 * time.Hour} {
		if packedTicks*f.Interval <= span {
			return span.Microseconds()
		}
	}
	return dayMicros
}

// packKept moves the forecasts of whole spans, of which every step is scored,
// from records of their own into packed ones. The book's mutex is held.
func (e *Engine) packKept(m *memory, batch *db.Batch) error {
	b, span := &m.book, m.plan.span()
	done := b.oldest
	if done == 0 {
		done = b.newest
	}
	until := done - done%span
	if until <= b.packed {
		return nil
	}
	var together []kept
	values := 0
	flush := func() {
		if len(together) > 0 {
			batch.Set(m.packedKey(together[0].origin), appendPacked(nil, together))
		}
		together, values = nil, 0
	}
	err := e.eachKept(m, b.packed, until, func(k kept) error {
		size := k.steps * len(k.sensors)
		if len(together) > 0 && (k.origin/span != together[0].origin/span || values+size > packedValues) {
			flush()
		}
		together, values = append(together, k), values+size
		batch.Delete(m.keptKey(k.origin))
		return nil
	})
	flush()
	b.packed = until
	return err
}

// eachPacked yields packed forecasts by their origin, in [from, to).
func (e *Engine) eachPacked(m *memory, from, to int64, yield func(kept) error) error {
	prefix := m.recordKey(kindPacked)
	first := m.packedKey(from) // or the one that begins before, and holds it
	err := e.db.Descend(prefix, m.packedKey(from+1), func(key, _ []byte) error {
		first = append(first[:0], key...)
		return db.Stop
	})
	if err != nil {
		return err
	}
	return e.db.Ascend(first, m.packedKey(to), func(key, value []byte) error {
		list, err := readPacked(value)
		if err != nil {
			at, _, _ := db.CutMicros(key[len(prefix):])
			e.log.Warn("cannot read packed forecasts", "machine", m.machine, "forecaster", m.plan.Name, "from", at, "err", err)
			return nil
		}
		for _, k := range list {
			if k.origin < from || k.origin >= to {
				continue
			}
			if err := yield(k); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *memory) packedKey(origin int64) []byte {
	return db.AppendMicros(m.recordKey(kindPacked), time.UnixMicro(origin))
}

func (m *memory) keptKey(origin int64) []byte {
	return db.AppendMicros(m.recordKey(kindKept), time.UnixMicro(origin))
}

// appendPacked writes forecasts, oldest first. Those that follow one another and
// are of one kind are written together, sensor by sensor, as differences that
// are mostly small; deflating makes them smaller still.
func appendPacked(dst []byte, list []kept) []byte {
	var p packer
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].alike(list[0]) {
			n++
		}
		p.kind(list[:n])
		list = list[n:]
	}
	out := bytes.NewBuffer(append(dst, packedLayout))
	deflate, err := flate.NewWriter(out, flate.DefaultCompression)
	if err == nil {
		_, err = deflate.Write(p.bytes)
	}
	if err == nil {
		err = deflate.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: deflate into memory: %v", err))
	}
	return out.Bytes()
}

// alike tells whether two forecasts can be written together.
func (k kept) alike(other kept) bool {
	return k.model == other.model && k.step == other.step && k.steps == other.steps &&
		slices.EqualFunc(k.sensors, other.sensors, func(a, b keptSensor) bool {
			return a.name == b.name && len(a.lower) == len(b.lower) && !math.IsInf(a.values[0]-b.values[0], 0)
		})
}

// kind writes forecasts of one kind.
func (p *packer) kind(list []kept) {
	first := list[0]
	p.text(first.model)
	p.uint(uint64(first.step))
	p.uint(uint64(first.steps))
	p.uint(uint64(len(list)))
	var before, apart int64
	for _, k := range list {
		p.int(k.origin - before - apart)
		before, apart = k.origin, k.origin-before
	}
	p.uint(uint64(len(first.sensors)))
	for i, s := range first.sensors {
		p.text(s.name)
		p.bool(len(s.lower) > 0)
		p.together(list, i)
	}
}

// together writes what forecasts of one kind say of one sensor. What differs
// least is written: step from step, or forecast from forecast.
func (p *packer) together(list []kept, sensor int) {
	unit, base := packedUnit(list, sensor), list[0].sensors[sensor].values[0]
	values := make([][]int64, len(list)) // in units from base
	var bySteps, byForecasts float64
	for i, k := range list {
		values[i] = make([]int64, k.steps)
		for h, v := range k.sensors[sensor].values {
			values[i][h] = int64(math.Round((v - base) / unit))
			if i > 0 && h > 0 {
				bySteps += math.Log1p(math.Abs(float64(values[i][h] - values[i][h-1])))
				byForecasts += math.Log1p(math.Abs(float64(values[i][h] - values[i-1][h])))
			}
		}
	}
	p.float(unit)
	p.float(base)
	p.bool(bySteps < byForecasts)
	var before []int64
	var below, above []int64
	for i, k := range list {
		s := k.sensors[sensor]
		for h, n := range values[i] {
			p.int(n - expected(before, values[i], h, bySteps < byForecasts))
		}
		before = values[i]
		if len(s.lower) > 0 {
			read := func(h int) float64 { return base + float64(values[i][h])*unit }
			below = p.edge(below, k.steps, func(h int) float64 { return (read(h) - s.lower[h]) / unit })
			above = p.edge(above, k.steps, func(h int) float64 { return (s.upper[h] - read(h)) / unit })
		}
	}
}

// expected is what a step's value is written as a difference from: that of the
// step before, or of the same step in the forecast before.
func expected(before, values []int64, step int, bySteps bool) int64 {
	switch {
	case step > 0 && (bySteps || before == nil):
		return values[step-1]
	case before != nil:
		return before[step]
	default:
		return 0
	}
}

// edge writes one edge of a band, away from the value, as what differs from the
// forecast before; of the first one, from the step before. An edge that moved by
// no more than a unit stays where it was.
func (p *packer) edge(before []int64, steps int, of func(step int) float64) []int64 {
	first := before == nil
	if first {
		before = make([]int64, steps)
	}
	for h := range steps {
		if first && h > 0 {
			before[h] = before[h-1]
		}
		v, n := of(h), before[h]
		if math.Abs(v-float64(n)) > 1 {
			n = int64(math.Round(v))
		}
		p.int(n - before[h])
		before[h] = n
	}
	return before
}

// packedUnit is what a sensor's numbers are rounded to in forecasts of one kind.
func packedUnit(list []kept, sensor int) float64 {
	narrowest, farthest := math.Inf(1), 0.0
	base := list[0].sensors[sensor].values[0]
	for _, k := range list {
		s := k.sensors[sensor]
		half := 0.0
		for h, v := range s.values {
			farthest = max(farthest, math.Abs(v-base))
			if len(s.lower) > 0 {
				half = max(half, (s.upper[h]-s.lower[h])/2)
				farthest = max(farthest, math.Abs(v-s.lower[h]), math.Abs(s.upper[h]-v))
			}
		}
		narrowest = min(narrowest, half)
	}
	unit := narrowest / packedUnits
	if len(list[0].sensors[sensor].lower) == 0 {
		unit = farthest / 1000
	}
	if unit = max(unit, farthest/finestUnits); unit == 0 {
		return 1
	}
	return unit
}

// readPacked reads what appendPacked wrote. What only scoring asks for is not in
// it: the newest value that was seen, and what the season before says.
func readPacked(value []byte) ([]kept, error) {
	if len(value) == 0 || value[0] != packedLayout {
		return nil, fmt.Errorf("packed forecasts begin with %x; this program knows layout %d", value[:min(1, len(value))], packedLayout)
	}
	inflate := flate.NewReader(bytes.NewReader(value[1:]))
	plain, err := io.ReadAll(io.LimitReader(inflate, packedBytes+1))
	if err == nil && len(plain) > packedBytes {
		err = fmt.Errorf("they are more than %d MB", packedBytes>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack forecasts: %w", err)
	}
	u, room := &unpacker{bytes: plain}, packedValues+keptValues
	var list []kept
	for len(u.bytes) > 0 {
		more := u.kind(&room)
		if u.bad {
			return nil, errors.New("packed forecasts are damaged")
		}
		list = append(list, more...)
	}
	return list, nil
}

// kind reads forecasts of one kind. There is room for so many numbers in all.
func (u *unpacker) kind(room *int) []kept {
	model, step, steps, n := u.text(), u.uint(), u.count(keptValues), u.count(len(u.bytes))
	if u.bad = u.bad || step < 1 || step > math.MaxInt64 || steps < 1 || n < 1; u.bad {
		return nil
	}
	list := make([]kept, n)
	var before, apart int64
	for i := range list {
		at := before + apart + u.int()
		list[i] = kept{model: model, step: int64(step), steps: steps, origin: at}
		before, apart = at, at-before
	}
	sensors := u.count(len(u.bytes))
	if *room -= sensors * steps * n; sensors > keptValues || *room < 0 {
		u.bad = true
	}
	for range sensors {
		if u.bad {
			return nil
		}
		u.together(list)
	}
	return list
}

// together reads what forecasts of one kind say of one sensor.
func (u *unpacker) together(list []kept) {
	name, banded := u.text(), u.byte() == 1
	unit, base, bySteps, steps := u.float(), u.float(), u.byte() == 1, list[0].steps
	var before, below, above []int64
	for i := range list {
		s := keptSensor{name: name, values: make([]float64, steps)}
		values := make([]int64, steps)
		for h := range values {
			values[h] = expected(before, values, h, bySteps) + u.int()
			s.values[h] = base + float64(values[h])*unit
		}
		before = values
		if banded {
			below, above = u.edge(below, steps), u.edge(above, steps)
			s.lower, s.upper = make([]float64, steps), make([]float64, steps)
			for h, v := range s.values {
				s.lower[h], s.upper[h] = v-float64(below[h])*unit, v+float64(above[h])*unit
			}
		}
		if list[i].sensors = append(list[i].sensors, s); u.bad {
			return
		}
	}
}

func (u *unpacker) edge(before []int64, steps int) []int64 {
	first := before == nil
	if first {
		before = make([]int64, steps)
	}
	for h := range before {
		if first && h > 0 {
			before[h] = before[h-1]
		}
		before[h] += u.int()
	}
	return before
}
