// Package days is the door to Parquet, the open format of readings that last:
// one machine's day (or its rollups) as a file that DuckDB, pandas, polars and
// Spark read as it is. Tables of columns go in through a Writer and come out
// through a Reader, bit by bit the same. It never opens a file itself, and
// never reads what has not been compared with its checksum before: on damaged
// input the library beneath panics, or worse.
//
//	time      TIMESTAMP(us, UTC), DELTA_BINARY_PACKED, ascending
//	<sensor>  DOUBLE; optional if the sensor was silent in some row; dictionary
//	          if it has few different values, else BYTE_STREAM_SPLIT
//	tags      STRING, a JSON object; optional, and there only if any row has tags
//
// Pages are compressed with zstd. A day is one row group unless it is so large
// that whoever reads it would need too much memory at once.
package days

import (
	"fmt"
	"regexp"
)

// A Table is some rows of one machine as columns.
type Table struct {
	Sensors []string    // sorted
	Times   []int64     // (rows), ascending, microseconds since 1970 UTC
	Columns [][]float64 // (sensors, rows); NaN where a sensor was silent
	Tags    []string    // (rows), JSON objects, empty where there are none; nil if there are none at all
}

// Rows counts the table's rows.
func (t Table) Rows() int { return len(t.Times) }

// Columns that are not sensors. machine is none, but tools take the name from
// the folder (machine=<name>) and would lose a sensor of that name.
const (
	timeColumn = "time"
	tagsColumn = "tags"
)

// taken are the names that a sensor's column must not have, with any number of
// underscores, so that one more can be added and taken away again.
var taken = regexp.MustCompile(`^(time|tags|machine)_*$`)

// columnOf is the name of a sensor's column: its own, if that is not taken.
func columnOf(sensor string) string {
	if taken.MatchString(sensor) {
		return sensor + "_"
	}
	return sensor
}

// sensorOf is columnOf's inverse.
func sensorOf(column string) string {
	if taken.MatchString(column) {
		return column[:len(column)-1]
	}
	return column
}

// survive turns a panic of the library into an error.
func survive(what string, err *error) {
	if bug := recover(); bug != nil {
		*err = fmt.Errorf("%s: parquet library panicked: %v", what, bug)
	}
}
