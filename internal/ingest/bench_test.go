package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"fettle"
)

// BenchmarkSubmit has senders that each wait for the synced commit of their
// reading of six sensors before they send the next; one operation is one
// message.
func BenchmarkSubmit(b *testing.B) {
	for _, senders := range []int{1, 20, 100, 500} {
		b.Run(fmt.Sprintf("%d senders", senders), func(b *testing.B) {
			s := newSite(b, Config{Now: time.Now})
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for i := range senders {
				all.Go(func() {
					machine := fmt.Sprint("mill-", i)
					for n := i; n < b.N; n += senders {
						r := fettle.Reading{Machine: machine, Values: []fettle.Value{
							{Sensor: "accX", Value: 0.1}, {Sensor: "accY", Value: 0.2}, {Sensor: "accZ", Value: 1},
							{Sensor: "current", Value: float64(n)}, {Sensor: "tempA", Value: 45}, {Sensor: "tempB", Value: 42},
						}, Tags: map[string]string{"sensor_type": "industrial"}}
						if _, err := s.Submit(context.Background(), []fettle.Reading{r}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(b.N)/float64(s.Stats().Commits), "messages/commit")
		})
	}
}
