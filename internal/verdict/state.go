package verdict

import (
	"fmt"
	"time"

	"fettle"
)

// Records of the judge begin with their version. One that another version wrote
// counts as damaged: the machine is then judged anew from its readings.
const recordVersion = 1

func (m *model) pack() []byte {
	p := packer{recordVersion}
	p.uint(uint64(m.dims()))
	for _, sensor := range m.sensors {
		p.text(sensor)
	}
	p.floats(m.mean)
	p.floats(m.scale)
	p.floats(m.weights)
	p.floats(m.inverse)
	for _, span := range m.usual {
		p.float(span.Low)
		p.float(span.High)
	}
	p.ints(m.habit)
	p.int(int(m.step))
	p.int(int(m.gap))
	p.int(m.rows)
	return p
}

func unpackModel(record []byte) (*model, error) {
	u := unpacker{rest: record}
	if version := u.uint(); version != recordVersion {
		return nil, fmt.Errorf("%w: version %d, expected %d", errDamaged, version, recordVersion)
	}
	m := &model{sensors: make([]string, u.length(1))}
	d := len(m.sensors)
	for j := range m.sensors {
		m.sensors[j] = u.text()
	}
	m.mean, m.scale, m.weights, m.inverse = u.floats(), u.floats(), u.floats(), u.floats()
	m.usual = make([]fettle.Span, d)
	for j := range m.usual {
		m.usual[j] = fettle.Span{Low: u.float(), High: u.float()}
	}
	m.habit = u.ints()
	m.step, m.gap, m.rows = time.Duration(u.int()), time.Duration(u.int()), u.int()
	whole := d > 0 && d <= MaxSensors && len(m.mean) == d && len(m.scale) == d &&
		len(m.weights) == d*features(d) && len(m.inverse) == d*d && len(m.habit) == d
	if u.err != nil || !whole {
		return nil, errDamaged
	}
	m.beCautious()
	return m, nil
}

func (m *machine) packState() []byte {
	p := packer{recordVersion}
	p.time(m.cursor)
	p.time(m.trimmed)
	m.course.packInto(&p)
	var latest chunk
	latest.add(m.latest)
	p.text(string(latest.bytes))
	p.bool(m.live != nil)
	if m.live != nil {
		m.live.packInto(&p)
	}
	p.int(m.course.renewed)
	return p
}

func (c *course) packInto(p *packer) {
	for _, t := range []time.Time{c.first, c.fitted, c.since, c.joined, c.begin} {
		p.time(t)
	}
	for _, n := range []int{c.clean, c.next, c.width, c.anomalous, c.strangers, c.refused} {
		p.int(n)
	}
	p.bool(c.blind)
}

func (c *course) unpackFrom(u *unpacker) {
	for _, t := range []*time.Time{&c.first, &c.fitted, &c.since, &c.joined, &c.begin} {
		*t = u.time()
	}
	for _, n := range []*int{&c.clean, &c.next, &c.width, &c.anomalous, &c.strangers, &c.refused} {
		*n = u.int()
	}
	c.blind = u.bool()
}

func (w *watch) packInto(p *packer) {
	p.floats(w.history)
	p.floats(w.average)
	p.floats(w.accepted)
	p.floats(w.value)
	p.ints(w.stood)
	p.int(w.seen)
	p.bool(w.on)
	p.time(w.last)
}

func (m *machine) unpackState(record []byte) error {
	u := unpacker{rest: record}
	if version := u.uint(); version != recordVersion {
		return fmt.Errorf("%w: version %d, expected %d", errDamaged, version, recordVersion)
	}
	m.cursor, m.trimmed = u.time(), u.time()
	m.saved = m.cursor
	m.course.unpackFrom(&u)
	latest := u.text()
	learned := u.bool()
	if u.err != nil || learned != (m.live != nil) {
		return errDamaged
	}
	err := readChunk(m.name, m.cursor, []byte(latest), func(v fettle.Verdict) error { m.latest = v; return nil })
	if err != nil {
		return err
	}
	if learned {
		m.live.unpackFrom(&u)
	}
	if len(u.rest) > 0 { // there was no such word before it could be said
		m.course.renewed = u.int()
	}
	return u.err
}

// unpackFrom restores the watch of a model that is in place already.
func (w *watch) unpackFrom(u *unpacker) {
	history, average, accepted, value, stood := u.floats(), u.floats(), u.floats(), u.floats(), u.ints()
	w.seen, w.on, w.last = u.int(), u.bool(), u.time()
	d := w.dims()
	if len(history) != features(d) || len(average) != d || len(accepted) != d || len(value) != d || len(stood) != d || w.seen < 0 || w.seen > lags {
		u.fail()
		return
	}
	w.history, w.average, w.accepted, w.value, w.stood = history, average, accepted, value, stood
	on := w.on
	w.measure()
	w.on = on
}

func (q *quarantine) pack() (record []byte, changed bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if !q.changed {
		return nil, false
	}
	p := packer{recordVersion}
	p.uint(uint64(len(q.intervals)))
	for _, i := range q.intervals {
		p.time(i.From)
		p.time(i.To)
	}
	return p, true
}

func (q *quarantine) saved() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed = false
}

// unpack restores a quarantine; of no record, an empty one.
func (q *quarantine) unpack(record []byte) error {
	if len(record) == 0 {
		return nil
	}
	u := unpacker{rest: record}
	if version := u.uint(); version != recordVersion {
		return fmt.Errorf("%w: version %d, expected %d", errDamaged, version, recordVersion)
	}
	q.intervals = make([]fettle.Interval, u.length(2))
	for i := range q.intervals {
		q.intervals[i] = fettle.Interval{From: u.time(), To: u.time()}
	}
	return u.err
}
