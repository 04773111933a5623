package influx

import (
	"fmt"
	"strings"
	"testing"
)

// tables writes an answer: of each type its records, "machine field value time".
func tables(types map[string][]string) string {
	var text strings.Builder
	for _, datatype := range []string{"double", "long", "boolean", "string"} {
		if len(types[datatype]) == 0 {
			continue
		}
		fmt.Fprintf(&text, "#datatype,string,long,dateTime:RFC3339,%s,string,string\n#group,false,false,false,false,true,true\n#default,_result,,,,,\n,result,table,_time,_value,_field,workspace_id\n", datatype)
		for _, record := range types[datatype] {
			var machine, field, value string
			var second int
			_, _ = fmt.Sscan(record, &machine, &field, &value, &second)
			fmt.Fprintf(&text, ",,0,%s,%s,%s,%s\n", at(second).Format("2006-01-02T15:04:05Z"), value, field, strings.TrimPrefix(machine, "-"))
		}
		text.WriteString("\n")
	}
	return text.String()
}

// A survey adds up the series of a sensor, knows numbers from booleans and texts,
// and adds nothing up that is now this and now that.
func TestSurvey(t *testing.T) {
	s := newStandIn(t)
	var sums []string
	s.reply = func(asked string) string {
		switch {
		case strings.Contains(asked, "first()"):
			return tables(map[string][]string{
				"double": {"m x 1.5 2", "m x 2 1", "- x 9 0", "m odd 1 1"}, "long": {"m n 3 1"}, "boolean": {"m on true 1", "n odd true 1"}, "string": {"m note hi 1"},
			})
		case strings.Contains(asked, "last()"):
			return tables(map[string][]string{"double": {"m x 1.5 7", "m x 2 8", "m odd 1 1"}, "long": {"m n 3 9"}, "boolean": {"m on true 1"}, "string": {"m note hi 1"}})
		case strings.Contains(asked, "count()"):
			return tables(map[string][]string{"long": {"m x 10 0", "m x 5 0", "m n 3 0", "m on 2 0", "m odd 4 0", "n odd 1 0", "m note 7 0"}})
		}
		sums = append(sums, asked)
		if strings.Contains(asked, "toFloat()") {
			return tables(map[string][]string{"double": {"m on 1 0"}})
		}
		return tables(map[string][]string{"double": {"m x 0.5 0", "m x 1 0"}, "long": {"m n 6 0"}})
	}
	client, err := NewClient(s.target())
	if err != nil {
		t.Fatal(err)
	}
	list, err := Bucket{Name: "b", Measurement: "sensor_data", MachineTag: "workspace_id"}.Survey(t.Context(), client, at(0), at(100))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range list {
		got = append(got, fmt.Sprintf("%s %s: %d, %v %v, %v..%v", l.Machine, l.Sensor, l.Count, l.Sum, l.Summed, l.First.Sub(at(0)).Seconds(), l.Last.Sub(at(0)).Seconds()))
	}
	want := []string{"m n: 3, 6 true, 1..9", "m odd: 4, 0 false, 1..1", "m on: 2, 1 true, 1..1", "m x: 15, 1.5 true, 1..8", "n odd: 1, 0 false, 1.."}
	for i, w := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], w) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			break
		}
	}
	for _, asked := range sums {
		if strings.Contains(asked, `r._field == \"odd\"`) || strings.Contains(asked, "note") {
			t.Errorf("asked %s", asked)
		}
	}
}

// FuzzRecords: no answer may panic, or give a record that its header does not name.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(realAnswer))
	f.Add([]byte(tables(map[string][]string{"double": {"m x 1 2"}, "string": {"m y hi 1"}})))
	f.Add([]byte("#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,out of memory,897\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_ = eachRecord(strings.NewReader(string(answer)), func(cells map[string]string, _ string) error {
			if len(cells) == 0 {
				t.Error("a record without cells")
			}
			return nil
		})
	})
}
