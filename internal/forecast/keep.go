package forecast

import (
	"errors"
	"fmt"
	"math"
	"time"

	"fettle"
	"fettle/internal/db"
)

const (
	// keptFor is how long a forecast is kept after its origin, by event time;
	// after that only its scores are.
	keptFor = 7 * 24 * time.Hour
	// keptValues is how many numbers (sensors times steps) a forecast may have
	// to be kept and scored: 128 sensors with the deployed horizon of ten are
	// 1,280. A longer one has its first sensors kept.
	keptValues = 1 << 15
	// keptWaiting is how many forecasts of one forecaster may wait for their
	// truth at once: those that follow each other closer than a horizon divided
	// by it are made, but not kept.
	keptWaiting = 512
)

// A kept is a forecast as the store has it: with what the yardsticks said at the
// same time, in whole multiples of a small part of its band. It is scored as it
// is kept, so that a restart changes no score.
type kept struct {
	model   string
	origin  int64 // microseconds
	step    int64 // microseconds
	steps   int
	sensors []keptSensor
}

type keptSensor struct {
	name         string
	last         float64   // newest value that the forecast saw: what the last value says of every step
	values       []float64 // (steps)
	lower, upper []float64 // (steps); empty if there was no band
	seasonal     []float64 // (steps) what the season before says; empty if no season is known
}

// keepMade makes a kept forecast of one that was made.
func keepMade(made Made) kept {
	season := made.Season
	k := kept{
		model: made.Model, origin: made.Origin.UnixMicro(), steps: made.Steps(),
		step: time.Duration(made.StepSeconds * float64(time.Second)).Microseconds(),
	}
	for i, s := range made.Sensors {
		if (i+1)*k.steps > keptValues {
			break
		}
		column := made.Window.Columns[i]
		sensor := keptSensor{name: s.Sensor, last: column[len(column)-1], values: s.Values, lower: s.Lower, upper: s.Upper}
		if season > 0 && season <= len(column) {
			sensor.seasonal = make([]float64, k.steps)
			for h := range sensor.seasonal {
				sensor.seasonal[h] = column[len(column)-season+h%season]
			}
		}
		if sensor.finite() {
			k.sensors = append(k.sensors, sensor)
		}
	}
	return k
}

// finite tells whether all differences are numbers.
func (s keptSensor) finite() bool {
	for _, list := range [][]float64{s.values, s.lower, s.upper, s.seasonal} {
		for h, v := range list {
			if math.IsInf(v-s.last, 0) || math.IsInf(v-s.values[h], 0) || math.IsNaN(v-s.last) {
				return false
			}
		}
	}
	return true
}

// until is when its last step is.
func (k kept) until() int64 { return k.origin + int64(k.steps)*k.step }

// public is the forecast as it was told, but for the rounding.
func (k kept) public(machine, forecaster string) fettle.Forecast {
	f := fettle.Forecast{
		Machine: machine, Forecaster: forecaster, Model: k.model, Origin: time.UnixMicro(k.origin).UTC(),
		StepSeconds: (time.Duration(k.step) * time.Microsecond).Seconds(),
	}
	for _, s := range k.sensors {
		if len(s.lower) > 0 {
			f.Coverage = coverage
		}
		f.Sensors = append(f.Sensors, fettle.SensorForecast{Sensor: s.name, Values: s.values, Lower: s.lower, Upper: s.upper})
	}
	return f
}

// Kept yields the forecasts of a machine whose origin is in [from, to), oldest
// first: those of the last seven days of its event time. db.Stop ends early.
func (e *Engine) Kept(machine, forecaster string, from, to time.Time, yield func(fettle.Forecast) error) error {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return err
	}
	stopped := false
	told := func(k kept) error {
		err := yield(k.public(machine, forecaster))
		stopped = err != nil
		return err
	}
	if err := e.eachPacked(m, from.UnixMicro(), to.UnixMicro(), told); err != nil || stopped {
		return err
	}
	return e.eachKept(m, from.UnixMicro(), to.UnixMicro(), told)
}

// eachKept yields a forecaster's kept forecasts that are not packed yet, by their
// origin, in [from, to). One that cannot be read is passed over: it will not be
// scored.
func (e *Engine) eachKept(m *memory, from, to int64, yield func(kept) error) error {
	prefix := len(m.recordKey(kindKept))
	return e.db.Ascend(m.keptKey(from), m.keptKey(to), func(key, value []byte) error {
		at, _, ok := db.CutMicros(key[prefix:])
		if !ok {
			return nil
		}
		k, err := readKept(value)
		if err != nil {
			e.log.Warn("cannot read a kept forecast", "machine", m.machine, "forecaster", m.plan.Name, "origin", at, "err", err)
			return nil
		}
		k.origin = at.UnixMicro()
		return yield(k)
	})
}

// The kinds of a forecaster's records beside its memory, after its name in the
// key. The names end themselves, so that no other key can look like these.
const (
	kindKept   = 'k' // time of origin: a kept forecast
	kindPacked = 'p' // time of origin of the first: kept forecasts, packed
	kindBook   = 'b' // what scoring knows
	kindHour   = 'h' // time: scores of the hour that begins then
	kindDay    = 'd' // time: scores of the day that begins then

	kindTrial  = 't' // what is known of a challenger in the shadow
	kindShadow = 's' // time of origin: what it said then, until that is scored
)

func (m *memory) recordKey(kind byte) []byte {
	key := db.AppendString(db.AppendString([]byte(prefix), m.machine), m.plan.Name)
	return append(key, kind)
}

// Bits of a kept sensor that say what it has.
const (
	hasBand     = 1
	hasSeason   = 2
	keptLayout  = 1
	finestUnits = 1 << 40 // how many units a value may be from the last one
	bandUnits   = 100     // units in half of the widest step's band
)

// unit is what the sensor's numbers are rounded to: 1 % of half its band. A
// sensor without a band is rounded to a thousandth of what is forecast of it.
func (s keptSensor) unit() float64 {
	var farthest, half float64
	for h, v := range s.values {
		farthest = max(farthest, math.Abs(v-s.last))
		if len(s.lower) > 0 {
			half = max(half, (s.upper[h]-s.lower[h])/2)
			farthest = max(farthest, math.Abs(v-s.lower[h]), math.Abs(s.upper[h]-v))
		}
		if len(s.seasonal) > 0 {
			farthest = max(farthest, math.Abs(s.seasonal[h]-v))
		}
	}
	unit := half / bandUnits
	if len(s.lower) == 0 {
		unit = farthest / 1000
	}
	if unit = max(unit, farthest/finestUnits); unit == 0 {
		return 1
	}
	return unit
}

// append writes it, without its origin, which is in its key.
func (k kept) append(dst []byte) []byte {
	p := packer{append(dst, keptLayout)}
	p.text(k.model)
	p.uint(uint64(k.step))
	p.uint(uint64(k.steps))
	p.uint(uint64(len(k.sensors)))
	for _, s := range k.sensors {
		s.append(&p)
	}
	return p.bytes
}

func (s keptSensor) append(p *packer) {
	var has uint64
	if len(s.lower) > 0 {
		has |= hasBand
	}
	if len(s.seasonal) > 0 {
		has |= hasSeason
	}
	unit := s.unit()
	p.text(s.name)
	p.uint(has)
	p.float(s.last)
	p.float(unit)
	units := func(v float64) int64 { return int64(math.Round(v / unit)) }
	rounded := make([]float64, len(s.values)) // what will be read
	var before int64
	for h, v := range s.values {
		n := units(v - s.last)
		p.int(n - before)
		before, rounded[h] = n, s.last+float64(n)*unit
	}
	if has&hasBand != 0 {
		p.offsets(len(rounded), func(h int) int64 { return units(rounded[h] - s.lower[h]) })
		p.offsets(len(rounded), func(h int) int64 { return units(s.upper[h] - rounded[h]) })
	}
	if has&hasSeason != 0 {
		for h, v := range s.seasonal {
			p.int(units(v - rounded[h]))
		}
	}
}

// offsets writes the least of some numbers, and how much more each is: the edges
// of a band are about as far from its middle at all steps.
func (p *packer) offsets(n int, of func(int) int64) {
	least := int64(math.MaxInt64)
	for h := range n {
		least = min(least, of(h))
	}
	p.int(least)
	for h := range n {
		p.uint(uint64(of(h) - least))
	}
}

// readKept reads what append wrote; the origin is missing.
func readKept(value []byte) (kept, error) {
	u := unpacker{bytes: value}
	if layout := u.byte(); layout != keptLayout {
		return kept{}, fmt.Errorf("kept forecast has layout %d; this program knows %d", layout, keptLayout)
	}
	k := kept{model: u.text(), step: int64(u.uint()), steps: u.count(keptValues)}
	sensors := u.count(keptValues)
	if u.bad || k.step < 1 || k.steps < 1 || sensors*k.steps > keptValues {
		return kept{}, errors.New("kept forecast is damaged")
	}
	for range sensors {
		k.sensors = append(k.sensors, readKeptSensor(&u, k.steps))
		if u.bad {
			return kept{}, errors.New("kept forecast is damaged")
		}
	}
	return k, nil
}

func readKeptSensor(u *unpacker, steps int) keptSensor {
	s := keptSensor{name: u.text()}
	has := u.uint()
	s.last = u.float()
	unit := u.float()
	s.values = make([]float64, steps)
	var n int64
	for h := range s.values {
		n += u.int()
		s.values[h] = s.last + float64(n)*unit
	}
	if has&hasBand != 0 {
		s.lower, s.upper = make([]float64, steps), make([]float64, steps)
		least := u.int()
		for h := range s.lower {
			s.lower[h] = s.values[h] - float64(least+int64(u.uint()))*unit
		}
		least = u.int()
		for h := range s.upper {
			s.upper[h] = s.values[h] + float64(least+int64(u.uint()))*unit
		}
	}
	if has&hasSeason != 0 {
		s.seasonal = make([]float64, steps)
		for h := range s.seasonal {
			s.seasonal[h] = s.values[h] + float64(u.int())*unit
		}
	}
	return s
}
