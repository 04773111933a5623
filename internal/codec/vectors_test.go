package codec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"fettle"
)

// vectors is the table that every way in is held to: what comes on which topic,
// the readings that are taken from it, and what is said about the rest. A
// reading is written "machine time sensor=value… tag:text…", an arrival time "-".
var vectors = []struct {
	note, topic, payload string
	rows                 []string
	refused              []string // "reason | text"
}{
	// The two old senders, message for message.
	{"the first generator", "machine_sensor_data",
		`{"workspace_id": "cnc-mill-5-axis", "sensor_type": "industrial", "current": 17.21, "accX": 0.1311, "accY": -0.0402, "accZ": 1.0007, "tempA": 60.12, "tempB": 61.4}`,
		[]string{"cnc-mill-5-axis - accX=0.1311 accY=-0.0402 accZ=1.0007 current=17.21 tempA=60.12 tempB=61.4 sensor_type:industrial"}, nil},
	{"the later generator", "sensor/data",
		`{"workspace_id": "68889e4d171eff841cba171a", "timestamp": "2025-11-25T04:20:00.123456Z", "current": 10.31, "accX": 0.095, "accY": 0.128, "accZ": 0.171, "tempA": 40.4, "tempB": 37.6}`,
		[]string{"68889e4d171eff841cba171a 2025-11-25T04:20:00.123456Z accX=0.095 accY=0.128 accZ=0.171 current=10.31 tempA=40.4 tempB=37.6"}, nil},

	// Who.
	{"the topic names the machine", "fettle/press-3/readings", `{"current": 1}`, []string{"press-3 - current=1"}, nil},
	{"topic and message agree", "fettle/press-3/readings", `{"machine": "press-3", "current": 1}`, []string{"press-3 - current=1"}, nil},
	{"topic and message disagree", "fettle/press-3/readings", `{"machine": "press-4", "current": 1}`, nil,
		[]string{`machine names disagree | machine is "press-4"; expected "press-3" as in the topic, or no name`}},
	{"two names in one message", "", `{"machine": "a", "workspace_id": "b", "x": 1}`, nil,
		[]string{`machine names disagree | workspace_id is "b"; expected "a" as in machine, or one of the two`}},
	{"machine is null, workspace_id is not", "", `{"machine": null, "workspace_id": "b", "x": 1}`, []string{"b - x=1"}, nil},
	{"numbered machines", "", `{"machine": 12, "x": 1}`, []string{"12 - x=1"}, nil},
	{"no machine", "sensor/data", `{"current": 1}`, nil,
		[]string{`no machine | machine is missing; expected "machine" or "workspace_id" in the message, or a topic that names it, such as fettle/press-3/readings`}},
	{"an empty name is none", "", `{"machine": "", "x": 1}`, nil, []string{"no machine | machine is missing"}},
	{"a machine that is no text", "", `{"machine": {"id": 1}, "x": 1}`, nil, []string{"no machine | machine is not text; expected the machine's name"}},
	{"a name that would break topics", "", `{"machine": "a/b", "x": 1}`, nil, []string{`name not usable | machine is "a/b"; expected 1 to 128 bytes`}},
	{"a name that is a way up", "", `{"machine": "..", "x": 1}`, nil, []string{`name not usable | machine is ".."; expected 1 to 128 bytes without / \ + # and control characters, and neither . nor ..`}},
	{"a name that is too long", "", `{"machine": "` + strings.Repeat("m", 129) + `", "x": 1}`, nil, []string{"name not usable | machine is "}},
	{"names in any script", "", `{"machine": "Säge Süd 2", "Strom °": 1}`, []string{"Säge Süd 2 - Strom °=1"}, nil},

	// When.
	{"no zone is UTC", "", `{"machine": "m", "timestamp": "2025-11-25T04:20:00", "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"a space, a fraction, no zone", "", `{"machine": "m", "time": "2025-11-25 04:20:00.5", "x": 1}`, []string{"m 2025-11-25T04:20:00.5Z x=1"}, nil},
	{"a zone", "", `{"machine": "m", "ts": "2025-11-25T09:50:00+05:30", "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"a zone without colon, small letters", "", `{"machine": "m", "ts": "2025-11-25t09:50:00+0530", "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"finer than microseconds is cut", "", `{"machine": "m", "ts": "2025-11-25T04:20:00.123456789z", "x": 1}`, []string{"m 2025-11-25T04:20:00.123456Z x=1"}, nil},
	{"seconds", "", `{"machine": "m", "ts": 1764044400, "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"seconds with a fraction", "", `{"machine": "m", "ts": 1764044400.123456, "x": 1}`, []string{"m 2025-11-25T04:20:00.123456Z x=1"}, nil},
	{"seconds with an exponent", "", `{"machine": "m", "ts": 1.7640444e9, "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"milliseconds", "", `{"machine": "m", "ts": 1764044400123, "x": 1}`, []string{"m 2025-11-25T04:20:00.123Z x=1"}, nil},
	{"microseconds as text", "", `{"machine": "m", "ts": "1764044400123456", "x": 1}`, []string{"m 2025-11-25T04:20:00.123456Z x=1"}, nil},
	{"nanoseconds", "", `{"machine": "m", "ts": 1764044400123456789, "x": 1}`, []string{"m 2025-11-25T04:20:00.123456Z x=1"}, nil},
	{"timestamp goes before ts", "", `{"machine": "m", "ts": 5, "timestamp": 1764044400, "x": 1}`, []string{"m 2025-11-25T04:20:00Z x=1"}, nil},
	{"no time is the arrival", "", `{"machine": "m", "timestamp": null, "x": 1}`, []string{"m - x=1"}, nil},
	{"a time of day", "", `{"machine": "m", "timestamp": "04:20", "x": 1}`, nil,
		[]string{"time not readable | timestamp is 04:20; expected RFC 3339, such as 2025-11-25T04:20:00.5Z, or the time since 1970"}},
	{"a day that is none", "", `{"machine": "m", "time": "2025-02-30T00:00:00Z", "x": 1}`, nil, []string{"time not readable | time is 2025-02-30T00:00:00Z"}},
	{"before 1970", "", `{"machine": "m", "ts": -0.5, "x": 1}`, nil, []string{"time not readable | ts is -0.5"}},
	{"in the next millennium", "", `{"machine": "m", "ts": "3025-01-01T00:00:00Z", "x": 1}`, nil, []string{"time not readable | ts is 3025-01-01T00:00:00Z; expected a time from 1970 to 2261"}},
	{"an empty time", "", `{"machine": "m", "ts": "", "x": 1}`, nil, []string{"time not readable | ts is empty; expected RFC 3339"}},
	{"a time that is no time", "", `{"machine": "m", "ts": true, "x": 1}`, nil, []string{"time not readable | ts is neither text nor a number"}},

	// What.
	{"missing, in every spelling", "", `{"machine": "m", "a": null, "b": NaN, "c": -Infinity, "d": nan, "e": -inf, "f": 1}`, []string{"m - f=1"}, nil},
	{"the words inside text are text", "", `{"machine": "m", "x": 1, "note": "NaN, \"null\""}`, []string{`m - x=1 note:NaN, "null"`}, nil},
	{"true and false", "", `{"machine": "m", "on": true, "fault": false}`, []string{"m - fault=0 on=1"}, nil},
	{"text that looks like a number", "", `{"machine": "m", "x": 1, "serial": "007"}`, []string{"m - x=1 serial:007"}, nil},
	{"flattened too far", "", `{"machine": "m", "bearing": {"temp": 61, "a": {"b": {"c": {"d": 2}}}}}`,
		nil, []string{"nested too deeply | bearing.a.b.c is an object; expected a value: at most 4 names deep"}},
	{"flattened as far as it goes", "", `{"machine": "m", "a": {"b": {"c": {"d": 1}}, "side": "left"}}`, []string{"m - a.b.c.d=1 a.side:left"}, nil},
	{"a reading as the API prints it", "", `{"machine": "m", "time": "2025-11-25T04:20:00Z", "values": {"current": 17.2}, "tags": {"shift": "late"}}`,
		[]string{"m 2025-11-25T04:20:00Z current=17.2 shift:late"}, nil},
	{"a sensor called values", "", `{"machine": "m", "values": 3}`, []string{"m - values=3"}, nil},
	{"the last of two wins", "", `{"machine": "m", "x": 1, "x": 2}`, []string{"m - x=2"}, nil},
	{"a number wins over text", "", `{"machine": "m", "x": 1, "x": "two"}`, []string{"m - x=1"}, nil},
	{"large, small, whole", "", `{"machine": "m", "a": 1e300, "b": -2.5E-3, "c": 9007199254740993}`, []string{"m - a=1e+300 b=-0.0025 c=9.007199254740992e+15"}, nil},
	{"escapes", "", `{"machine": "m", "\u0078\/y": 1, "t": "\u00b0\ud83d\ude00\ud800"}`, []string{"m - x/y=1 t:°😀\uFFFD"}, nil},
	{"a byte order mark and a newline", "", "\uFEFF{\"machine\": \"m\", \"x\": 1}\r\n", []string{"m - x=1"}, nil},
	{"larger than any number", "", `{"machine": "m", "x": 1e999}`, nil, []string{"number too large | x is 1e999; expected a number that fits 64 bits of floating point"}},
	{"nothing to measure", "", `{"machine": "m", "state": "on", "x": null}`, nil,
		[]string{`no values | message is without a number; expected at least one numeric field, such as "current": 17.2`}},
	{"an array in a message", "", `{"machine": "m", "x": [1, [2]], "y": 1}`, nil, []string{"array in a message | x is an array; expected a number"}},
	{"a nameless sensor", "", `{"machine": "m", "": 1}`, nil, []string{`name not usable | sensor is ""; expected 1 to 128 bytes`}},
	{"a sensor named like a time", "", `{"machine": "m", "values": {"time": 1}}`, nil, []string{`name not usable | sensor is "time"; expected another name`}},
	{"a long text", "", `{"machine": "m", "x": 1, "t": "` + strings.Repeat("a", 257) + `"}`, nil, []string{"tag too long | t is text of 257 bytes; expected at most 256"}},
	{"many texts", "", `{"machine": "m", "x": 1` + fields(33, `"a"`) + `}`, nil, []string{"too many tags | message is one with more than 32 text fields; expected at most 32"}},
	{"as many sensors as may be", "", `{"machine": "m"` + fields(fettle.MaxSensors, "1") + `}`, []string{"m - f0=1 f1=1 f10=1"}, nil},
	{"many sensors", "", `{"machine": "m"` + fields(fettle.MaxSensors+1, "1") + `}`, nil, []string{"too many sensors | message is one with 5001 numeric fields; expected at most 5000"}},

	// Batches.
	{"each is judged alone", "", `[{"machine": "a", "x": 1}, {"machine": "b", "ts": "soon", "x": 1}, 7, [1], {"machine": "c", "x": 2, "y": [1]}, {"machine": "d", "x": 3}]`,
		[]string{"a - x=1", "d - x=3"}, []string{"time not readable | [1].ts is soon", "not a sensor message | [2] is 7; expected an object",
			"not a sensor message | [3] is an array in an array", "array in a message | [4].y is an array"}},
	{"an empty array", "", `[]`, nil, []string{"no values | message is an empty array; expected at least one reading"}},
	{"JSON that ends early refuses all", "", `[{"machine": "a", "x": 1},`, nil, []string{"not JSON | byte 27 is the end of the message; expected a value"}},
	{"too many rows", "", "[" + strings.Repeat(`{"machine":"m","x":1},`, MaxRows) + `{}]`, nil,
		[]string{"too many rows | message is an array of more than 10000; expected at most 10000 readings in one message"}},

	// Topics that name the sensor.
	{"a bare number", "plant/press-3/current", `17.2`, []string{"press-3 - current=17.2"}, nil},
	{"a bare switch", "plant/press-3/on", ` true `, []string{"press-3 - on=1"}, nil},
	{"an object about the sensor", "plant/press-3/temp", `{"value": 61.5, "min": 60, "unit": "C", "time": 1764044400}`,
		[]string{"press-3 2025-11-25T04:20:00Z temp=61.5 temp.min=60 temp.unit:C"}, nil},
	{"bare text", "plant/press-3/current", `"17.2"`, nil, []string{`not a sensor message | message is "17.2"; expected a number or an object`}},
	{"a bare nothing", "plant/press-3/current", `NaN`, nil, []string{"no values | message is without a number"}},
	{"a sensor that cannot be one", "plant/press-3/time", `1`, nil, []string{`name not usable | sensor is "time"; expected another name`}},
	{"a bare number elsewhere", "sensor/data", `17.2`, nil, []string{"not a sensor message | message is 17.2; expected an object; bare numbers only on a topic that names the {sensor}"}},

	// Not messages at all.
	{"empty", "", ``, nil, []string{`not JSON | message is empty; expected JSON, such as {"machine": "press-3", "current": 17.2}`}},
	{"text", "", `hello`, nil, []string{`not JSON | byte 1 is 'h'; expected a value`}},
	{"two messages", "", `{"machine": "m", "x": 1} {"machine": "m", "x": 2}`, nil, []string{`not JSON | byte 26 is '{'; expected nothing after the message`}},
	{"a forgotten comma", "", `{"machine": "m" "x": 1}`, nil, []string{`not JSON | byte 17 is '"'; expected ',' or '}'`}},
	{"a comma too many", "", `{"machine": "m", "x": 1,}`, nil, []string{`not JSON | byte 25 is '}'; expected a field's name in double quotes`}},
	{"a leading zero", "", `{"machine": "m", "x": 01}`, nil, []string{`not JSON | byte 23 is '0'; expected a number without leading zeros`}},
	{"an open string", "", `{"machine": "m`, nil, []string{`not JSON | byte 15 is the end of the message; expected '"' at the end of a string`}},
	{"not UTF-8", "", "{\"machine\": \"m\xff\", \"x\": 1}", nil, []string{"not UTF-8 | message is not UTF-8"}},
	{"deep nonsense", "", strings.Repeat("[", 1000), nil, []string{"nested too deeply | byte"}},
	{"too large", "", `{"machine": "m", "x": 1` + strings.Repeat(" ", MaxMessage), nil, []string{"message too large | message is 1048599 bytes long; expected at most 1048576"}},
}

// fields makes n fields more, f0, f1, ….
func fields(n int, value string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `, "f%d": %s`, i, value)
	}
	return text.String()
}

func TestVectors(t *testing.T) {
	topics := newTopics(t, "sensor/data", "machine_sensor_data", "fettle/{machine}/readings", "plant/{machine}/{sensor}")
	for _, v := range vectors {
		t.Run(v.note, func(t *testing.T) {
			names, ok := topics.Match(v.topic)
			if !ok && v.topic != "" {
				t.Fatalf("topic %q does not match", v.topic)
			}
			rows, err := Decode(names, []byte(v.payload))
			if len(rows) != len(v.rows) {
				t.Fatalf("got %d rows, want %d; error: %v", len(rows), len(v.rows), err)
			}
			for i, row := range rows {
				if got := show(row); !strings.HasPrefix(got, v.rows[i]) {
					t.Errorf("row %d is\n  %.300s, want\n  %s", i, got, v.rows[i])
				}
			}
			refused := all(err)
			if len(refused) != len(v.refused) {
				t.Fatalf("got %d errors, want %d: %v", len(refused), len(v.refused), err)
			}
			for i, err := range refused {
				if got := fettle.ReasonOf(err) + " | " + err.Error(); !strings.HasPrefix(got, v.refused[i]) {
					t.Errorf("error %d is\n  %s, want\n  %s", i, got, v.refused[i])
				}
				if fettle.KindOf(err) != fettle.Invalid {
					t.Errorf("error %d is of kind %v, want invalid", i, fettle.KindOf(err))
				}
			}
		})
	}
}

// show writes a reading as the table does.
func show(r fettle.Reading) string {
	text := r.Machine + " -"
	if !r.Time.IsZero() {
		text = r.Machine + " " + r.Time.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	for _, v := range r.Values {
		text += fmt.Sprintf(" %s=%v", v.Sensor, v.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		text += " " + name + ":" + r.Tags[name]
	}
	return text
}

// all lists the errors of a batch, or the one of a message.
func all(err error) []error {
	var batch Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &batch):
		return batch
	default:
		return []error{err}
	}
}
