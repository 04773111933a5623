package readings

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"fettle"
)

// The bytes on disk, so that nobody changes them by accident.
func TestLayout(t *testing.T) {
	state := &state{rows: 300, first: -1, last: 2, latest: []sample{{2, 1}, {-1, -2}}, bytes: [kinds]int64{1, 2, 3}, floor: [kinds]int64{0, 1, 2}, lost: 4}
	closed := &day{version: version{rows: 1, first: 2, last: 3, files: [kinds]sum{{4, 5}, {}, {6, 7}}}, damaged: true}
	values := []fettle.Value{{Sensor: "a", Value: 1}, {Sensor: "b", Value: -2}}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"key", appendMicros(rowsOf(nil, "m"), 5), "722f726d00018000000000000005"},
		{"row", appendRow(nil, 3, values, []uint32{200, 0}), "010302c801000000000000f03f0000000000000000c0"},
		{"info", appendInfo(nil, state), "020104ac02000102020403" + "04"},
		{"latest", appendLatest(nil, state), "01040200000000000000f03f0600000000000000c0"},
		{"day", appendDay(nil, closed), "0102010406040500000607"},
		{"open day", appendOpenDay(nil, openDay{over: 300}), "01ac02"},
		{"tag set", appendTagSet(nil, map[string]string{"k": "v", "a": ""}), "0102016100016b0176"},
	} {
		if got := fmt.Sprintf("%x", c.got); got != c.want {
			t.Errorf("%s is %s, expected %s", c.name, got, c.want)
		}
	}
}

func TestTagSetReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "tags")
		got, err := decodeTagSet(appendTagSet(nil, tags))
		if err != nil || !maps.Equal(got, tags) {
			t.Errorf("read back %v, %v, expected %v", got, err, tags)
		}
	})
}

// Damaged records are errors, never a panic or a flood of memory.
func FuzzRecords(f *testing.F) {
	f.Add(appendRow(nil, 1, []fettle.Value{{Sensor: "a", Value: 1}}, []uint32{1}))
	f.Add(appendInfo(nil, &state{rows: 1}))
	f.Add(appendLatest(nil, &state{latest: []sample{{1, 1}}}))
	f.Add(appendTagSet(nil, map[string]string{"k": "v"}))
	f.Add([]byte{layout, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F})
	f.Add([]byte{})
	w := &words{sensors: []string{"a", "b"}, tagSets: []map[string]string{{"k": "v"}}}
	f.Fuzz(func(t *testing.T, record []byte) {
		values, _, err := w.row(record, nil)
		if err == nil && len(values) > len(record) {
			t.Errorf("%d values from %d bytes", len(values), len(record))
		}
		c := newColumns(&view{words: w}, []string{"b"}, 1)
		c.free = 0
		if filled := c.fill(make([]byte, 8), record); err == nil && filled != nil {
			t.Errorf("readable as a row, but not as a part of columns: %v", filled)
		}
		_, _ = decodeInfo(record)
		_, _ = decodeDay(0, record)
		_, _ = decodeOpenDay(record)
		_, _ = decodeTagSet(record)
		_, _, _ = decodeLatest(record)
	})
}
