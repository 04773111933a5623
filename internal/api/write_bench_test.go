package api

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkWriteLines is a request of 5,000 lines, stored when it is answered.
func BenchmarkWriteLines(b *testing.B) {
	p := newPlant(b)
	at := noon.UnixMicro()
	for b.Loop() {
		b.StopTimer()
		var body strings.Builder
		for line := range 5000 {
			at += 100_000
			fmt.Fprintf(&body, "sensor_data,workspace_id=machine-%d,sensor_type=industrial current=17.21,accX=0.1311,accY=-0.0402,accZ=1.0007,tempA=60.12,tempB=61.4 %d\n", line%3, at-1e12)
		}
		b.StartTimer()
		if w := p.do("POST", "/write?precision=us", body.String()); w.Code != 204 {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
