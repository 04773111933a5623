package readings

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/db"
)

// plain is the store as a map: what it must behave like.
type plain map[string]map[int64]fettle.Reading

func (p plain) append(rows []fettle.Reading) {
	for _, r := range rows {
		if p[r.Machine] == nil {
			p[r.Machine] = map[int64]fettle.Reading{}
		}
		at := r.Time.UnixMicro()
		if old, found := p[r.Machine][at]; found {
			r.Values = fettle.Merge(old.Values, r.Values)
			if r.Tags == nil {
				r.Tags = old.Tags
			}
		}
		p[r.Machine][at] = r
	}
}

// rows are a machine's rows with from <= time < to.
func (p plain) rows(machine string, from, to time.Time) []fettle.Reading {
	var rows []fettle.Reading
	for _, at := range slices.Sorted(maps.Keys(p[machine])) {
		r := p[machine][at]
		if !r.Time.Before(from) && r.Time.Before(to) {
			rows = append(rows, r)
		}
	}
	return rows
}

func (p plain) latest(machine string) []fettle.Value {
	var latest []fettle.Value
	for _, r := range p.rows(machine, farPast, farFuture) {
		latest = fettle.Merge(latest, r.Values)
	}
	return latest
}

func (p plain) info(machine string) Info {
	rows := p.rows(machine, farPast, farFuture)
	info := Info{Machine: machine, First: rows[0].Time, Last: rows[len(rows)-1].Time, Rows: int64(len(rows))}
	for _, v := range p.latest(machine) {
		info.Sensors = append(info.Sensors, v.Sensor)
	}
	return info
}

func (p plain) window(machine string, until time.Time, n int, sensors []string) [][]float64 {
	rows := p.rows(machine, farPast, until.Add(1))
	rows = rows[max(0, len(rows)-n):]
	columns := make([][]float64, len(sensors))
	for i, sensor := range sensors {
		for _, r := range rows {
			value, said := r.Value(sensor)
			if !said {
				value = math.NaN()
			}
			columns[i] = append(columns[i], value)
		}
	}
	return columns
}

var (
	farPast   = time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)
	farFuture = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Few times and sensors, so that everything meets: some seconds at the borders
// of three days.
var (
	someSensor = rapid.SampledFrom([]string{"current", "temp", "x", "y", "z"})
	someTime   = rapid.Custom(func(t *rapid.T) time.Time {
		near := rapid.SampledFrom([]int64{0, dayMicros, dayMicros + hourMicros, 2 * dayMicros}).Draw(t, "near")
		off := rapid.SampledFrom([]int64{1, 10_000_000}).Draw(t, "unit") * rapid.Int64Range(-7, 7).Draw(t, "off")
		return time.UnixMicro(near + off).UTC()
	})
)

func someReading(machine *rapid.Generator[string]) *rapid.Generator[fettle.Reading] {
	return rapid.Custom(func(t *rapid.T) fettle.Reading {
		r := fettle.Reading{Machine: machine.Draw(t, "machine"), Time: someTime.Draw(t, "time")}
		for _, sensor := range rapid.SliceOfN(someSensor, 1, 5).Draw(t, "sensors") {
			r.Values = append(r.Values, fettle.Value{Sensor: sensor, Value: rapid.Float64().Draw(t, "value")})
		}
		r.Values = fettle.SortValues(r.Values)
		if rapid.Bool().Draw(t, "tagged") {
			r.Tags = map[string]string{"shift": rapid.SampledFrom([]string{"early", "late"}).Draw(t, "shift")}
		}
		return r
	})
}

// Whatever comes in whatever order, the store answers as the map does, also
// after it was closed and opened again.
func TestStoreIsLikeAMap(t *testing.T) {
	dir := t.TempDir()
	d, s := mustReopen(t, nil, dir)
	defer func() { d.Close() }()
	plant := 0 // all share a store, each with machines of its own
	rapid.Check(t, func(t *rapid.T) {
		plant++
		someMachine := rapid.Map(rapid.SampledFrom([]string{"", "\x00", "b"}), func(name string) string {
			return fmt.Sprint(plant, "a", name)
		})
		model := plain{}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				rows := rapid.SliceOfN(someReading(someMachine), 1, 12).Draw(t, "rows")
				model.append(rows)
				done, err := s.Append(rows)
				if err != nil || done.New+done.Merged != len(rows) {
					t.Fatalf("Append of %d rows did %+v, %v", len(rows), done, err)
				}
			},
			"reopen": func(t *rapid.T) {
				d, s = mustReopen(t, d, dir)
				s.mostNumbers = rapid.SampledFrom([]int{12, mostNumbers}).Draw(t, "numbers in a row group")
			},
			"range":  func(t *rapid.T) { compareRange(t, s, model, someMachine.Draw(t, "machine")) },
			"window": func(t *rapid.T) { compareWindow(t, s, model, someMachine.Draw(t, "machine")) },
			"points": func(t *rapid.T) { comparePoints(t, s, model, someMachine.Draw(t, "machine")) },
			"means":  func(t *rapid.T) { compareMeans(t, s, model, someMachine.Draw(t, "machine")) },
			"seal": func(t *rapid.T) {
				machine, day := someMachine.Draw(t, "machine"), someTime.Draw(t, "day")
				if model[machine] == nil {
					return
				}
				if _, err := s.Seal(machine, day); err != nil {
					t.Fatal(err)
				}
			},
			"check": func(t *rapid.T) {
				for machine := range model {
					r := Report{}
					m, _ := s.machine(machine)
					if err := s.checkMachine(m, &r); err != nil || len(r.Faults) > 0 {
						t.Fatalf("check found %q, %v", r.Faults, err)
					}
				}
			},
			"": func(t *rapid.T) {
				for machine := range model {
					compare(t, "info", fmt.Sprint(plainInfo(s, machine)), fmt.Sprint(model.info(machine)))
					compare(t, "latest", fmt.Sprint(s.Latest(machine)), fmt.Sprint(model.latest(machine)))
				}
			},
		})
	})
}

// plainInfo is an Info without what a map does not know.
func plainInfo(s *Store, machine string) Info {
	info, _ := s.Info(machine)
	info.Bytes = 0
	return info
}

func mustReopen(t rapid.TB, d *db.DB, dir string) (*db.DB, *Store) {
	if d != nil {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(d, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

func compare(t *rapid.T, what, got, want string) {
	if got != want {
		t.Fatalf("%s is\n%s\nexpected\n%s", what, got, want)
	}
}

func compareRange(t *rapid.T, s *Store, model plain, machine string) {
	if model[machine] == nil {
		return
	}
	from, to, n := someTime.Draw(t, "from"), someTime.Draw(t, "to"), rapid.IntRange(0, 10).Draw(t, "n")
	var got []fettle.Reading
	if err := s.Range(machine, from, to, func(r fettle.Reading) error {
		got = append(got, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	compare(t, "range", fmt.Sprint(got), fmt.Sprint(model.rows(machine, from, to)))

	last, err := s.Last(machine, to, n)
	if err != nil {
		t.Fatal(err)
	}
	want := model.rows(machine, farPast, to.Add(1))
	compare(t, "last", fmt.Sprint(last), fmt.Sprint(want[max(0, len(want)-n):]))
}

func compareWindow(t *rapid.T, s *Store, model plain, machine string) {
	if model[machine] == nil {
		return
	}
	until, n := someTime.Draw(t, "until"), rapid.IntRange(1, 10).Draw(t, "n")
	sensors := rapid.SliceOfNDistinct(someSensor, 0, 5, rapid.ID[string]).Draw(t, "sensors")
	w, err := s.Window(machine, until, n, sensors)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "window", fmt.Sprint(w.Columns), fmt.Sprint(model.window(machine, until, n, sensors)))
}

func comparePoints(t *rapid.T, s *Store, model plain, machine string) {
	if model[machine] == nil {
		return
	}
	from, to := someTime.Draw(t, "from"), someTime.Draw(t, "to")
	sensors := rapid.SliceOfNDistinct(someSensor, 1, 5, rapid.ID[string]).Draw(t, "sensors")
	most := rapid.SampledFrom([]int{1, 2, 3, 7, 60, 3000}).Draw(t, "most")
	p, err := s.Points(machine, sensors, from, to, most)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Times) > most {
		t.Fatalf("%d points, at most %d were asked for", len(p.Times), most)
	}
	begin, end := from.UnixMicro(), to.UnixMicro()
	if width := p.Resolution.width(); width > 0 {
		begin, end = floorTo(begin, width), roundUp(end, width)
	}
	rows := model.rows(machine, fromMicros(begin), fromMicros(end))
	bucket := func(micros int64) int { // the last point that begins no later
		i, found := slices.BinarySearchFunc(p.Times, fromMicros(micros), time.Time.Compare)
		if !found {
			i--
		}
		return i
	}
	want := make([][]stat, len(sensors))
	for i, sensor := range sensors {
		want[i] = make([]stat, len(p.Times))
		for _, r := range rows {
			b := bucket(r.Time.UnixMicro())
			if b < 0 || p.Step > 0 && r.Time.Sub(p.Times[b]) >= p.Step || p.Step == 0 && !r.Time.Equal(p.Times[b]) {
				t.Fatalf("row at %v has no point in %v, step %v", r.Time, p.Times, p.Step)
			}
			if v, said := r.Value(sensor); said {
				want[i][b].add(v)
			}
		}
		for b, w := range want[i] {
			min, max, mean := p.Min[i][b], p.Max[i][b], p.Mean[i][b]
			silent := math.IsNaN(min) && math.IsNaN(max) && math.IsNaN(mean)
			exact := min == w.min && max == w.max && near(mean, w.mean, w)
			if (w.count == 0) != silent || w.count > 0 && !exact {
				t.Fatalf("point at %v of %s is %v %v %v, expected %+v", p.Times[b], sensor, min, max, mean, w)
			}
		}
	}
}

// near allows for another order of adding up.
func near(got, want float64, s stat) bool {
	scale := math.Max(math.Abs(s.min), math.Abs(s.max))
	return math.Abs(got-want) <= 1e-12*scale || math.Abs(got-want) <= 5e-323
}
