package influx

import (
	"context"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/readings"
)

// Bounds of one write to InfluxDB.
const (
	batchRows  = 5_000
	batchBytes = 4 << 20
)

// lateGap is how far apart late rows of a machine may be and still be read
// together.
const lateGap = time.Minute

// A batch is what a mirror writes at once, and where that brings it.
type batch struct {
	lines   []byte // readings
	records []byte // anomaly records
	rows    int
	late    []readings.LateRow

	anomalies         int
	rowsTo, recordsTo map[string]time.Time
	last              string // machine whose rows filled it
}

func (b *batch) empty() bool {
	return len(b.lines) == 0 && len(b.records) == 0 && len(b.late) == 0 && len(b.rowsTo) == 0
}

func (b *batch) full() bool { return b.rows >= batchRows || len(b.lines) >= batchBytes }

// collect gathers what InfluxDB does not have yet: new rows, late rows, and
// anomaly records.
func (m *Mirror) collect(ctx context.Context) (*batch, error) {
	b := &batch{rowsTo: map[string]time.Time{}, recordsTo: map[string]time.Time{}}
	machines := m.source.Machines()
	if m.cfg.Bucket != "" {
		if err := m.collectRows(ctx, b, machines); err != nil {
			return nil, err
		}
		if err := m.collectLate(b); err != nil {
			return nil, err
		}
	}
	now := m.cfg.Now()
	if m.cfg.Anomalies != "" && (m.looked.IsZero() || now.Sub(m.looked).Abs() >= min(anomaliesEvery, 5*m.look)) {
		if err := m.collectAnomalies(b, machines); err != nil {
			return nil, err
		}
		if b.anomalies == 0 {
			m.looked = now
		}
	}
	return b, nil
}

// collectRows adds rows behind the cursors. Machines take turns in going first.
func (m *Mirror) collectRows(ctx context.Context, b *batch, machines []readings.Info) error {
	first, _ := slices.BinarySearchFunc(machines, m.last+"\x00", func(i readings.Info, name string) int { return strings.Compare(i.Machine, name) })
	for n := range machines {
		info := machines[(first+n)%len(machines)]
		after, carried := m.rows.at[info.Machine]
		if carried && !info.Last.After(after) {
			continue
		}
		from := info.First
		if carried {
			from = after.Add(time.Microsecond)
		}
		err := m.source.Range(info.Machine, from, time.Time{}, func(r fettle.Reading) error {
			b.lines = codec.AppendLine(b.lines, r)
			b.rows++
			b.rowsTo[info.Machine] = r.Time
			if b.full() || ctx.Err() != nil {
				return readings.Stop
			}
			return nil
		})
		if err != nil && fettle.KindOf(err) != fettle.NotFound {
			return err
		}
		if b.full() || ctx.Err() != nil {
			b.last = info.Machine
			break
		}
	}
	return ctx.Err()
}

// collectLate adds rows that were stored behind the cursors.
func (m *Mirror) collectLate(b *batch) error {
	late, err := m.source.LateRows(batchRows - b.rows)
	if err != nil {
		return err
	}
	for len(late) > 0 {
		n := 1
		for n < len(late) && late[n].Machine == late[0].Machine && late[n].Time.Sub(late[n-1].Time) <= lateGap {
			n++
		}
		if err := m.addLate(b, late[:n]); err != nil {
			return err
		}
		late = late[n:]
		if len(b.lines) >= batchBytes {
			break
		}
	}
	return nil
}

// addLate adds late rows of one machine that lie close together. Those that are
// gone by now, for their age, are not written.
func (m *Mirror) addLate(b *batch, late []readings.LateRow) error {
	wanted := make(map[int64]bool, len(late))
	for _, l := range late {
		wanted[l.Time.UnixMicro()] = true
	}
	end := late[len(late)-1].Time.Add(time.Microsecond)
	err := m.source.Range(late[0].Machine, late[0].Time, end, func(r fettle.Reading) error {
		if wanted[r.Time.UnixMicro()] {
			b.lines = codec.AppendLine(b.lines, r)
			b.rows++
		}
		return nil
	})
	if err != nil && fettle.KindOf(err) != fettle.NotFound {
		return err
	}
	b.late = append(b.late, late...)
	return nil
}

// collectAnomalies adds anomaly records behind the cursors.
func (m *Mirror) collectAnomalies(b *batch, machines []readings.Info) error {
	for _, info := range machines {
		found, err := m.anomalies(info.Machine, m.records.at[info.Machine], batchRows-b.anomalies)
		if err != nil {
			return err
		}
		for _, a := range found {
			b.records = appendAnomaly(b.records, a)
			b.anomalies++
			b.recordsTo[info.Machine] = a.Time
		}
		if b.anomalies >= batchRows {
			return nil
		}
	}
	return nil
}
