package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle"
)

// A version outside of the folder of models is read back as it was written,
// under whatever name, and imported as any other.
func TestWriteAndRead(t *testing.T) {
	home := t.TempDir()
	p := publication("press 3")
	dir := filepath.Join(home, "mine")
	written, err := Write(dir, p, clock(), writeRidge)
	if err != nil {
		t.Fatal(err)
	}
	if written.Dir != dir || written.Machine != "press 3" || written.Family != Ridge {
		t.Errorf("wrote %+v", written)
	}
	renamed := filepath.Join(home, "renamed")
	if err := os.Rename(dir, renamed); err != nil {
		t.Fatal(err)
	}
	read, err := Read(renamed)
	if err != nil || read.Name != "renamed" || read.Machine != "press 3" || !slices.Equal(read.Sensors, p.Sensors) || read.Context != p.Context {
		t.Errorf("read %+v, %v", read, err)
	}
	f, _ := open(t, t.TempDir())
	if m, err := f.Import(renamed, ImportOptions{}); err != nil || m.Machine != "press 3" {
		t.Errorf("imported %+v, %v", m, err)
	}
	if got := contents(t, home); !slices.ContainsFunc(got, func(name string) bool { return strings.HasPrefix(name, "renamed") }) || slices.ContainsFunc(got, func(name string) bool { return strings.Contains(name, temporaryPrefix) }) {
		t.Errorf("left %v", got)
	}
}

// An old deployment is read where it lies, its scaler beside it.
func TestReadsOldDeployment(t *testing.T) {
	home := t.TempDir()
	const name = "model_cnc_20251124_093154"
	writeAll(t, filepath.Join(home, name), patchTST(6))
	write(t, filepath.Join(home, "scaler_cnc_20251124_093154.pkl"), scaler(6))
	v, err := Read(filepath.Join(home, name))
	if err != nil || v.Machine != "cnc" || v.Scaler == nil || v.Scaler.Unclipped {
		t.Errorf("%+v, %v", v, err)
	}
}

// Nothing is overwritten, and what cannot be written leaves nothing behind.
func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		what, dir string
		p         Publication
		kind      fettle.Kind
		want      string
	}{
		{"a folder that is there", "taken", publication("m"), fettle.Conflict, "is there already"},
		{"a place that is not", "no/where", publication("m"), fettle.NotFound, "there is no folder"},
		{"no machine", "free", publication(""), fettle.Invalid, "machine"},
		{"a model that is none", "free", Publication{Machine: "m", Family: PatchTST}, fettle.Invalid, "config.json"},
	} {
		home := t.TempDir()
		write(t, filepath.Join(home, "taken", "x"), nil)
		_, err := Write(filepath.Join(home, c.dir), c.p, clock(), writeRidge)
		if err == nil || fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if entries, _ := os.ReadDir(home); len(entries) != 1 {
			t.Errorf("%s: left %v", c.what, entries)
		}
	}
	for _, dir := range []string{"nowhere", t.TempDir()} {
		if v, err := Read(dir); err == nil {
			t.Errorf("read %s: %+v", dir, v)
		}
	}
}
