package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// victoria is VictoriaMetrics' storage.
type victoria struct {
	dir   string
	store *storage.Storage
	h     header
	names [][]byte
	rows  []storage.MetricRow
}

func openVictoria(dir string, h header) (engine, error) {
	logger.SetOutputForTests(discard{})
	v := &victoria{dir: dir, h: h, store: storage.MustOpenStorage(dir, storage.OpenOptions{Retention: 20 * 365 * 24 * time.Hour})}
	for _, machine := range h.Machines {
		for _, sensor := range h.Sensors {
			v.names = append(v.names, storage.MarshalMetricNameRaw(nil, []prompb.Label{{Name: "", Value: sensor}, {Name: "machine", Value: machine}}))
		}
	}
	return v, nil
}

// discard takes what the engine says.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (v *victoria) module() string { return "github.com/VictoriaMetrics/VictoriaMetrics" }

func (v *victoria) add(series int, millis int64, value float64) error {
	v.rows = append(v.rows, storage.MetricRow{MetricNameRaw: v.names[series], Timestamp: millis, Value: value})
	return nil
}

func (v *victoria) flush(int64) error {
	const lossless = 64 // bits
	v.store.AddRows(v.rows, lossless)
	v.rows = v.rows[:0]
	return nil
}

// settle merges each month into one part.
func (v *victoria) settle() error {
	if err := v.flush(0); err != nil {
		return err
	}
	v.store.DebugFlush()
	return v.store.ForceMergePartitions("")
}

func (v *victoria) read(from, to int64, series []int) (samples int64, err error) {
	when := storage.TimeRange{MinTimestamp: from, MaxTimestamp: to - 1}
	for _, n := range series {
		filters := storage.NewTagFilters()
		if err := filters.Add(nil, []byte(v.h.Sensors[n%len(v.h.Sensors)]), false, false); err != nil {
			return 0, err
		}
		if err := filters.Add([]byte("machine"), []byte(v.h.Machines[n/len(v.h.Sensors)]), false, false); err != nil {
			return 0, err
		}
		got, err := v.column(filters, when)
		if err != nil {
			return 0, err
		}
		samples += got
	}
	return samples, nil
}

func (v *victoria) column(filters *storage.TagFilters, when storage.TimeRange) (samples int64, err error) {
	var search storage.Search
	search.Init(nil, v.store, []*storage.TagFilters{filters}, when, 10, uint64(time.Now().Add(time.Hour).Unix()))
	defer search.MustClose()
	var times []int64
	var values []float64
	var block storage.Block
	for search.NextMetricBlock() {
		search.MetricBlockRef.BlockRef.MustReadBlock(&block)
		if err := block.UnmarshalData(); err != nil {
			return 0, fmt.Errorf("decode block: %w", err)
		}
		times, values = block.AppendRowsWithTimeRangeFilter(times, values, when)
	}
	return int64(len(values)), search.Error()
}

// close leaves the data and the index of them.
func (v *victoria) close() error {
	v.store.MustClose()
	return os.RemoveAll(filepath.Join(v.dir, "cache"))
}
