package readings

import (
	"encoding/json"
	"math"
	"slices"
	"sort"

	"fettle"
)

// A piece is some rows of one machine as columns, in the order of the sensors
// that somebody asked for.
type piece struct {
	times   []int64
	columns [][]float64 // (sensors, rows); nil: the sensor was silent throughout
	tags    []int32     // (rows), numbers in a tagBook; nil: no row has tags
	filled  int         // columns that are not nil, while rows are added
	most    int         // numbers, while rows are added
	end     int64       // what rows may come is before it; latest: there is no telling
}

func (v *view) newPiece(sensors int, end int64) *piece {
	return &piece{columns: make([][]float64, sensors), most: v.store.mostNumbers, end: end}
}

// mostNumbers bounds the numbers in a piece, and so the memory for reading a day
// of a machine with thousands of sensors.
const mostNumbers = 4 << 20

// fits tells whether one more row keeps a piece within its bound.
func (p *piece) fits() bool { return (len(p.times)+1)*(p.filled+1) <= p.most }

// grow adds a row in which all sensors are silent. Columns may end before it,
// until whole.
func (p *piece) grow(micros int64, tag int32) {
	if len(p.times) == cap(p.times) {
		p.times = slices.Grow(p.times, p.more())
	}
	p.times = append(p.times, micros)
	if tag != 0 && p.tags == nil {
		p.tags = make([]int32, len(p.times)-1, cap(p.times))
	}
	if p.tags != nil {
		p.tags = append(p.tags, tag)
	}
}

// more is for how many more rows room is made once there is none: for as many
// again, but once the pace of the rows is known, and a day at most is left, for
// those that are to come at that pace. Doubling would leave half a day of
// numbers unused, and as much again for the collector.
func (p *piece) more() int {
	n := len(p.times)
	const paced = 1024 // rows tell a pace
	if n < paced || p.end-p.times[n-1] > dayMicros {
		return max(64, n)
	}
	took, left := p.times[n-1]-p.times[0], p.end-p.times[n-1]
	expected := float64(n) * float64(left) / float64(max(1, took)) * (1 + 1./32)
	fitting := max(1, p.most/(p.filled+1)-n)
	return min(max(n/8, int(min(expected, paced*64))), fitting)
}

// set puts a value into the last row.
func (p *piece) set(sensor int, value float64) {
	column, row := p.columns[sensor], len(p.times)-1
	if column == nil {
		p.filled++
	}
	if len(column) > row {
		column[row] = value // a row that says a sensor twice, which nobody writes
		return
	}
	if cap(column) <= row {
		column = slices.Grow(column, cap(p.times)-len(column))
	}
	p.columns[sensor] = append(silent(column, row), value)
}

// whole makes all columns as long as the piece, once no row is added any more.
func (p *piece) whole() *piece {
	for i, column := range p.columns {
		if column != nil {
			p.columns[i] = silent(slices.Grow(column, len(p.times)-len(column)), len(p.times))
		}
	}
	return p
}

// silent makes a column as long as some rows.
func silent(column []float64, rows int) []float64 {
	for len(column) < rows {
		column = append(column, math.NaN())
	}
	return column
}

// cut is rows i..j-1 of the piece, sharing its memory.
func (p *piece) cut(i, j int) *piece {
	if i == 0 && j == len(p.times) {
		return p
	}
	c := &piece{times: p.times[i:j], columns: make([][]float64, len(p.columns))}
	for n, column := range p.columns {
		if column != nil {
			c.columns[n] = column[i:j]
		}
	}
	if p.tags != nil {
		c.tags = p.tags[i:j]
	}
	return c
}

// between finds the rows with from <= time < to.
func between(times []int64, from, to int64) (i, j int) {
	i = sort.Search(len(times), func(n int) bool { return times[n] >= from })
	j = i + sort.Search(len(times)-i, func(n int) bool { return times[i+n] >= to })
	return i, j
}

func silence(n int) []float64 {
	column := make([]float64, n)
	for i := range column {
		column[i] = math.NaN()
	}
	return column
}

// laidOver lays newer rows over older ones, sensor by sensor, as two messages of
// one time are merged.
func laidOver(older, newer *piece) *piece {
	switch {
	case len(newer.times) == 0:
		return older
	case len(older.times) == 0:
		return newer
	}
	p := &piece{columns: make([][]float64, len(older.columns))}
	var fromOlder, fromNewer []int // row of either for each row; -1: none
	for i, j := 0, 0; i < len(older.times) || j < len(newer.times); {
		takeOlder := j == len(newer.times) || i < len(older.times) && older.times[i] <= newer.times[j]
		takeNewer := i == len(older.times) || j < len(newer.times) && newer.times[j] <= older.times[i]
		a, b := -1, -1
		if takeOlder {
			a, i = i, i+1
			p.times = append(p.times, older.times[a])
		}
		if takeNewer {
			b, j = j, j+1
			if a < 0 {
				p.times = append(p.times, newer.times[b])
			}
		}
		fromOlder, fromNewer = append(fromOlder, a), append(fromNewer, b)
	}
	for n := range p.columns {
		if older.columns[n] != nil || newer.columns[n] != nil {
			p.columns[n] = overlaid(older.columns[n], newer.columns[n], fromOlder, fromNewer)
		}
	}
	if older.tags != nil || newer.tags != nil {
		p.tags = make([]int32, len(p.times))
		for row := range p.tags {
			if a := fromOlder[row]; a >= 0 && older.tags != nil {
				p.tags[row] = older.tags[a]
			}
			if b := fromNewer[row]; b >= 0 && newer.tags != nil && newer.tags[b] != 0 {
				p.tags[row] = newer.tags[b]
			}
		}
	}
	return p
}

func overlaid(older, newer []float64, fromOlder, fromNewer []int) []float64 {
	column := silence(len(fromOlder))
	for row := range column {
		if a := fromOlder[row]; a >= 0 && older != nil {
			column[row] = older[a]
		}
		if b := fromNewer[row]; b >= 0 && newer != nil && !math.IsNaN(newer[b]) {
			column[row] = newer[b]
		}
	}
	return column
}

// A tagBook numbers the tag sets that turn up while rows are read, from 1; 0 is
// for none. Rows in the store name theirs by number, files by their text.
type tagBook struct {
	sets   []map[string]string
	texts  []string
	byText map[string]int32
	byID   []int32 // number in the machine's words -> number here, 0: not met yet
}

func (b *tagBook) ofText(text string) (int32, error) {
	if text == "" {
		return 0, nil
	}
	if n, known := b.byText[text]; known {
		return n, nil
	}
	var set map[string]string
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return 0, errBroken
	}
	return b.add(text, set), nil
}

// ofSet is for a tag set of the machine's words, counting from 1 there too.
func (b *tagBook) ofSet(w *words, id int) int32 {
	if id == 0 {
		return 0
	}
	if id < len(b.byID) && b.byID[id] != 0 {
		return b.byID[id]
	}
	set := w.tagSets[id-1]
	text, err := json.Marshal(set)
	if err != nil {
		panic("BUG: tags that are no JSON: " + err.Error()) // a map of texts always is
	}
	n, known := b.byText[string(text)]
	if !known {
		n = b.add(string(text), set)
	}
	for len(b.byID) <= len(w.tagSets) {
		b.byID = append(b.byID, 0)
	}
	b.byID[id] = n
	return n
}

func (b *tagBook) add(text string, set map[string]string) int32 {
	if b.byText == nil {
		b.byText = map[string]int32{}
	}
	b.sets, b.texts = append(b.sets, set), append(b.texts, text)
	b.byText[text] = int32(len(b.sets))
	return int32(len(b.sets))
}

// eachRow yields the rows of a piece as readings. sensors is what was asked for,
// sorted.
func (p *piece) eachRow(machine string, sensors []string, tags *tagBook, yield func(fettle.Reading) error) error {
	present := make([]int, 0, len(p.columns))
	for i, column := range p.columns {
		if column != nil {
			present = append(present, i)
		}
	}
	for row, micros := range p.times {
		r := fettle.Reading{Machine: machine, Time: fromMicros(micros), Values: make([]fettle.Value, 0, len(present))}
		for _, i := range present {
			if v := p.columns[i][row]; !math.IsNaN(v) {
				r.Values = append(r.Values, fettle.Value{Sensor: sensors[i], Value: v})
			}
		}
		if p.tags != nil && p.tags[row] != 0 {
			r.Tags = tags.sets[p.tags[row]-1]
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

// positions maps names to their places in a list.
func positions(names []string) map[string]int {
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name] = i
	}
	return at
}

// placesOf finds for each of some names its place in a list, -1 if it has none.
func placesOf(names, list []string) []int {
	at := positions(list)
	places := make([]int, len(names))
	for i, name := range names {
		place, found := at[name]
		if !found {
			place = -1
		}
		places[i] = place
	}
	return slices.Clip(places)
}
