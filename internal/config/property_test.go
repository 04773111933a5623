package config

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsPrintedReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "duration"))
		var d2 Duration
		if err := d2.UnmarshalText([]byte(d.String())); err != nil || d2 != d {
			t.Errorf("%d prints as %s, which reads as %d (%v)", int64(d), d, int64(d2), err)
		}
		b := Bytes(rapid.Int64Range(0, 1<<52).Draw(t, "bytes"))
		var b2 Bytes
		if err := b2.UnmarshalText([]byte(b.String())); err != nil || b2 != b {
			t.Errorf("%d prints as %s, which reads as %d (%v)", int64(b), b, int64(b2), err)
		}
	})
}

// A file of any bytes either loads as a valid configuration, or is refused
// with faults that each say where.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "a", "a: b", "data: {dir: x}", "http:\n  listen: 127.0.0.1:1\n  hosts: [a, b]\n",
		"mqtt:\n  users:\n    - name: a\n      password: b\n", "units: {a: b, ? c : d}", "- 1\n- 2", "%YAML 1.2\n---\n", "data: *a", "data: !!str x",
		"data: |\n  x\n", "a: {b: [c, {d: e", "\x00", "<<: {a: b}", "data: {<<: {dir: x}}", "? [a]\n: b", "\"\\ud800\": 1", "data:\n\tdir: x",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, variable string) {
		if len(text) > 4<<10 || len(variable) > 4<<10 { // the YAML library is slow on deep nesting
			return
		}
		c, err := load("fettle.yaml", []byte(text), []string{"FETTLE_HTTP_HOSTS=" + variable, "FETTLE_LIMITS_MEMORY=" + variable})
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("loaded what is not valid: %v", err)
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("an error without faults: %v", err)
		}
		for _, fault := range faults {
			if fault.Where == "" || strings.TrimSpace(fault.Err.Error()) == "" {
				t.Errorf("a fault that says nothing: %#v", fault)
			}
		}
	})
}
