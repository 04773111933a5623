package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fettle"
)

// A Bucket says where in an InfluxDB readings are.
type Bucket struct {
	Name        string
	Measurement string // whose fields are the sensors
	MachineTag  string // whose values are the machines
}

// The stretches that a bucket is read in, so that no answer gets too long.
const (
	pieceFirst = time.Hour
	pieceLeast = time.Minute
	pieceMost  = 24 * time.Hour
	pieceRows  = 50_000 // that a stretch should have, about
)

// nextPiece is how long the stretch after one of n rows should be.
func nextPiece(piece time.Duration, n int64) time.Duration {
	longer := 2 * piece
	if n > pieceRows/2 {
		longer = time.Duration(float64(piece) * pieceRows / float64(n))
	}
	return min(max(longer, pieceLeast), pieceMost)
}

// submitRows is how many readings are handed on at once.
const submitRows = 5_000

// points is the begin of every query: the points of a stretch of time.
func (b Bucket) points(from, to time.Time) string {
	return fmt.Sprintf(`from(bucket: %s) |> range(start: %s, stop: %s) |> filter(fn: (r) => r._measurement == %s)`,
		Quote(b.Name), from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano), Quote(b.Measurement))
}

// read yields the readings of a stretch, some at a time; the slices are the
// receiver's. unnamed counts points that do not say whose they are.
func (b Bucket) read(ctx context.Context, c *Client, from, to time.Time, yield func([]fettle.Reading) error) (n, unnamed int64, err error) {
	answer, err := c.Query(ctx, b.points(from, to)+
		` |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> drop(columns: ["_start", "_stop", "_measurement"])`)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, answer.Close()) }()
	rows := NewRows(answer, b.MachineTag)
	chunk := make([]fettle.Reading, 0, submitRows)
	for {
		row, err := rows.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return n, rows.Unnamed, err
		}
		ended := err != nil
		if !ended {
			chunk = append(chunk, row)
			n++
		}
		if len(chunk) == submitRows || ended && len(chunk) > 0 {
			if err := yield(chunk); err != nil {
				return n, rows.Unnamed, err
			}
			chunk = make([]fettle.Reading, 0, submitRows)
		}
		if ended {
			return n, rows.Unnamed, nil
		}
	}
}
