package influx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"fettle"
)

// What a real InfluxDB 2.7 answers to the follower's query: two series, numbers
// of all kinds, a text, and a field that one row lacks.
const realAnswer = `#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,string,string,string,double,long,boolean,string
#group,false,false,true,true,false,true,true,true,false,false,false,false
#default,_result,,,,,,,,,,,
,result,table,_start,_stop,_time,_measurement,sensor_type,workspace_id,current,n,on,note
,,0,2025-11-25T04:00:00Z,2025-11-25T05:00:00Z,2025-11-25T04:20:00.123456789Z,sensor_data,industrial,lathe-1,17.2,3,true,"late, ""very"""
,,0,2025-11-25T04:00:00Z,2025-11-25T05:00:00Z,2025-11-25T04:20:02Z,sensor_data,industrial,lathe-1,17.3,,false,

#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,string,string,double
#group,false,false,true,true,false,true,true,false
#default,_result,,,,,,,
,result,table,_start,_stop,_time,_measurement,workspace_id,accX
,,1,2025-11-25T04:00:00Z,2025-11-25T05:00:00Z,2025-11-25T04:20:00Z,sensor_data,press,1e-05
,,2,2025-11-25T04:00:00Z,2025-11-25T05:00:00Z,2025-11-25T04:20:00Z,sensor_data,robot,-0.5

`

func TestRows(t *testing.T) {
	head := "#datatype,string,long,dateTime:RFC3339,string,double\n#group,false,false,false,true,false\n#default,_result,,,,\n,result,table,_time,workspace_id,x\n"
	for _, c := range []struct {
		note, answer string
		rows         []string
		err          string
		unnamed      int64
	}{
		{"a real answer", realAnswer, []string{
			`lathe-1 04:20:00.123456 [{current 17.2} {n 3} {on 1}] note=late, "very" sensor_type=industrial`,
			`lathe-1 04:20:02.000000 [{current 17.3} {on 0}] sensor_type=industrial`,
			"press 04:20:00.000000 [{accX 1e-05}]", "robot 04:20:00.000000 [{accX -0.5}]"}, "", 0},
		{"nothing", "", nil, "", 0},
		{"carriage returns", strings.ReplaceAll(realAnswer, "\n", "\r\n"), []string{
			`lathe-1 04:20:00.123456 [{current 17.2} {n 3} {on 1}] note=late, "very" sensor_type=industrial`,
			`lathe-1 04:20:02.000000 [{current 17.3} {on 0}] sensor_type=industrial`,
			"press 04:20:00.000000 [{accX 1e-05}]", "robot 04:20:00.000000 [{accX -0.5}]"}, "", 0},
		{"whose row is not said", head + ",,0,2025-11-25T04:20:00Z,,1\n,,0,2025-11-25T04:20:00Z,m,2\n", []string{"m 04:20:00.000000 [{x 2}]"}, "", 1},
		{"no numbers, or none that are finite", head + ",,0,2025-11-25T04:20:00Z,m,\n,,0,2025-11-25T04:20:00Z,m,NaN\n,,0,2025-11-25T04:20:00Z,m,+Inf\n", nil, "", 0},
		{"a default", strings.Replace(head, "#default,_result,,,,", "#default,_result,,,m,", 1) + ",,0,2025-11-25T04:20:00Z,,1\n", []string{"m 04:20:00.000000 [{x 1}]"}, "", 0},
		{"an error half-way", head + ",,0,2025-11-25T04:20:00Z,m,1\n\n#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,out of memory,897\n",
			[]string{"m 04:20:00.000000 [{x 1}]"}, "InfluxDB broke off its answer: out of memory", 0},
		{"a row that is too short", head + ",,0,2025\n", nil, "a row of 4 cells under a header of 6", 0},
		{"a time that is none", head + ",,0,noon,m,1\n", nil, "_time", 0},
		{"a number that is none", head + ",,0,2025-11-25T04:20:00Z,m,1x\n", nil, "column x", 0},
		{"no annotations", ",result,table\n,,0\n", nil, "a row of 3 cells under a header of 0", 0},
		{"annotations that do not fit", "#datatype,string\n#group,true\n,result,table\n", nil, "a header of 3 columns has annotations of 2, 2 and 0", 0},
		{"a row without end", head + `,,0,2025-11-25T04:20:00Z,m,"` + strings.Repeat("x", maxRecord+10_000), nil, "a row of more than 4194304 bytes", 0},
		{"not CSV", `a"b`, nil, "read answer of InfluxDB", 0},
	} {
		t.Run(c.note, func(t *testing.T) {
			rows := NewRows(strings.NewReader(c.answer), "workspace_id")
			got, err := all(rows)
			if !slices.Equal(got, c.rows) || rows.Unnamed != c.unnamed {
				t.Errorf("got\n%s\nand %d without a name", strings.Join(got, "\n"), rows.Unnamed)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %s", err, c.err)
			}
		})
	}
}

func all(rows *Rows) (shown []string, err error) {
	for {
		r, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return shown, nil
		}
		if err != nil {
			return shown, err
		}
		text := fmt.Sprintf("%s %s %v", r.Machine, r.Time.Format("15:04:05.000000"), r.Values)
		for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
			text += " " + name + "=" + r.Tags[name]
		}
		shown = append(shown, text)
	}
}

// FuzzRows: no answer may panic, or give a reading without a machine, a time or
// a value.
func FuzzRows(f *testing.F) {
	f.Add([]byte(realAnswer))
	f.Add([]byte("#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,out of memory,897\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		rows := NewRows(strings.NewReader(string(answer)), "workspace_id")
		for {
			r, err := rows.Next()
			if err != nil {
				return
			}
			if r.Machine == "" || r.Time.IsZero() || len(r.Values) == 0 || !slices.IsSortedFunc(r.Values, func(a, b fettle.Value) int { return strings.Compare(a.Sensor, b.Sensor) }) {
				t.Errorf("%q gives %+v", answer, r)
			}
		}
	})
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"New_Sensor": `"New_Sensor"`, `a"b\c`: `"a\"b\\c"`, "${1+1} $x": `"\${1+1} $x"`, "a\nb": `"a\nb"`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
