package verdict

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// A room is a judge with its store, in a folder of its own.
type room struct {
	*Judge
	t    *testing.T
	dir  string
	db   *db.DB
	rows *readings.Store
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, dir: t.TempDir()}
	r.open()
	t.Cleanup(func() {
		mustBeSound(t, r.rows)
		r.db.Close()
	})
	return r
}

func (r *room) open() {
	r.t.Helper()
	var err error
	if r.db, err = db.Open(filepath.Join(r.dir, "db"), db.Options{}); err != nil {
		r.t.Fatal(err)
	}
	if r.rows, err = readings.Open(r.db, r.dir, nil); err != nil {
		r.t.Fatal(err)
	}
	r.restart()
}

// restart is a new judge over the same store: the old one's memory is gone.
func (r *room) restart() {
	r.t.Helper()
	var err error
	if r.Judge, err = New(r.db, r.rows, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		r.t.Fatal(err)
	}
}

// unlearn removes what was saved of a machine.
func (r *room) unlearn(machine string) {
	r.t.Helper()
	batch := r.db.NewBatch()
	for _, prefix := range []string{modelPrefix, statePrefix, quarantinePrefix, chunkPrefix} {
		batch.DeleteRange(key(prefix, machine), db.After(key(prefix, machine)))
	}
	if err := r.db.Commit(batch, db.Lazy); err != nil {
		r.t.Fatal(err)
	}
	r.restart()
}

// reopen is a stop and a start.
func (r *room) reopen() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// store stores rows without judging them.
func (r *room) store(rows []fettle.Reading) {
	r.t.Helper()
	for part := range chunked(rows, 2000) {
		if _, err := r.rows.Append(part); err != nil {
			r.t.Fatal(err)
		}
	}
}

func chunked(rows []fettle.Reading, size int) func(func([]fettle.Reading) bool) {
	return func(yield func([]fettle.Reading) bool) {
		for len(rows) > 0 {
			n := min(size, len(rows))
			if !yield(rows[:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

// judge judges stored rows and saves.
func (r *room) judge(rows []fettle.Reading) []fettle.Verdict {
	r.t.Helper()
	verdicts, err := r.Judge.Judge("m", rows)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Save("m"); err != nil {
		r.t.Fatal(err)
	}
	return verdicts
}

// live stores and judges rows, as they come.
func (r *room) live(rows []fettle.Reading) []fettle.Verdict {
	r.t.Helper()
	r.store(rows)
	var all []fettle.Verdict
	for part := range chunked(rows, 500) {
		all = append(all, r.judge(part)...)
	}
	return all
}

// healthy makes rows of a machine without a fault: four sensors that follow a
// wandering load, one of them doing so with a lag.
func healthy(n int, seed uint64) []fettle.Reading {
	noise := rand.New(rand.NewPCG(seed, 7))
	load, heat := 0.0, 0.0
	rows := make([]fettle.Reading, n)
	for i := range rows {
		load += -0.1*load + 0.2*noise.NormFloat64()
		heat += 0.05 * (load - heat)
		rows[i] = fettle.Reading{Machine: "m", Time: at(i), Values: []fettle.Value{
			{Sensor: "current", Value: 12.5 + load + 0.1*noise.NormFloat64()},
			{Sensor: "noise", Value: noise.NormFloat64()},
			{Sensor: "tempA", Value: 65 + 2*heat + 0.2*noise.NormFloat64()},
			{Sensor: "tempB", Value: 60 + 2*heat + 0.2*noise.NormFloat64()},
		}}
	}
	return rows
}

// wandering makes rows of many sensors that drift about, each on its own.
func wandering(n, sensors int, seed uint64) []fettle.Reading {
	noise := rand.New(rand.NewPCG(seed, 7))
	values := make([]fettle.Value, sensors)
	for s := range values {
		values[s].Sensor = fmt.Sprintf("s%02d", s)
	}
	rows := make([]fettle.Reading, n)
	for i := range rows {
		for s := range values {
			values[s].Value = 0.9*values[s].Value + noise.NormFloat64()
		}
		rows[i] = fettle.Reading{Machine: "m", Time: at(i), Values: slices.Clone(values)}
	}
	return rows
}

// change changes one sensor's readings from one row to before another.
func change(rows []fettle.Reading, sensor string, from, to int, by func(row int, value float64) float64) {
	for i := from; i < min(to, len(rows)); i++ {
		for v := range rows[i].Values {
			if rows[i].Values[v].Sensor == sensor {
				rows[i].Values[v].Value = by(i, rows[i].Values[v].Value)
			}
		}
	}
}

// silence lets a sensor say nothing in the rows that when names.
func silence(rows []fettle.Reading, sensor string, when func(row int) bool) {
	for i := range rows {
		if !when(i) {
			continue
		}
		var kept []fettle.Value
		for _, v := range rows[i].Values {
			if v.Sensor != sensor {
				kept = append(kept, v)
			}
		}
		rows[i].Values = kept
	}
}

func between(from, to int) func(int) bool {
	return func(row int) bool { return row >= from && row < to }
}

// worst is the highest score.
func worst(verdicts []fettle.Verdict) float64 {
	var score float64
	for _, v := range verdicts {
		score = max(score, v.Score)
	}
	return score
}

// mustBeSound checks everything in a store of readings.
func mustBeSound(t testing.TB, rows *readings.Store) {
	t.Helper()
	if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
		t.Errorf("check of the readings found %q, %v", r.Faults, err)
	}
}
