package readings

import (
	"context"
	"testing"
	"time"

	"fettle"
	"fettle/internal/plant"
)

// plantDay is a day of one simulated machine, a reading every 2 s, and the
// reading after it.
func plantDay(tb testing.TB) []fettle.Reading {
	p, err := plant.New(plant.Options{Start: dayStart, Interval: 2 * time.Second, Seed: 1, Names: []string{"m"}})
	if err != nil {
		tb.Fatal(err)
	}
	var rows []fettle.Reading
	for range 43_201 {
		_, messages := p.Next()
		rows = append(rows, messages[0].Reading)
	}
	return rows
}

// BenchmarkSeal seals a day of 43,200 rows.
func BenchmarkSeal(b *testing.B) {
	s := benchStore(b)
	day := plantDay(b)
	b.StopTimer()
	b.ResetTimer()
	b.ReportAllocs()
	for range b.N {
		if _, err := s.Append(day); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if n, err := s.SealAll(context.Background()); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		b.StopTimer()
		for i := range day {
			day[i].Time = day[i].Time.AddDate(0, 0, 1)
		}
	}
}

// BenchmarkColumns reads 30 closed days as columns.
func BenchmarkColumns(b *testing.B) {
	s := benchStore(b)
	day := plantDay(b)
	for range 30 {
		if _, err := s.Append(day); err != nil {
			b.Fatal(err)
		}
		for i := range day {
			day[i].Time = day[i].Time.AddDate(0, 0, 1)
		}
	}
	if _, err := s.SealAll(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		if w, err := s.Window("m", dayStart.AddDate(0, 0, 29).Add(-1), 29*43_200, nil); err != nil || w.Rows() != 29*43_200 {
			b.Fatal(w.Rows(), err)
		}
	}
}

// BenchmarkLastClosed reads the newest 50 rows when all but one are in the file
// of a closed day.
func BenchmarkLastClosed(b *testing.B) {
	s := benchStore(b)
	if _, err := s.Append(plantDay(b)); err != nil {
		b.Fatal(err)
	}
	if n, err := s.SealAll(context.Background()); n != 1 || err != nil {
		b.Fatal(n, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if rows, err := s.Last("m", time.Time{}, 50); err != nil || len(rows) != 50 {
			b.Fatal(len(rows), err)
		}
	}
}
