package model

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"fettle"
)

// plantOf1000 is a folder of 1,000 machines with three forecasters, four
// versions each.
func plantOf1000(b *testing.B) *Folder {
	dir := b.TempDir()
	for machine := range 1000 {
		for i := range 12 {
			at := time.Date(2025, 1, 1, 0, 0, i, 0, time.UTC).Format(stampLayout)
			card := fmt.Sprintf(`{"family": "ridge", "sensors": ["x", "y"], "context": 50, "horizon": 10, "forecaster": %q}`, []string{"short", "hour", "days"}[i%3])
			writeAll(b, filepath.Join(dir, fmt.Sprintf("model_m%03d_%s", machine, at)), withFiles(ridge(), "fettle.json", card))
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	started := time.Now()
	f, _ := open(b, dir)
	opened := time.Since(started)
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("12,000 versions opened in %v, %d bytes each", opened.Round(time.Millisecond), int64(after.HeapAlloc-before.HeapAlloc)/12_000)
	return f
}

func BenchmarkManyMachines(b *testing.B) {
	f := plantOf1000(b)
	b.Run("publish", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.Publish(publication("m500"), writeRidge); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("promote", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := f.Promote(fmt.Sprintf("model_m001_20250101_00000%d", i%4*3), Decision{Reason: "bench"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("champion", func(b *testing.B) {
		for b.Loop() {
			if _, found := f.Champion("m500", fettle.ShortForecaster); !found {
				b.Fatal("no champion")
			}
		}
	})
	b.Run("versions of a machine", func(b *testing.B) {
		for b.Loop() {
			if len(f.Versions("m499")) != 12 {
				b.Fatal("lost versions")
			}
		}
	})
	b.Run("look at all", func(b *testing.B) {
		for b.Loop() {
			if err := f.scan(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
