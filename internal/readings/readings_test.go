package readings

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name   string
		calls  [][]string
		counts string // of the last call: new, merged, late
		rows   []string
	}{
		{"in order", [][]string{{"m 1 a=1", "m 2 a=2"}, {"m 3 a=3"}}, "1 0 0", []string{"m 1 a=1", "m 2 a=2", "m 3 a=3"}},
		{"out of order in one call", [][]string{{"m 3 a=3", "m 1 a=1", "m 2 a=2"}}, "3 0 2", []string{"m 1 a=1", "m 2 a=2", "m 3 a=3"}},
		{"late", [][]string{{"m 3 a=3"}, {"m 1 a=1"}}, "1 0 1", []string{"m 1 a=1", "m 3 a=3"}},
		{"redelivered", [][]string{{"m 1 a=1"}, {"m 1 a=1"}}, "0 1 0", []string{"m 1 a=1"}},
		{"redelivered late", [][]string{{"m 1 a=1", "m 2 a=2"}, {"m 1 a=1"}}, "0 1 1", []string{"m 1 a=1", "m 2 a=2"}},
		{"merged by sensor", [][]string{{"m 1 a=1 b=1"}, {"m 1 b=2 c=2"}}, "0 1 0", []string{"m 1 a=1 b=2 c=2"}},
		{"merged in one call, last wins", [][]string{{"m 1 a=1 b=1", "m 1 b=2", "m 1 b=3 c=3"}}, "1 2 0", []string{"m 1 a=1 b=3 c=3"}},
		{"merged late in one call", [][]string{{"m 1 a=1"}, {"m 2 a=2", "m 1 b=2", "m 1 b=3"}}, "1 2 2", []string{"m 1 a=1 b=3", "m 2 a=2"}},
		{"tags", [][]string{{"m 1 a=1 #k=v"}, {"m 2 a=1 #k=v"}}, "1 0 0", []string{"m 1 a=1 #k=v", "m 2 a=1 #k=v"}},
		{"tags of the later", [][]string{{"m 1 a=1 #k=v"}, {"m 1 a=1 #k=w"}}, "0 1 0", []string{"m 1 a=1 #k=w"}},
		{"no tags erase none", [][]string{{"m 1 a=1 #k=v"}, {"m 1 b=1"}}, "0 1 0", []string{"m 1 a=1 b=1 #k=v"}},
		{"before 1970", [][]string{{"m 1 a=1"}, {"m -3000000000 a=0"}}, "1 0 1", []string{"m -3000000000 a=0", "m 1 a=1"}},
		{"nothing", [][]string{{"m 1 a=1"}, {}}, "0 0 0", []string{"m 1 a=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t)
			var done Appended
			for _, call := range c.calls {
				done = appendAll(t, s, call...)
			}
			if got := fmt.Sprintln(done.New, done.Merged, done.Late); got != c.counts+"\n" {
				t.Errorf("new, merged, late are %s, expected %s", got, c.counts)
			}
			wantRows(t, s, "m", c.rows...)
		})
	}
}

// Names that begin alike, and hold a zero byte, do not run into each other.
func TestMachinesAreApart(t *testing.T) {
	s := openStore(t)
	names := []string{"m", "m1", "m\x00", "m\x00\x01", "M", "世"}
	for i, name := range names {
		if _, err := s.Append([]fettle.Reading{{Machine: name, Time: at(i), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		rows, err := s.Last(name, time.Time{}, 10)
		if err != nil || len(rows) != 1 || rows[0].Values[0].Value != float64(i) {
			t.Errorf("rows of %q are %v, %v", name, rows, err)
		}
	}
	if got := len(s.Machines()); got != len(names) {
		t.Errorf("%d machines, expected %d", got, len(names))
	}
}

func TestInfoAndLatest(t *testing.T) {
	s := openStore(t)
	appendAll(t, s, "m 5 b=5 c=5", "m 1 a=1 b=1", "m 3 a=3", "l 9 x=9")
	if _, found := s.Info("nobody"); found || s.Latest("nobody") != nil {
		t.Error("an unknown machine is known")
	}
	want := Info{Machine: "m", Sensors: []string{"a", "b", "c"}, First: at(1), Last: at(5), Rows: 3}
	if got, found := s.Info("m"); !found || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Info is %v, expected %v", got, want)
	}
	if got := fmt.Sprint(s.Latest("m")); got != "[{a 3} {b 5} {c 5}]" {
		t.Errorf("Latest is %s", got)
	}
	if all := s.Machines(); len(all) != 2 || all[0].Machine != "l" || all[1].Rows != 3 {
		t.Errorf("Machines are %v", all)
	}
}

func TestRange(t *testing.T) {
	s := openStore(t)
	appendAll(t, s, "m 1 a=1", "m 2 a=2", "m 3 a=3", "m 4 a=4")
	bad := errors.New("bad")
	ask := func(from, to time.Time, endAt int, end error) string {
		var got string
		err := s.Range("m", from, to, func(r fettle.Reading) error {
			got += fmt.Sprint(r.Values[0].Value)
			if r.Time.Equal(at(endAt)) {
				return end
			}
			return nil
		})
		return fmt.Sprint(got, " ", err)
	}
	never := time.Time{}
	for _, c := range []struct{ got, want string }{
		{ask(never, never, 0, nil), "1234 <nil>"},
		{ask(at(2), at(4), 0, nil), "23 <nil>"},
		{ask(at(2).Add(1), at(4).Add(1), 0, nil), "34 <nil>"},
		{ask(at(3), never, 0, nil), "34 <nil>"},
		{ask(at(4), at(2), 0, nil), " <nil>"},
		{ask(never, never, 2, Stop), "12 <nil>"},
		{ask(never, never, 2, bad), "12 bad"},
	} {
		if c.got != c.want {
			t.Errorf("Range gave %q, expected %q", c.got, c.want)
		}
	}
}

func TestLast(t *testing.T) {
	s := openStore(t)
	appendAll(t, s, "m 1 a=1", "m 2 a=2", "m 3 a=3", "m 4 a=4")
	for _, c := range []struct {
		until time.Time
		n     int
		want  string
	}{
		{time.Time{}, 2, "34"},
		{time.Time{}, 9, "1234"},
		{at(3), 2, "23"},
		{at(4).Add(-1), 2, "23"},
		{at(0), 2, ""},
		{time.Time{}, 0, ""},
		{time.Time{}, -1, ""},
	} {
		rows, err := s.Last("m", c.until, c.n)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, r := range rows {
			got += fmt.Sprint(r.Values[0].Value)
		}
		if got != c.want {
			t.Errorf("Last(%v, %d) is %q, expected %q", c.until, c.n, got, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	s := openStore(t)
	appendAll(t, s, "m 1 b=1", "m 2 a=2 b=2 c=2", "m 3 c=3")
	for _, c := range []struct {
		until   time.Time
		n       int
		sensors []string
		want    string // sensors and columns
	}{
		{time.Time{}, 9, nil, "[a b c] [[NaN 2 NaN] [1 2 NaN] [NaN 2 3]]"},
		{time.Time{}, 2, []string{"c", "a"}, "[c a] [[2 3] [2 NaN]]"},
		{at(2), 2, []string{"b"}, "[b] [[1 2]]"},
		{time.Time{}, 2, []string{"unheard"}, "[unheard] [[NaN NaN]]"},
		{time.Time{}, 2, []string{}, "[] []"},
		{at(0), 2, []string{"b"}, "[b] [[]]"},
		{time.Time{}, -1, []string{"b"}, "[b] [[]]"},
	} {
		w, err := s.Window("m", c.until, c.n, c.sensors)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(w.Sensors, w.Columns); got != c.want {
			t.Errorf("Window(%v, %d, %v) is %s, expected %s", c.until, c.n, c.sensors, got, c.want)
		}
		if rows := len(w.TimesMicros); rows > 0 && c.until.IsZero() && w.TimesMicros[rows-1] != at(3).UnixMicro() {
			t.Errorf("the window ends at %d", w.TimesMicros[rows-1])
		}
	}
}

func TestUnknownMachine(t *testing.T) {
	s := openStore(t)
	_, lastErr := s.Last("m", time.Time{}, 1)
	_, windowErr := s.Window("m", time.Time{}, 1, nil)
	for _, err := range []error{s.Range("m", at(0), at(1), nil), lastErr, windowErr} {
		if fettle.KindOf(err) != fettle.NotFound || !strings.Contains(err.Error(), `"m"`) {
			t.Errorf("error is %v, expected one of kind NotFound", err)
		}
	}
}

// One sensor too many costs the row that sensor, and nobody anything else.
func TestSensorLimit(t *testing.T) {
	s := openStore(t)
	wide := fettle.Reading{Machine: "m", Time: at(1)}
	for i := range fettle.MaxSensors {
		wide.Values = append(wide.Values, fettle.Value{Sensor: fmt.Sprintf("s%04d", i), Value: 1})
	}
	rows := []fettle.Reading{wide, reading("m 2 s0000=2 x=2 y=2"), reading("m 3 z=3"), reading("l 1 z=1")}
	done, err := s.Append(rows)
	if err != nil {
		t.Fatal(err)
	}
	if done.New != 3 || len(done.Refused) != 2 || done.Refused[0].Row != 1 || done.Refused[1].Row != 2 {
		t.Fatalf("Append did %+v", done)
	}
	for i, sensor := range []string{"x", "z"} {
		err := done.Refused[i].Err
		if fettle.ReasonOf(err) != "too many sensors" || !strings.Contains(err.Error(), "at most 5000 sensors") || !strings.Contains(err.Error(), sensor) {
			t.Errorf("refusal is %v", err)
		}
	}
	if got := write(rows[1]); got != "m 2 s0000=2" {
		t.Errorf("stored row is %s", got)
	}
	if info, _ := s.Info("m"); info.Rows != 2 || len(info.Sensors) != fettle.MaxSensors || !info.Last.Equal(at(2)) {
		t.Errorf("m has %d rows, %d sensors, last %v", info.Rows, len(info.Sensors), info.Last)
	}
	wantRows(t, s, "l", "l 1 z=1")
}

func TestTagSetLimit(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, filepath.Join(dir, "db"))
	s := openIn(t, d, dir)
	for i := range MaxTagSets {
		appendAll(t, s, fmt.Sprintf("m %d a=1 #k=%d", i, i))
	}
	if done := appendAll(t, s, "m 1000 a=1 #k=1000", "m 1001 a=1 #k=7"); done.New != 2 || done.TagsDropped != 1 {
		t.Errorf("Append did %+v, expected one row without its tags", done)
	}
	d.Close()
	s = openIn(t, openDB(t, filepath.Join(dir, "db")), dir)
	rows, err := s.Last("m", time.Time{}, 2)
	if err != nil || write(rows[0]) != "m 1000 a=1" || write(rows[1]) != "m 1001 a=1 #k=7" {
		t.Errorf("rows are %v, %v", rows, err)
	}
}

// When the store cannot commit, nothing of the call is remembered.
func TestFailedAppend(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, filepath.Join(dir, "db"))
	s := openIn(t, d, dir)
	appendAll(t, s, "m 1 a=1")
	d.Close()
	if _, err := s.Append([]fettle.Reading{reading("m 2 b=2"), reading("n 1 a=1")}); fettle.KindOf(err) != fettle.Unavailable {
		t.Errorf("error is %v, expected one of kind Unavailable", err)
	}
	if all := s.Machines(); len(all) != 1 || all[0].Rows != 1 || len(all[0].Sensors) != 1 {
		t.Errorf("Machines are %v", all)
	}
	if got := fmt.Sprint(s.Latest("m")); got != "[{a 1}]" {
		t.Errorf("Latest is %s", got)
	}
}

// A row that cannot be read on disk refuses what would be merged into it, and
// nothing else.
func TestDamagedRow(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, filepath.Join(dir, "db"))
	s, err := Open(d, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, "m 1 a=1", "m 2 a=2")
	b := d.NewBatch()
	b.Set(appendMicros(rowsOf(nil, "m"), at(1).UnixMicro()), []byte("rubbish"))
	if err := d.Commit(b, db.Lazy); err != nil {
		t.Fatal(err)
	}
	rows := []fettle.Reading{reading("m 1 b=1"), reading("m 3 a=3"), reading("l 1 a=1")}
	done, err := s.Append(rows)
	if err != nil || done.New != 2 || len(done.Refused) != 1 || done.Refused[0].Row != 0 || rows[0].Values != nil {
		t.Errorf("Append did %+v, %v", done, err)
	}
	if err := s.Range("m", at(0), at(9), func(fettle.Reading) error { return nil }); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Range says %v, expected that a row is damaged", err)
	}
	if done := appendAll(t, s, "m 4 b=4"); done.New != 1 {
		t.Errorf("Append did %+v", done)
	}
	if got := fmt.Sprint(s.Latest("m")); got != "[{a 3} {b 4}]" {
		t.Errorf("Latest is %s", got)
	}
}

func TestExtremeValues(t *testing.T) {
	s := openStore(t)
	values := []fettle.Value{{Sensor: "a", Value: math.MaxFloat64}, {Sensor: "b", Value: math.SmallestNonzeroFloat64}, {Sensor: "c", Value: math.Copysign(0, -1)}}
	if _, err := s.Append([]fettle.Reading{{Machine: "m", Time: at(1), Values: values}}); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Last("m", time.Time{}, 1)
	if err != nil || !slices.Equal(rows[0].Values, values) || !math.Signbit(rows[0].Values[2].Value) {
		t.Errorf("rows are %v, %v", rows, err)
	}
}
