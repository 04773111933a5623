package plant

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fettle"
)

// play reads a recording to its end: its payloads, and what its bad lines say.
func play(t *testing.T, text string, o ReplayOptions) (rec *Recording, rows []Row, bad []string) {
	t.Helper()
	if o.Machine == "" {
		o.Machine = "m"
	}
	rec, err := Replay(strings.NewReader(text), o)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for {
		row, err := rec.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rec, rows, bad
		case errors.As(err, new(*BadLine)):
			bad = append(bad, err.Error())
		case err != nil:
			t.Fatal(err)
		default:
			rows = append(rows, row)
		}
	}
}

// told is what a row says, short: "2020-03-09T10:14:33Z a=1 b=2".
func told(row Row) string {
	text := row.Reading.Time.Format(time.RFC3339Nano)
	for _, v := range row.Reading.Values {
		text += fmt.Sprintf(" %s=%v", v.Sensor, v.Value)
	}
	return text
}

func TestRecordings(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		text string
		o    ReplayOptions
		want []string
	}{
		{"commas", "timestamp,value\n2013-12-02 21:15:00,73.9\n2013-12-02 21:20:00,74\n", ReplayOptions{}, []string{"2013-12-02T21:15:00Z value=73.9", "2013-12-02T21:20:00Z value=74"}},
		{"semicolons", "datetime;a;b\n2020-03-09 10:14:33;1;2\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1 b=2"}},
		{"tabs", "date\ta\n2020-03-09\t1\n", ReplayOptions{}, []string{"2020-03-09T00:00:00Z a=1"}},
		{"decimal commas", "time;a;b\n2020-03-09 10:14;1,5;1.234,5\n", ReplayOptions{}, []string{"2020-03-09T10:14:00Z a=1.5 b=1234.5"}},
		{"Windows lines and a byte order mark", "\ufefftime,a\r\n2020-03-09 10:14:33,1\r\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1"}},
		{"no last newline, blank lines", "time,a\n\n2020-03-09 10:14:33,1\n\n\n2020-03-09 10:14:34,2", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1", "2020-03-09T10:14:34Z a=2"}},
		{"quotes", "time,\"a,b\"\n\"2020-03-09 10:14:33\",\"1\"\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a,b=1"}},
		{"missing numbers", "time,a,b\n2020-03-09 10:14:33,,NaN\n2020-03-09 10:14:34,null,2\n", ReplayOptions{}, []string{"2020-03-09T10:14:34Z b=2"}},
		{"a zone of its own", "time,a\n2020-03-09T10:14:33.25+01:00,1\n2020-03-09 10:14:33Z,2\n", ReplayOptions{}, []string{"2020-03-09T09:14:33.25Z a=1", "2020-03-09T10:14:33Z a=2"}},
		{"a zone from outside", "time,a\n2020-07-09 10:14:33,1\n2020-01-09 10:14:33,1\n", ReplayOptions{Zone: berlin}, []string{"2020-07-09T08:14:33Z a=1", "2020-01-09T09:14:33Z a=1"}},
		{"times since 1970", "ts,a\n1583748873,1\n1583748873500,2\n1583748873500250,3\n1583748873.75,4\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1", "2020-03-09T10:14:33.5Z a=2", "2020-03-09T10:14:33.50025Z a=3", "2020-03-09T10:14:33.75Z a=4"}},
		{"other calendars", "time;a\n09.03.2020 10:14:33;1\n2020/03/09 10:14;2\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1", "2020-03-09T10:14:00Z a=2"}},
		{"a time column by its looks", "a,when\n1,2020-03-09 10:14:33\n", ReplayOptions{}, []string{"2020-03-09T10:14:33Z a=1"}},
		{"a time column by order", "a,started,time\n1,2020-03-09 10:14:33,2021-03-09 10:14:33\n", ReplayOptions{TimeColumn: "started", Columns: []string{"a"}}, []string{"2020-03-09T10:14:33Z a=1"}},
		{"columns kept", "time,a,b,c\n2020-03-09,1,2,3\n", ReplayOptions{Columns: []string{"a", "c"}}, []string{"2020-03-09T00:00:00Z a=1 c=3"}},
		{"columns renamed", "time,a,b\n2020-03-09,1,2\n", ReplayOptions{Columns: []string{"a=z", "b"}}, []string{"2020-03-09T00:00:00Z b=2 z=1"}},
		{"a column with = in its name", "time,a=b\n2020-03-09,1\n", ReplayOptions{Columns: []string{"a=b"}}, []string{"2020-03-09T00:00:00Z a=b=1"}},
		{"columns dropped", "time,a,b\n2020-03-09,1,2\n", ReplayOptions{Drop: []string{"a"}}, []string{"2020-03-09T00:00:00Z b=2"}},
		{"repeated times", "time,a\n2020-03-09,1\n2020-03-09,2\n", ReplayOptions{}, []string{"2020-03-09T00:00:00Z a=1", "2020-03-09T00:00:00Z a=2"}},
		{"shifted", "time,a\n2020-03-09,1\n", ReplayOptions{Shift: 24 * time.Hour}, []string{"2020-03-10T00:00:00Z a=1"}},
	}
	for _, c := range cases {
		_, rows, bad := play(t, c.text, c.o)
		var got []string
		for _, row := range rows {
			got = append(got, told(row))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || len(bad) > 0 {
			t.Errorf("%s: bad lines %q\n%s", c.name, bad, diff)
		}
	}
}

func TestRowsArePublishedWithTheirPace(t *testing.T) {
	_, rows, _ := play(t, "time,a\n2020-03-09 10:00:00,1\n2020-03-09 10:00:02,2\n2020-03-09 10:00:01,3\n2020-03-09 10:01:00,\n2020-03-09 10:02:01,4\n", ReplayOptions{Machine: "press-3"})
	want := Message{
		Topic: "fettle/press-3/readings", QoS: 1,
		Payload: []byte(`{"machine":"press-3","timestamp":"2020-03-09T10:00:00Z","a":1}`),
		Reading: fettle.Reading{Machine: "press-3", Time: time.Date(2020, 3, 9, 10, 0, 0, 0, time.UTC), Values: []fettle.Value{{Sensor: "a", Value: 1}}},
	}
	if diff := cmp.Diff(want, rows[0].Message); diff != "" {
		t.Error(diff)
	}
	var gaps []time.Duration
	for _, row := range rows {
		gaps = append(gaps, row.Gap)
	}
	if want := []time.Duration{0, 2 * time.Second, 0, 2 * time.Minute}; !slices.Equal(gaps, want) {
		t.Errorf("gaps %v, want %v", gaps, want)
	}
}

// Labels say what a detector is to find out. Neither by default nor by asking
// do they get out.
func TestLabelColumnsNeverGetOut(t *testing.T) {
	const skab = "datetime;Current;Anomaly;changepoint\n2020-03-09 10:14:33;1.5;0.0;1.0\n"
	rec, rows, _ := play(t, skab, ReplayOptions{})
	if got := rec.Sensors(); !slices.Equal(got, []string{"Current"}) {
		t.Errorf("sensors %v", got)
	}
	if text := strings.ToLower(string(rows[0].Payload)); strings.Contains(text, "anomaly") || strings.Contains(text, "changepoint") {
		t.Errorf("payload %s", text)
	}
	want := []string{
		"column Anomaly left out: a label says what is to be found out, and must not be stored",
		"column changepoint left out: a label says what is to be found out, and must not be stored",
	}
	if diff := cmp.Diff(want, rec.Notes()); diff != "" {
		t.Error(diff)
	}
	for _, column := range []string{"Anomaly", "changepoint", "Anomaly=pressure"} {
		_, err := Replay(strings.NewReader(skab), ReplayOptions{Machine: "m", Columns: []string{"Current", column}})
		if err == nil || !strings.Contains(err.Error(), "must not be stored") {
			t.Errorf("--columns %s: %v", column, err)
		}
	}
}

func TestBadLinesAreSkippedAndNamed(t *testing.T) {
	text := "time,a,b\n" +
		"2020-03-09 10:00:00,1,2\n" +
		"2020-03-09 10:00:01,1\n" +
		"soon,1,2\n" +
		"2020-03-09 10:00:03,x,2\n" +
		"2020-03-09 10:00:04,1e999,2\n" +
		"2020-03-09 10:00:05,\"1,2\n" +
		"2020-03-09 10:00:06," + strings.Repeat("1", MaxLine) + ",2\n" +
		"2020-03-09 10:00:07,1,2\n"
	_, rows, bad := play(t, text, ReplayOptions{})
	want := []string{
		"line 3: line is 2 cells long; expected 3, as in the header",
		"line 4: time is soon; expected a time such as 2020-03-09 10:14:33",
		"line 5: a is x; expected a number, or nothing if it is missing",
		"line 6: a is 1e999; expected a number, or nothing if it is missing",
		`line 7: cell is "1,2"; expected a closing quote in the same line`,
		"line 8: line is longer than 1 MiB; expected at most 1 MiB; is this a table?",
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
	if len(rows) != 2 || rows[1].Line != 9 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestColumnsThatAreNoSensorsAreNoted(t *testing.T) {
	rec, _, bad := play(t, ",time,a,state\n0,2020-03-09,1,on\n1,2020-03-10,2,off\n", ReplayOptions{})
	want := []string{"column 1 left out: it has no name", `column state left out: "on" is no number`}
	if diff := cmp.Diff(want, rec.Notes()); diff != "" || len(bad) > 0 {
		t.Errorf("%q\n%s", bad, diff)
	}
}

func TestRecordingsRefused(t *testing.T) {
	cases := []struct {
		text string
		o    ReplayOptions
		want string
	}{
		{"", ReplayOptions{}, "the file is empty"},
		{"\n\n", ReplayOptions{}, "the file is empty"},
		{"a,b\n1,2\n", ReplayOptions{}, "no column of times among a, b"},
		{"time\n2020-03-09\n", ReplayOptions{}, "no column of numbers is left to publish"},
		{"time,anomaly\n2020-03-09,1\n", ReplayOptions{}, "no column of numbers is left to publish"},
		{"time,a,a\n", ReplayOptions{}, `header is "a" twice; expected each name once`},
		{"t\x00i\x00,a\n", ReplayOptions{}, `header is "t\x00i\x00"; expected names in UTF-8; is this a table?`},
		{"time,\xFFa\n", ReplayOptions{}, "expected names in UTF-8"},
		{"time,\"a\n", ReplayOptions{}, "expected a closing quote"},
		{"time,\"a\"b\n", ReplayOptions{}, "expected a separator after the closing quote"},
		{"time,a\n", ReplayOptions{Columns: []string{"b"}}, "column is b; expected one of time, a"},
		{"time,a\n", ReplayOptions{Columns: []string{"a="}}, "column is a=; expected a name on both sides of ="},
		{"time,a\n", ReplayOptions{Drop: []string{"b"}}, "column to drop is b; expected one of time, a"},
		{"time,a\n", ReplayOptions{TimeColumn: "b"}, "time column is b; expected one of time, a"},
		{"time,a,b\n", ReplayOptions{Columns: []string{"a=c", "b=c"}}, "sensor is c; expected a name that no other column has"},
		{"datetime,time\n2020-03-09,1\n", ReplayOptions{}, "sensor is time; expected another name, such as --columns time=its_name"},
		{"time," + strings.Repeat("x", 129) + "\n", ReplayOptions{}, "expected 1 to 128 bytes"},
		{"time" + strings.Repeat(",", maxColumns), ReplayOptions{}, "columns long; expected at most"},
		{"time,a\n", ReplayOptions{Machine: "a/b"}, "machine is a/b; expected a name"},
	}
	for _, c := range cases {
		if c.o.Machine == "" {
			c.o.Machine = "m"
		}
		if _, err := Replay(strings.NewReader(c.text), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestSurvey(t *testing.T) {
	const text = "time,a\n2020-03-09 10:00:00,1\n2020-03-09 10:00:02,2\n2020-03-09 10:00:01,3\nbad\n2020-03-09 10:01:00,4\n"
	got, err := Survey(strings.NewReader(text), ReplayOptions{Machine: "m"})
	want := Extent{
		First: time.Date(2020, 3, 9, 10, 0, 0, 0, time.UTC), Last: time.Date(2020, 3, 9, 10, 1, 0, 0, time.UTC),
		Rows: 4, Length: 61 * time.Second, // the step back takes no time
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// Whatever stands in a file: it is refused, or its rows are whole, in order,
// and free of labels.
func FuzzReplay(f *testing.F) {
	for _, seed := range []string{
		"", "time,a\n2020-03-09,1\n", "datetime;a;anomaly\n2020-03-09 10:14:33;1,5;0\n", "\ufefftime\ta\n1583748873\t1\n", "time,\"a\"\"b\"\n\"2020-03-09\",\"1\"",
		"a,b\n", "time,a\nx,y\n,,,\n\"", "time,a\n99999999999999999999,1\n-1,1\n1e9,2\n", "time;a\n2020-03-09;1.2,3\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rec, err := Replay(strings.NewReader(text), ReplayOptions{Machine: "m"})
		if err != nil {
			return
		}
		line := 1
		for {
			row, err := rec.Next()
			if bad := new(BadLine); errors.As(err, &bad) {
				row.Line = bad.Line
			} else if err != nil {
				return
			} else if len(row.Reading.Values) == 0 || row.Gap < 0 || row.Reading.Time.IsZero() || row.Reading.Time.Nanosecond()%1000 != 0 {
				t.Fatalf("row %+v", row)
			}
			if row.Line <= line {
				t.Fatalf("line %d after line %d", row.Line, line)
			}
			line = row.Line
			for _, v := range row.Reading.Values {
				if isLabel(v.Sensor) {
					t.Fatalf("a label got out: %+v", row)
				}
			}
		}
	})
}
