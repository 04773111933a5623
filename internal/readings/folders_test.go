package readings

import (
	"path/filepath"
	"strings"
	"testing"

	"fettle"
)

func TestFolderName(t *testing.T) {
	long := strings.Repeat("!", 128)
	for _, c := range []struct{ machine, want, folded string }{
		{"lathe-1_spindle", "lathe-1_spindle", "lathe-1_spindle"},
		{"Mill 7.b", "Mill 7.b", "%4Dill 7.b"},
		{"MILL 7.B", "MILL 7.B", "%4D%49%4C%4C 7.%42"},
		{"007", "%3007", "%3007"},
		{"1e5", "%31e5", "%31e5"},
		{"1E5", "%31E5", "1%455"},
		{"a/b\\c:d", "a%2Fb%5Cc%3Ad", "a%2Fb%5Cc%3Ad"},
		{"..", "%2E%2E", "%2E%2E"},
		{"trailing.", "trailing%2E", "trailing%2E"},
		{"wärme", "wärme", "wärme"},
		{"WÄRME", "WÄRME", "%57%C3%84%52%4D%45"},
		{"a%", "a%25", "a%25"},
	} {
		if got := folderName(c.machine, false); got != c.want {
			t.Errorf("folder of %q is %q, expected %q", c.machine, got, c.want)
		}
		if got := folderName(c.machine, true); got != c.folded {
			t.Errorf("where case is folded that of %q is %q, expected %q", c.machine, got, c.folded)
		}
	}
	if a, b := folderName(long, false), folderName(long+"!", false); len(a) > longestFolder || a == b {
		t.Errorf("long names become %q and %q", a, b)
	}
}

// Machines that differ only in case never share a file, and a folder that comes
// from a system that names them otherwise is taken over.
func TestFoldersFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, filepath.Join(dir, "db"))
	s := openIn(t, d, dir)
	for day := range 2 {
		for i, machine := range []string{"Press", "press"} {
			if _, err := s.Append([]fettle.Reading{{Machine: machine, Time: dayStart.AddDate(0, 0, day), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := s.SealAll(t.Context()); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	want := allRows(t, s)
	for _, folds := range []bool{true, false} {
		s, err := open(d, dir, folds, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := allRows(t, s); got != want || s.Files().Lost > 0 {
			t.Errorf("case folded: %v: rows are\n%s\nexpected\n%s", folds, got, want)
		}
		upper, lower := s.folderOf(Raw, "Press"), s.folderOf(Raw, "press")
		if strings.EqualFold(upper, lower) == folds {
			t.Errorf("case folded: %v: folders are %s and %s", folds, upper, lower)
		}
		mustBeSound(t, s)
	}
}
