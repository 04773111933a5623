package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// prometheus is its tsdb, with blocks of up to 31 days, as for a long retention.
type prometheus struct {
	dir       string
	db        *tsdb.DB
	names     []labels.Labels
	refs      []storage.SeriesRef
	appender  storage.Appender
	compacted int64
}

func openPrometheus(dir string, h header) (engine, error) {
	options := tsdb.DefaultOptions()
	options.RetentionDuration = (20 * 365 * 24 * time.Hour).Milliseconds()
	options.MaxBlockDuration = (31 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions() // by its own timer; flush does it in time
	p := &prometheus{dir: dir, db: db, appender: db.Appender(context.Background())}
	for _, machine := range h.Machines {
		for _, sensor := range h.Sensors {
			p.names = append(p.names, labels.FromStrings("__name__", sensor, "machine", machine))
		}
	}
	p.refs = make([]storage.SeriesRef, len(p.names))
	return p, nil
}

func (p *prometheus) module() string { return "github.com/prometheus/prometheus" }

func (p *prometheus) add(series int, millis int64, value float64) (err error) {
	p.refs[series], err = p.appender.Append(p.refs[series], p.names[series], millis, value)
	return err
}

func (p *prometheus) flush(newest int64) error {
	if err := p.appender.Commit(); err != nil {
		return err
	}
	p.appender = p.db.Appender(context.Background())
	const often = 2 * 60 * 60 * 1000
	if newest < p.compacted+often {
		return nil
	}
	p.compacted = newest
	return p.db.Compact(context.Background())
}

// settle makes blocks of all that is in the head too.
func (p *prometheus) settle() error {
	if err := p.appender.Commit(); err != nil {
		return err
	}
	head := p.db.Head()
	if err := p.db.CompactHead(tsdb.NewRangeHead(head, head.MinTime(), head.MaxTime())); err != nil {
		return err
	}
	return p.db.Compact(context.Background())
}

func (p *prometheus) read(from, to int64, series []int) (samples int64, err error) {
	querier, err := p.db.Querier(from, to-1)
	if err != nil {
		return 0, err
	}
	defer querier.Close()
	var it chunkenc.Iterator
	for _, n := range series {
		var matchers []*labels.Matcher
		p.names[n].Range(func(l labels.Label) {
			matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
		})
		set := querier.Select(context.Background(), false, nil, matchers...)
		var column struct {
			times  []int64
			values []float64
		}
		for set.Next() {
			it = set.At().Iterator(it)
			for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
				if kind != chunkenc.ValFloat {
					return 0, fmt.Errorf("%s has a sample that is no number", p.names[n])
				}
				at, value := it.At()
				column.times, column.values = append(column.times, at), append(column.values, value)
			}
			if err := it.Err(); err != nil {
				return 0, err
			}
		}
		if err := set.Err(); err != nil {
			return 0, err
		}
		samples += int64(len(column.values))
	}
	return samples, nil
}

// close leaves the blocks only: what else is there has been made into them.
func (p *prometheus) close() error {
	if err := p.db.Close(); err != nil {
		return err
	}
	for _, other := range []string{"wal", "wbl", "chunks_head"} {
		if err := os.RemoveAll(filepath.Join(p.dir, other)); err != nil {
			return err
		}
	}
	return nil
}
