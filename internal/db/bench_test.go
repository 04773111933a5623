package db

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
)

// BenchmarkCommit has writers that each wait for the sync of their record of
// 100 bytes before they write the next.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64, 500} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			d, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			value := make([]byte, 80)
			var all sync.WaitGroup
			b.ResetTimer()
			for i := range writers {
				all.Go(func() {
					for n := i; n < b.N; n += writers {
						batch := d.NewBatch()
						batch.Set(binary.BigEndian.AppendUint64(nil, uint64(n)), value)
						if err := d.Commit(batch, Synced); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}
