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
	state := &state{rows: 300, first: -1, last: 2, latest: []sample{{2, 1}, {-1, -2}}}
	values := []fettle.Value{{Sensor: "a", Value: 1}, {Sensor: "b", Value: -2}}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"key", appendMicros(rowsOf(nil, "m"), 5), "722f726d00018000000000000005"},
		{"row", appendRow(nil, 3, values, []uint32{200, 0}), "010302c801000000000000f03f0000000000000000c0"},
		{"info", appendInfo(nil, state), "010104ac02"},
		{"latest", appendLatest(nil, state), "01040200000000000000f03f0600000000000000c0"},
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
		c := newColumns([]string{"b"}, 1)
		if filled := c.fill(0, make([]byte, 8), record, []int{-1, 0}); err == nil && filled != nil {
			t.Errorf("readable as a row, but not as a part of columns: %v", filled)
		}
		_, _ = decodeInfo(record)
		_, _ = decodeTagSet(record)
		_, _, _ = decodeLatest(record)
	})
}
