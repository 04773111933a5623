package readings

import (
	"fmt"
	"slices"
	"testing"

	"fettle"
)

// A row is noted when it is stored at or behind its machine's watermark, once,
// over restarts, until it is forgotten; forgetting spares what came since.
func TestLateRowsAreNoted(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, dir+"/db")
	s := openIn(t, d, dir)
	put := func(machine string, seconds ...int) {
		t.Helper()
		var rows []fettle.Reading
		for _, n := range seconds {
			rows = append(rows, fettle.Reading{Machine: machine, Time: at(n), Values: []fettle.Value{{Sensor: "a", Value: 1}}})
		}
		if _, err := s.Append(rows); err != nil {
			t.Fatal(err)
		}
	}
	noted := func(n int) (rows []LateRow, shown []string) {
		t.Helper()
		rows, err := s.LateRows(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			shown = append(shown, fmt.Sprintf("%s %d", r.Machine, r.Time.Second()))
		}
		return rows, shown
	}
	want := func(n int, want ...string) []LateRow {
		t.Helper()
		rows, got := noted(n)
		if !slices.Equal(got, want) {
			t.Errorf("noted %v, want %v", got, want)
		}
		return rows
	}

	put("m", 10)
	put("m", 5) // nobody asked yet
	want(10)
	if err := s.NoteLate(true); err != nil {
		t.Fatal(err)
	}
	put("m", 11, 13)
	put("new", 3, 1, 2) // in one commit: in order
	want(10)
	put("m", 13) // a second message for the newest row
	put("m", 12, 20)
	put("new", 2)
	want(2, "m 12", "m 13")
	rows := want(10, "m 12", "m 13", "new 2")
	put("m", 12) // again, after the notes were read
	if err := s.ForgetLate(rows); err != nil {
		t.Fatal(err)
	}
	want(10, "m 12")

	s = openIn(t, d, dir)
	want(10, "m 12")
	if err := s.NoteLate(false); err != nil {
		t.Fatal(err)
	}
	want(10)
}
