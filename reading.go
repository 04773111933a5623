package fettle

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// A Reading is what the sensors of one machine said at one time. (Machine,
// Time) is its identity: a second reading with the same pair is merged into
// the first, sensor by sensor, the last writer of a sensor winning. Tags are
// not part of the identity.
type Reading struct {
	Machine string            // 1..MaxName bytes of UTF-8
	Time    time.Time         // event time in UTC, whole microseconds; zero: "when it arrives"
	Values  []Value           // sorted by Sensor, each sensor once, every value finite
	Tags    map[string]string // text that came along, such as sensor_type; nil if none
}

// A Value is one sensor's number, in the unit in which the sensor sends it.
type Value struct {
	Sensor string  `json:"sensor"`
	Value  float64 `json:"value"`
}

// Value returns what the sensor said, and whether it said anything.
func (r Reading) Value(sensor string) (float64, bool) {
	i, found := slices.BinarySearchFunc(r.Values, sensor, func(v Value, s string) int { return cmp.Compare(v.Sensor, s) })
	if !found {
		return 0, false
	}
	return r.Values[i].Value, true
}

// SortValues puts values into the order that a Reading promises. Of several
// values of one sensor the last stays.
func SortValues(values []Value) []Value {
	slices.SortStableFunc(values, func(a, b Value) int { return cmp.Compare(a.Sensor, b.Sensor) })
	kept := values[:0]
	for _, v := range values {
		if n := len(kept); n > 0 && kept[n-1].Sensor == v.Sensor {
			kept[n-1] = v
			continue
		}
		kept = append(kept, v)
	}
	return kept
}

// Merge lays newer over older, both sorted: the union of their sensors, newer
// winning where both speak. Neither argument is changed.
func Merge(older, newer []Value) []Value {
	merged := make([]Value, 0, len(older)+len(newer))
	for len(older) > 0 && len(newer) > 0 {
		switch c := cmp.Compare(older[0].Sensor, newer[0].Sensor); {
		case c < 0:
			merged, older = append(merged, older[0]), older[1:]
		case c > 0:
			merged, newer = append(merged, newer[0]), newer[1:]
		default:
			merged, older, newer = append(merged, newer[0]), older[1:], newer[1:]
		}
	}
	return append(append(merged, older...), newer...)
}

// MarshalJSON writes {"machine","time","values":{sensor:number},"tags":{}}.
func (r Reading) MarshalJSON() ([]byte, error) {
	values := make(map[string]float64, len(r.Values))
	for _, v := range r.Values {
		values[v.Sensor] = v.Value
	}
	return json.Marshal(struct {
		Machine string             `json:"machine"`
		Time    time.Time          `json:"time"`
		Values  map[string]float64 `json:"values"`
		Tags    map[string]string  `json:"tags,omitempty"`
	}{r.Machine, r.Time, values, r.Tags})
}

// Limits that hold for every way in. They keep one sender from costing the
// others their memory; a message beyond them is refused with the limit named.
const (
	MaxName    = 128   // bytes in the name of a machine, a sensor or a tag
	MaxSensors = 5_000 // sensors in one reading, and of one machine
	MaxTags    = 32    // tags in one reading
	MaxTag     = 256   // bytes in the text of a tag
)

// A Window is a stretch of one machine's readings as columns, ready for
// arithmetic. Rows ascend in time; a sensor that was silent in a row is NaN.
type Window struct {
	Machine     string
	Sensors     []string
	TimesMicros []int64     // (rows), microseconds since 1970 UTC
	Columns     [][]float64 // (sensors, rows)
}

// Rows counts the window's rows.
func (w Window) Rows() int { return len(w.TimesMicros) }

// Slice returns rows from..to-1 of the window, sharing its memory.
func (w Window) Slice(from, to int) Window {
	columns := make([][]float64, len(w.Columns))
	for i, column := range w.Columns {
		columns[i] = column[from:to]
	}
	return Window{Machine: w.Machine, Sensors: w.Sensors, TimesMicros: w.TimesMicros[from:to], Columns: columns}
}

// Step is the median time between neighbouring rows, the machine's own rhythm;
// zero with fewer than two rows.
func (w Window) Step() time.Duration {
	if w.Rows() < 2 {
		return 0
	}
	gaps := make([]int64, 0, w.Rows()-1)
	for i := 1; i < w.Rows(); i++ {
		gaps = append(gaps, w.TimesMicros[i]-w.TimesMicros[i-1])
	}
	slices.Sort(gaps)
	return time.Duration(gaps[len(gaps)/2]) * time.Microsecond
}

// A Span is the range of a sensor, in its own unit.
type Span struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}
