package days

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func write(t rapid.TB, tables ...Table) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewPress().NewWriter(&file, tables[0], len(tables) > 1)
	for _, table := range tables {
		if err == nil {
			err = w.Write(table)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func read(t rapid.TB, file []byte) []Table {
	t.Helper()
	r, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var tables []Table
	for g := range r.Groups() {
		table := Table{Sensors: r.Sensors(), Times: make([]int64, r.Rows(g))}
		err := r.Times(g, table.Times)
		for i := range r.Sensors() {
			column := make([]float64, r.Rows(g))
			if err == nil {
				err = r.Column(g, i, 0, column)
			}
			table.Columns = append(table.Columns, column)
		}
		if err == nil {
			table.Tags, err = r.Tags(g, 0, r.Rows(g))
		}
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	return tables
}

// bitsOf shows a table such that -0 is not 0.
func bitsOf(t Table) string {
	var bits [][]uint64
	for _, column := range t.Columns {
		var b []uint64
		for _, v := range column {
			if math.IsNaN(v) {
				v = math.NaN()
			}
			b = append(b, math.Float64bits(v))
		}
		bits = append(bits, b)
	}
	return fmt.Sprintf("%q %v %x %q", t.Sensors, t.Times, bits, t.Tags)
}

// Whatever is written is read back, bit by bit.
func TestReadsBack(t *testing.T) {
	name := rapid.OneOf(rapid.SampledFrom([]string{"time", "time_", "tags", "machine", "a", "A", "a.b", "Wärme °C"}), rapid.StringN(1, 10, 40))
	value := rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, 2.5, math.NaN(), math.MaxFloat64, 5e-324}), rapid.Float64())
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(name, 0, 5, rapid.ID[string]).Draw(t, "names")
		slices.Sort(names)
		groups := rapid.IntRange(1, 3).Draw(t, "groups")
		tagged := rapid.Bool().Draw(t, "tagged")
		var tables []Table
		for g := range groups {
			n := rapid.IntRange(1, 40).Draw(t, "rows")
			table := Table{Sensors: names, Times: make([]int64, n)}
			for i := range table.Times {
				table.Times[i] = int64(g*1_000_000) + int64(i*rapid.IntRange(1, 9).Draw(t, "step"))
			}
			for range names {
				table.Columns = append(table.Columns, rapid.SliceOfN(value, n, n).Draw(t, "values"))
			}
			if tagged || groups > 1 {
				table.Tags = rapid.SliceOfN(rapid.SampledFrom([]string{"", `{"a":"b"}`, `{"c":"d"}`}), n, n).Draw(t, "tags")
			}
			tables = append(tables, table)
		}
		got := read(t, write(t, tables...))
		if len(got) != groups {
			t.Fatalf("%d groups, expected %d", len(got), groups)
		}
		for i := range tables {
			if bitsOf(got[i]) != bitsOf(tables[i]) {
				t.Fatalf("group %d is\n%s\nexpected\n%s", i, bitsOf(got[i]), bitsOf(tables[i]))
			}
		}
	})
}

// A long day goes through several pages, and through all encodings.
func TestManyRows(t *testing.T) {
	const n = 200_000
	table := Table{Sensors: []string{"few", "gaps", "many"}, Times: make([]int64, n), Columns: [][]float64{make([]float64, n), make([]float64, n), make([]float64, n)}}
	for i := range n {
		table.Times[i] = int64(i) * 432_000
		table.Columns[0][i] = float64(i % 100)
		table.Columns[1][i] = math.Sqrt(float64(i))
		table.Columns[2][i] = math.Sin(float64(i))
		if i%3 == 0 {
			table.Columns[1][i] = math.NaN()
		}
	}
	got := read(t, write(t, table))
	if len(got) != 1 || bitsOf(got[0]) != bitsOf(table) {
		t.Error("a long table does not read back")
	}
}

// Damaged input is an error. (Nobody reads a file whose checksum is wrong; this
// is the belt to those braces.)
func FuzzOpen(f *testing.F) {
	f.Add(write(f, Table{Sensors: []string{"a"}, Times: []int64{1, 2}, Columns: [][]float64{{1, math.NaN()}}, Tags: []string{"", "{}"}}))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		r, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		for g := range min(r.Groups(), 3) {
			if n := r.Rows(g); n >= 0 && n < 1000 {
				_ = r.Times(g, make([]int64, n))
				for i := range r.Sensors() {
					_ = r.Column(g, i, 0, make([]float64, n))
				}
			}
		}
	})
}
