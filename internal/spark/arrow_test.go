package spark

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorded is what a Spark 4.0.1 has sent, by name.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/arrow/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	streams := map[string][]byte{}
	for _, file := range files {
		stream, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		streams[filepath.Base(file)] = stream
	}
	return streams
}

func TestArrow(t *testing.T) {
	streams := recorded(t)
	for _, x := range []struct {
		name string
		want []string
		says string
	}{
		{"three", []string{"a", "", "äöü"}, ""},
		{"large-offsets", []string{"a", "", "äöü"}, ""},
		{"one", []string{"only"}, ""},
		{"none", nil, ""},
		{"number", nil, "Arrow's type 2; expected strings"},
		{"two-columns", nil, "2 columns; expected one of strings"},
	} {
		rows, err := appendStrings(nil, streams[x.name])
		if fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", x.want) || !strings.Contains(fmt.Sprint(err), x.says) || (err == nil) != (x.says == "") {
			t.Errorf("%s: %q, %v; expected %q, %q", x.name, rows, err, x.want, x.says)
		}
	}
	// A stream that is cut off anywhere is damaged, or ends earlier.
	whole := streams["three"]
	for n := range whole {
		if rows, _ := appendStrings(nil, whole[:n]); len(rows) != 0 && len(rows) != 3 {
			t.Errorf("%d of %d bytes: %q", n, len(whole), rows)
		}
	}
}

// FuzzArrow feeds the reader of rows with anything: rows are never larger than
// what they were read from, but for those that are missing.
func FuzzArrow(f *testing.F) {
	for _, stream := range recorded(f) {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		rows, err := appendStrings(nil, stream)
		if err != nil && rows != nil {
			t.Errorf("%d rows, and %v", len(rows), err)
		}
		if len(rows) > 8*len(stream) {
			t.Errorf("%d rows of %d bytes", len(rows), len(stream))
		}
	})
}
