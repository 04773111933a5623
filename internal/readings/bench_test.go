package readings

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// plantRows makes n rows of machines that speak in turn, one row each 2 s.
func plantRows(machines, n int) []fettle.Reading {
	rows := make([]fettle.Reading, n)
	for i := range rows {
		tick := float64(i / machines)
		rows[i] = fettle.Reading{
			Machine: fmt.Sprintf("mill-%d", i%machines),
			Time:    at(2 * (i / machines)),
			Values: []fettle.Value{
				{Sensor: "accX", Value: 0.01 * tick}, {Sensor: "accY", Value: 0.02 * tick}, {Sensor: "accZ", Value: 1},
				{Sensor: "current", Value: 12.5 + 0.001*tick}, {Sensor: "tempA", Value: 45.1}, {Sensor: "tempB", Value: 42 + 0.1*tick},
			},
			Tags: map[string]string{"sensor_type": "industrial"},
		}
	}
	return rows
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	d, err := db.Open(b.TempDir(), db.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	s, err := Open(d, b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAppend appends rows that are newer than all before, in calls of
// different size; one operation is one row.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ machines, batch int }{{3, 1}, {100, 100}, {3, 1000}, {3, 10_000}, {1000, 10_000}} {
		b.Run(fmt.Sprintf("%dmachines/%drows", c.machines, c.batch), func(b *testing.B) {
			s := benchStore(b)
			rows := plantRows(c.machines, c.batch)
			step := time.Duration(2*(c.batch/c.machines+1)) * time.Second
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += c.batch {
				if _, err := s.Append(rows); err != nil {
					b.Fatal(err)
				}
				for i := range rows {
					rows[i].Time = rows[i].Time.Add(step)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkMerge redelivers rows: each costs a read.
func BenchmarkMerge(b *testing.B) {
	s := benchStore(b)
	rows := plantRows(3, 1000)
	for range b.N/1000 + 1 {
		if _, err := s.Append(rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	for i := range 20 {
		rows := plantRows(3, 10_000)
		for j := range rows {
			rows[j].Time = rows[j].Time.Add(time.Duration(i) * 10_000 * time.Second)
		}
		if _, err := s.Append(rows); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{50, 60_000} {
		b.Run(fmt.Sprintf("window/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if w, err := s.Window("mill-0", time.Time{}, n, nil); err != nil || w.Rows() != n {
					b.Fatal(w.Rows(), err)
				}
			}
		})
		b.Run(fmt.Sprintf("last/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if rows, err := s.Last("mill-0", time.Time{}, n); err != nil || len(rows) != n {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
}
