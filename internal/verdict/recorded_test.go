package verdict

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"fettle"
)

// recorded reads a recording: the first column is the time, the rest are
// sensors but for those to leave out. The rows get times a second apart, so
// that the detector sees the file without gaps, row for row.
func recorded(t *testing.T, path string, comma rune, leaveOut ...string) []fettle.Reading {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := csv.NewReader(file)
	lines.Comma = comma
	all, err := lines.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]fettle.Reading, len(all)-1)
	for i, line := range all[1:] {
		rows[i] = fettle.Reading{Machine: "m", Time: at(i)}
		for c, sensor := range all[0] {
			if c == 0 || slices.Contains(leaveOut, sensor) {
				continue
			}
			value, err := strconv.ParseFloat(line[c], 64)
			if err != nil {
				t.Fatalf("%s row %d: %v", path, i, err)
			}
			rows[i].Values = append(rows[i].Values, fettle.Value{Sensor: sensor, Value: value})
		}
		rows[i].Values = fettle.SortValues(rows[i].Values)
	}
	return rows
}

// at is the time of a row.
func at(row int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(row) * time.Second)
}

// sourceOf hands over rows from memory.
func sourceOf(rows []fettle.Reading) source {
	return func(yield func(fettle.Reading) error) error {
		for _, r := range rows {
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	}
}

// strangeness fits on the first n0 rows and runs the bare detector over all,
// learning from row n0 on. Returned are S and the state of every row.
func strangeness(t *testing.T, rows []fettle.Reading, n0 int) (s []float64, on []bool) {
	t.Helper()
	m, err := fit(sourceOf(rows[:n0]))
	if err != nil {
		t.Fatal(err)
	}
	d := newDetector(m)
	z := make([]float64, m.dims())
	for i, r := range rows {
		for j, sensor := range m.sensors {
			value, _ := r.Value(sensor)
			z[j] = m.scaled(j, value)
		}
		d.observe(z, 0, i >= n0)
		s, on = append(s, d.strange), append(on, d.on)
	}
	return s, on
}
