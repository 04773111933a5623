package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fettle"
)

// TestEncodedReadsBack holds AppendJSON to Decode for any reading.
func TestEncodedReadsBack(t *testing.T) {
	name := rapid.StringMatching(`[^\p{Cc}/\\+#]{1,20}`).Filter(func(s string) bool { return !reserved(s) && s != "" && s != "." && s != ".." })
	rapid.Check(t, func(t *rapid.T) {
		want := fettle.Reading{Machine: name.Draw(t, "machine")}
		if rapid.Bool().Draw(t, "timed") {
			want.Time = time.UnixMicro(rapid.Int64Range(earliestMicros, latestMicros-1).Draw(t, "micros")).UTC()
		}
		sensors := rapid.SliceOfNDistinct(name, 1, 20, rapid.ID).Draw(t, "sensors")
		for _, sensor := range sensors {
			want.Values = append(want.Values, fettle.Value{Sensor: sensor, Value: rapid.Float64().Draw(t, "value")})
		}
		want.Values = fettle.SortValues(want.Values)
		for _, tag := range rapid.SliceOfNDistinct(name, 0, 5, rapid.ID).Draw(t, "tags") {
			if _, taken := want.Value(tag); !taken {
				if want.Tags == nil {
					want.Tags = map[string]string{}
				}
				want.Tags[tag] = rapid.StringN(0, 20, 80).Draw(t, "text")
			}
		}
		encoded := AppendJSON(nil, want)
		got, err := Decode(Names{}, encoded)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Fatalf("%s\nreads as %v, %v\nwant       %v", encoded, got, err, want)
		}
	})
}

// seeds are the vectors, without those that are only long: they would slow the
// fuzzer down.
func seeds() (payloads [][]byte) {
	for _, v := range vectors {
		if len(v.payload) < 500 {
			payloads = append(payloads, []byte(v.payload))
		}
	}
	return payloads
}

// FuzzDecode: no input may panic, what is refused names a reason, what is taken
// keeps the promises of a Reading, and reads back from its own encoding.
func FuzzDecode(f *testing.F) {
	for _, payload := range seeds() {
		f.Add("press-3", "", payload)
	}
	f.Add("press-3", "current", []byte("17.2"))
	f.Fuzz(func(t *testing.T, machine, sensor string, payload []byte) {
		if !utf8.ValidString(machine) || !utf8.ValidString(sensor) {
			return // the broker takes only topics in UTF-8
		}
		rows, err := Decode(Names{machine, sensor}, payload)
		for _, err := range all(err) {
			var e *fettle.Error
			if !errors.As(err, &e) || e.Kind != fettle.Invalid || e.Reason == "" || e.Field == "" || e.Expected == "" {
				t.Errorf("%q: error %#v does not say what was wrong", payload, err)
			}
		}
		if err == nil && len(rows) == 0 {
			t.Errorf("%q: neither rows nor an error", payload)
		}
		for _, row := range rows {
			encoded := AppendJSON(nil, row)
			if !json.Valid(encoded) {
				t.Errorf("%q: encoded as %s, which is not JSON", payload, encoded)
			}
			again, err := Decode(Names{}, encoded)
			if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], row) {
				t.Errorf("%q: encoded as %s, which reads as %v, %v", payload, encoded, again, err)
			}
		}
	})
}

// missing finds the words that only our scanner takes.
var missing = regexp.MustCompile(`(?i)[+-]?(nan|inf(inity)?)`)

// FuzzScanner: what the scanner calls JSON is what encoding/json does.
func FuzzScanner(f *testing.F) {
	for _, payload := range seeds() {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if missing.Match(data) || !utf8.Valid(data) {
			return // differs on purpose
		}
		s := &scanner{data: data}
		v, err := s.value()
		if err == nil && (v.kind == kindObject || v.kind == kindArray) {
			err = s.skip(v.kind, 0)
		}
		if err == nil {
			err = s.end()
		}
		if fettle.ReasonOf(err) == reasonNested {
			return // deeper than the scanner goes
		}
		if want := json.Valid(data); (err == nil) != want {
			t.Errorf("%q: scanner says %v, encoding/json says valid is %v", data, err, want)
		}
	})
}

var (
	oldUniform = []byte(`{"workspace_id": "cnc-mill-5-axis", "sensor_type": "industrial", "current": 17.21, "accX": 0.1311, "accY": -0.0402, "accZ": 1.0007, "tempA": 60.12, "tempB": 61.4}`)
	oldTimed   = []byte(`{"workspace_id": "lathe-1-spindle", "timestamp": "2025-11-25T04:20:00.123456Z", "current": 15.31, "accX": 0.195, "accY": 0.128, "accZ": 0.271, "tempA": 50.4, "tempB": 47.6}`)
)

func BenchmarkDecodeOldUniform(b *testing.B) { benchmarkDecode(b, oldUniform) }
func BenchmarkDecodeOldTimed(b *testing.B)   { benchmarkDecode(b, oldTimed) }

func BenchmarkDecodeBatch(b *testing.B) {
	benchmarkDecode(b, append(append([]byte("["), bytes.Repeat(append(oldTimed, ','), 999)...), append(oldTimed, ']')...))
}

func benchmarkDecode(b *testing.B, message []byte) {
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(Names{}, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	rows, err := Decode(Names{}, oldTimed)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var buffer []byte
	for b.Loop() {
		buffer = AppendJSON(buffer[:0], rows[0])
	}
}
