package codec

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

var lineArrival = time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.UTC)

// lineVectors are bodies of writes: their readings as show writes them, and
// what is said of refused lines. A dash in place of a time is the arrival.
var lineVectors = []struct {
	note, body, precision string
	rows, refused         []string
}{
	{"the old bridge", "sensor_data,workspace_id=lathe-1-spindle,sensor_type=industrial current=17.21,accX=0.1311,tempA=60 1764044400123456789", "ns",
		[]string{"lathe-1-spindle 2025-11-25T04:20:00.123456Z accX=0.1311 current=17.21 tempA=60 sensor_type:industrial"}, nil},
	{"all types", `sensor_data,machine=m f=1.5,neg=-2e-3,i=-3i,u=18446744073709551615u,t=t,yes=true,F=False,s="a b" 1764044400`, "s",
		[]string{"m 2025-11-25T04:20:00Z F=0 f=1.5 i=-3 neg=-0.002 t=1 u=1.8446744073709552e+19 yes=1 s:a b"}, nil},
	{"milliseconds", "sensor_data,machine=m x=1 1764044400123", "ms", []string{"m 2025-11-25T04:20:00.123Z x=1"}, nil},
	{"microseconds", "sensor_data,machine=m x=1 1764044400123456", "us", []string{"m 2025-11-25T04:20:00.123456Z x=1"}, nil},
	{"minutes of InfluxDB 1", "sensor_data,machine=m x=1 29400740", "m", []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"no time is the arrival", "sensor_data,machine=m x=1", "ns", []string{"m 2026-11-24T10:00:00.123456Z x=1"}, nil},
	{"comments, empty lines, carriage returns", "# a comment\n\n  \r\nsensor_data,machine=m x=1 1\r\n sensor_data,machine=m x=2 2 \n", "s",
		[]string{"m 1970-01-01T00:00:01Z x=1", "m 1970-01-01T00:00:02Z x=2"}, nil},
	{"another measurement goes before its fields", "cpu,machine=m usage=3,note=\"x\" 1", "s", []string{"m 1970-01-01T00:00:01Z cpu.usage=3 cpu.note:x"}, nil},
	{"escapes", `my\ cpu\,1,machine=a\ b,t\=ag=x\,y\=z fie\ ld\,=1,quo\"te=2 1`, "s",
		[]string{`a b 1970-01-01T00:00:01Z my cpu,1.fie ld,=1 my cpu,1.quo"te=2 t=ag:x,y=z`}, nil},
	{"a backslash is itself before anything else", `sensor_data,machine=m,path=C:\dir\\file x\y=1,s="a\\b\"c\d" 1`, "s",
		[]string{`m 1970-01-01T00:00:01Z x\y=1 path:C:\dir\\file s:a\b"c\d`}, nil},
	{"a newline, a comma and an equals sign in a text", "sensor_data,machine=m s=\"a,b=c\nd\",x=1 1\nsensor_data,machine=m x=2 2", "s",
		[]string{"m 1970-01-01T00:00:01Z x=1 s:a,b=c\nd", "m 1970-01-01T00:00:02Z x=2"}, nil},
	{"quotes in a tag mean nothing", `sensor_data,machine=m,q="a" x=1 1`, "s", []string{`m 1970-01-01T00:00:01Z x=1 q:"a"`}, nil},
	{"the last of two fields wins", "sensor_data,machine=m x=1,x=2 1", "s", []string{"m 1970-01-01T00:00:01Z x=2"}, nil},
	{"a number wins over a tag of its name", "sensor_data,machine=m,x=one x=1 1", "s", []string{"m 1970-01-01T00:00:01Z x=1"}, nil},
	{"workspace_id goes before machine", "sensor_data,machine=a,workspace_id=b x=1 1", "s", nil, []string{
		`name not usable | unable to parse 'sensor_data,machine=a,workspace_id=b x=1 1': tag is "machine"; expected another name`}},

	{"each line is judged alone", "sensor_data,machine=m x=1 1\nsensor_data,machine=m x= 2\nsensor_data,machine=m x=3 3", "s",
		[]string{"m 1970-01-01T00:00:01Z x=1", "m 1970-01-01T00:00:03Z x=3"},
		[]string{"not line protocol | unable to parse 'sensor_data,machine=m x= 2': missing field value"}},
	{"only a measurement", "cpu", "ns", nil, []string{"not line protocol | unable to parse 'cpu': missing fields"}},
	{"a measurement and a space", "cpu ", "ns", nil, []string{"not line protocol | unable to parse 'cpu': missing fields"}},
	{"no measurement", ",machine=m x=1", "ns", nil, []string{"not line protocol | unable to parse ',machine=m x=1': missing measurement"}},
	{"no tag key", "cpu,=m x=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,=m x=1': missing tag key"}},
	{"no tag value", "cpu,machine= x=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine= x=1': missing tag value"}},
	{"a tag without a value", "cpu,machine x=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine x=1': missing tag value"}},
	{"two equals signs in a tag", "cpu,machine=a=b x=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a=b x=1': invalid tag format"}},
	{"a tag twice", "cpu,machine=a,machine=b x=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a,machine=b x=1': duplicate tags"}},
	{"no field key", "cpu,machine=a =1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a =1': missing field key"}},
	{"no second field key", "cpu,machine=a x=1,=1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1,=1': missing field key"}},
	{"a field without a value", "cpu,machine=a x", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x': invalid field format"}},
	{"a comma too many", "cpu,machine=a x=1, 1", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1, 1': missing field key"}},
	{"a number that is none", "cpu,machine=a x=1.2.3", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1.2.3': invalid number"}},
	{"an integer with a point", "cpu,machine=a x=1.5i", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1.5i': invalid number"}},
	{"an integer too large", "cpu,machine=a x=9223372036854775808i", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=9223372036854775808i': unable to parse integer 9223372036854775808"}},
	{"a negative unsigned", "cpu,machine=a x=-1u", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=-1u': invalid number"}},
	{"a float too large", "cpu,machine=a x=1e999", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1e999': invalid float"}},
	{"NaN", "cpu,machine=a x=NaN", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=NaN': invalid number"}},
	{"hexadecimal", "cpu,machine=a x=0x1F", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=0x1F': invalid number"}},
	{"a word", "cpu,machine=a x=yes", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=yes': invalid boolean"}},
	{"an open quote", `cpu,machine=a x="1`, "ns", nil, []string{`not line protocol | unable to parse 'cpu,machine=a x="1': unbalanced quotes`}},
	{"text behind quotes", `cpu,machine=a x="1"2`, "ns", nil, []string{`not line protocol | unable to parse 'cpu,machine=a x="1"2': invalid field format`}},
	{"a time with letters", "cpu,machine=a x=1 12ab", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1 12ab': bad timestamp"}},
	{"two times", "cpu,machine=a x=1 1 2", "ns", nil, []string{"not line protocol | unable to parse 'cpu,machine=a x=1 1 2': point is invalid"}},
	{"before 1970", "cpu,machine=a x=1 -1", "s", nil, []string{"time not readable | unable to parse 'cpu,machine=a x=1 -1': timestamp is -1; expected a time from 1970 to 2261"}},
	{"nanoseconds sent as seconds", "cpu,machine=a x=1 1764044400123456789", "s", nil, []string{"time not readable | unable to parse 'cpu,machine=a x=1 1764044400123456789': timestamp is 1764044400123456789"}},
	{"no machine", "cpu,host=a x=1", "ns", nil, []string{`no machine | unable to parse 'cpu,host=a x=1': tag is missing; expected one of ["workspace_id" "machine"], which name the machine (ingest.line_machine_tags)`}},
	{"a machine that cannot be one", "cpu,machine=a/b x=1", "ns", nil, []string{`name not usable | unable to parse 'cpu,machine=a/b x=1': machine is "a/b"`}},
	{"nothing to measure", `cpu,machine=a s="x"`, "ns", nil, []string{`no values | unable to parse 'cpu,machine=a s="x"': line is one with 0 numeric fields; expected 1 to 5000`}},
	{"a sensor named like a time", "sensor_data,machine=a time=1", "ns", nil, []string{`name not usable | unable to parse 'sensor_data,machine=a time=1': field is "time"`}},
	{"not UTF-8", "cpu,machine=a\xff x=1", "ns", nil, []string{"not UTF-8 | unable to parse 'cpu,machine=a\uFFFD x=1': line is not UTF-8"}},
	{"a long tag", "cpu,machine=a,t=" + strings.Repeat("x", 257) + " x=1", "ns", nil, []string{"tag too long | unable to parse 'cpu,machine=a,t=xxx"}},
	{"too many tags", "cpu,machine=a" + tags(33) + " x=1", "ns", nil, []string{"too many tags | unable to parse 'cpu,machine=a,t0=x"}},
}

func tags(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, ",t%d=x", i)
	}
	return text.String()
}

func TestLines(t *testing.T) {
	for _, v := range lineVectors {
		t.Run(v.note, func(t *testing.T) {
			unit, known := ParsePrecision(v.precision)
			if !known {
				t.Fatal(v.precision)
			}
			for _, from := range []io.Reader{strings.NewReader(v.body), iotest.OneByteReader(strings.NewReader(v.body))} {
				rows, bad := readLines(t, from, OldShape(), unit)
				if len(rows) != len(v.rows) || len(bad) != len(v.refused) {
					t.Fatalf("got %v and %v", rows, bad)
				}
				for i, row := range rows {
					if got := show(row); got != v.rows[i] {
						t.Errorf("row %d is\n  %s, want\n  %s", i, got, v.rows[i])
					}
				}
				for i, err := range bad {
					if got := fettle.ReasonOf(err) + " | " + err.Error(); !strings.HasPrefix(got, v.refused[i]) {
						t.Errorf("error %d is\n  %s, want\n  %s", i, got, v.refused[i])
					}
				}
			}
		})
	}
}

// readLines reads all of a stream, three lines at a time.
func readLines(t *testing.T, from io.Reader, s Shape, p Precision) (all []fettle.Reading, wrong Errors) {
	t.Helper()
	lines := NewLines(from, s, p, lineArrival)
	for {
		rows, bad, err := lines.Next(3)
		all, wrong = append(all, rows...), append(wrong, bad...)
		if err == io.EOF {
			return all, wrong
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Another shape: machines by host, no measurement in front.
func TestLineShape(t *testing.T) {
	rows, bad := readLines(t, strings.NewReader("cpu,host=a,machine=b x=1 1"), Shape{MachineTags: []string{"host"}, Plain: []string{"*"}}, Precision(time.Second))
	if len(rows) != 0 || len(bad) != 1 || fettle.ReasonOf(bad[0]) != reasonName {
		t.Errorf("a tag called machine that is none: %v, %v", rows, bad)
	}
	rows, bad = readLines(t, strings.NewReader("cpu,host=a x=1 1"), Shape{MachineTags: []string{"host"}, Plain: []string{"*"}}, Precision(time.Second))
	if len(bad) != 0 || len(rows) != 1 || show(rows[0]) != "a 1970-01-01T00:00:01Z x=1" {
		t.Errorf("%v, %v", rows, bad)
	}
}

// The half of a line, before a stream that broke off, is no line.
func TestLinesOfABrokenStream(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("sensor_data,machine=m x=1 1\nsensor_data,machine=m x=12"), iotest.ErrReader(io.ErrUnexpectedEOF))
	lines := NewLines(broken, OldShape(), Precision(time.Second), lineArrival)
	rows, bad, err := lines.Next(10)
	if len(rows) != 1 || len(bad) != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, %v, %v", rows, bad, err)
	}
}

func TestLineTooLong(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("sensor_data,machine=m x=1 1\n"), strings.NewReader(strings.Repeat("x", MaxLine+70_000)))
	rows, _, err := NewLines(endless, OldShape(), 1, lineArrival).Next(10)
	if len(rows) != 1 || fettle.ReasonOf(err) != reasonSize || !strings.Contains(err.Error(), "expected at most 1048576") {
		t.Errorf("%v, %v", rows, err)
	}
}

// TestEncodedLineReadsBack holds AppendLine to Lines for any reading that line
// protocol can hold.
func TestEncodedLineReadsBack(t *testing.T) {
	fits := func(s string) bool {
		return !reserved(s) && s != "." && s != ".." && s == lineText(s) && strings.TrimSpace(s) == s
	}
	name := rapid.StringMatching(`[^\p{Cc}/\\+#]{1,20}`).Filter(fits)
	sensor := rapid.OneOf(name, rapid.StringMatching(`[a ,="\\#é]{1,10}`).Filter(fits))
	rapid.Check(t, func(t *rapid.T) {
		want := fettle.Reading{Machine: name.Draw(t, "machine"), Time: time.UnixMicro(rapid.Int64Range(earliestMicros, latestMicros-1).Draw(t, "micros")).UTC()}
		for _, sensor := range rapid.SliceOfNDistinct(sensor, 1, 20, rapid.ID).Draw(t, "sensors") {
			want.Values = append(want.Values, fettle.Value{Sensor: sensor, Value: rapid.Float64().Draw(t, "value")})
		}
		want.Values = fettle.SortValues(want.Values)
		for _, tag := range rapid.SliceOfNDistinct(sensor, 0, 5, rapid.ID).Draw(t, "tags") {
			if _, taken := want.Value(tag); !taken {
				if want.Tags == nil {
					want.Tags = map[string]string{}
				}
				want.Tags[tag] = sensor.Draw(t, "text")
			}
		}
		encoded := AppendLine(nil, want)
		rows, bad, err := NewLines(strings.NewReader(string(encoded)), OldShape(), Precision(time.Microsecond), lineArrival).Next(10)
		if len(bad) > 0 || err != io.EOF || len(rows) != 1 || !reflect.DeepEqual(rows[0], want) {
			t.Fatalf("%s\nreads as %v, %v, %v\nwant       %v", encoded, rows, bad, err, want)
		}
	})
}

// FuzzLines: no input may panic, what is refused names a reason, and what is
// taken keeps the promises of a Reading.
func FuzzLines(f *testing.F) {
	for _, v := range lineVectors {
		f.Add([]byte(v.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		lines := NewLines(iotest.HalfReader(strings.NewReader(string(body))), OldShape(), 1, lineArrival)
		for {
			rows, bad, err := lines.Next(10)
			for _, err := range bad {
				var line *LineError
				if !errors.As(err, &line) || line.Why.Reason == "" || fettle.KindOf(err) != fettle.Invalid {
					t.Errorf("%q: error %v does not say what was wrong", body, err)
				}
			}
			for _, row := range rows {
				again, err := Decode(Names{}, AppendJSON(nil, row))
				if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], row) {
					t.Errorf("%q: %v is no proper reading: %v, %v", body, row, again, err)
				}
			}
			if err != nil {
				return
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	var body strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&body, "sensor_data,workspace_id=lathe-%d,sensor_type=industrial current=17.21,accX=0.1311,accY=-0.0402,accZ=1.0007,tempA=60.12,tempB=61.4 %d\n", i%3, 1764044400123456789+int64(i)*1e9)
	}
	b.ReportAllocs()
	for b.Loop() {
		rows, bad, err := NewLines(strings.NewReader(body.String()), OldShape(), 1, lineArrival).Next(10_000)
		if len(rows) != 5000 || len(bad) > 0 || err != io.EOF {
			b.Fatal(len(rows), bad, err)
		}
	}
}
