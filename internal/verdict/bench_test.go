package verdict

import (
	"fmt"
	"testing"

	"fettle"
)

// A row of eight sensors, and of as many as are judged together.
func BenchmarkRow(b *testing.B) {
	for _, d := range []int{8, MaxSensors} {
		b.Run(fmt.Sprintf("%d sensors", d), func(b *testing.B) {
			rows := wide(1000, d)
			m, err := fit(sourceOf(rows))
			if err != nil {
				b.Fatal(err)
			}
			w := newWatch(m)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.take(rows[i%len(rows)], true)
			}
		})
	}
}

// wide makes healthy rows with more sensors.
func wide(n, sensors int) []fettle.Reading {
	rows := healthy(n, 1)
	for s := range (sensors+3)/4 - 1 {
		for i, more := range healthy(n, uint64(2+s)) {
			for _, v := range more.Values {
				v.Sensor += fmt.Sprintf(" %02d", s)
				rows[i].Values = append(rows[i].Values, v)
			}
		}
	}
	for i := range rows {
		rows[i].Values = fettle.SortValues(rows[i].Values)
	}
	return rows
}

func BenchmarkFit(b *testing.B) {
	for _, d := range []int{8, MaxSensors} {
		b.Run(fmt.Sprintf("%d sensors", d), func(b *testing.B) {
			rows := wide(10_000, d)
			for b.Loop() {
				if _, err := fit(sourceOf(rows)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
		})
	}
}
