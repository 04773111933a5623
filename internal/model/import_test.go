package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle"
)

func TestImport(t *testing.T) {
	six := []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}
	abc := []string{"a", "b", "c"}
	const old, foreign = "model_cnc_20251124_093154", "my-model"
	for _, c := range []struct {
		what    string
		folder  string
		files   map[string][]byte
		beside  bool // the scaler lies beside
		options ImportOptions
		name    string
		sensors []string
	}{
		{"an old deployment", old, patchTST(6), true, ImportOptions{}, old, six},
		{"an old deployment under another name", old, patchTST(6), true, ImportOptions{Machine: "mill 2"}, "model_mill%202_20251124_093154", six},
		{"its scaler inside", old, withFiles(patchTST(6), "scaler.pkl", scaler(6)), false, ImportOptions{}, old, six},
		{"any folder", foreign, withFiles(patchTST(3), "scaler.json", scaler(3)), false, ImportOptions{Machine: "m", Sensors: abc}, "model_m_20251125_042000", abc},
		{"one of another fettle", old, withFiles(patchTST(3), "scaler.json", scaler(3), "fettle.json", `{"machine": "cnc", "sensors": ["a", "b", "c"], "newer": 1}`), false, ImportOptions{}, old, abc},
		{"a card that knows the machine", foreign, withFiles(patchTST(3), "scaler.json", scaler(3), "fettle.json", `{"machine": "m", "sensors": ["a", "b", "c"]}`), false, ImportOptions{}, "model_m_20251125_042000", abc},
		{"a ridge regression", "model_m_20250101_000000", ridge(), false, ImportOptions{}, "model_m_20250101_000000", []string{"x", "y"}},
	} {
		home, dir := t.TempDir(), t.TempDir()
		src := filepath.Join(home, c.folder)
		writeAll(t, src, withFiles(c.files, "generation_config.json", "{}", "training.log", "not the model's own"))
		if c.beside {
			write(t, filepath.Join(home, "scaler_cnc_20251124_093154.pkl"), scaler(6))
		}
		f, changes := open(t, dir)
		m, err := f.Import(src, c.options)
		if err != nil || m.Name != c.name || !slices.Equal(m.Sensors, c.sensors) || !m.Champion {
			t.Errorf("%s: %+v, %v", c.what, m, err)
			continue
		}
		<-changes
		if exists(filepath.Join(dir, m.Name, "training.log")) {
			t.Errorf("%s: copied %v", c.what, contents(t, dir))
		}
		// The copy stands alone.
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
		again, _ := open(t, dir)
		if v, found := again.Get(c.name); !found || !slices.Equal(v.Sensors, c.sensors) || v.Parameters != m.Parameters {
			t.Errorf("%s: read again: %+v %v", c.what, v, again.Problems())
		}
	}
}

// TestImportTwice keeps the first and gives the second the next second.
func TestImportTwice(t *testing.T) {
	src := filepath.Join(t.TempDir(), "model_cnc_20251124_093159")
	writeAll(t, src, withFiles(patchTST(6), "scaler.json", scaler(6)))
	f, _ := open(t, t.TempDir())
	for range 2 {
		if _, err := f.Import(src, ImportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(names(f), " "); got != "model_cnc_20251124_093159 model_cnc_20251124_093200*" {
		t.Errorf("versions %s", got)
	}
}

func TestImportGivenScaler(t *testing.T) {
	home := t.TempDir()
	writeAll(t, filepath.Join(home, "net"), patchTST(3))
	f, _ := open(t, t.TempDir())
	m, err := f.Import(filepath.Join(home, "net"), ImportOptions{Machine: "m", Scaler: "testdata/named_1.3.1.pkl"})
	if err != nil || !slices.Equal(m.Sensors, []string{"current", "accX", "tempA"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if v, _ := f.Get(m.Name); v.Scaler == nil || v.Scaler.DataMin[2] != 60 {
		t.Errorf("%+v", v)
	}
}

// TestImportWholeOrNotAtAll leaves nothing behind when it fails.
func TestImportWholeOrNotAtAll(t *testing.T) {
	home := t.TempDir()
	writeAll(t, filepath.Join(home, "model_c_20250101_000000"), patchTST(6))
	write(t, filepath.Join(home, "file"), nil)
	for name, files := range map[string]map[string][]byte{
		"bare":    patchTST(6),
		"seven":   withFiles(patchTST(7), "scaler.json", scaler(7)),
		"cut":     withFiles(patchTST(6), "scaler.json", scaler(6), "model.safetensors", patchTST(6)["model.safetensors"][:900]),
		"binary":  {"config.json": patchTST(6)["config.json"], "pytorch_model.bin": nil},
		"changed": withFiles(patchTST(6), "scaler.json", scaler(6), "fettle.json", `{"sha256": "abc"}`),
		"empty":   {"README.md": nil},
		"linked":  withFiles(patchTST(6), "scaler.json", scaler(6)),
	} {
		writeAll(t, filepath.Join(home, name), files)
	}
	linked := filepath.Join(home, "linked", "config.json")
	if err := os.Remove(linked); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(home, "seven", "config.json"), linked); err != nil {
		t.Fatal(err)
	}
	m := ImportOptions{Machine: "m"}
	for _, c := range []struct {
		src     string
		options ImportOptions
		want    string
		kind    fettle.Kind
	}{
		{"nowhere", m, "there is no such folder", fettle.NotFound},
		{"file", m, "it is no folder; expected one with config.json and model.safetensors", fettle.Invalid},
		{"seven", ImportOptions{}, "give it (--machine)", fettle.Invalid},
		{"seven", m, "nothing names the model's 7 sensors", fettle.Invalid},
		{"seven", ImportOptions{Machine: "m", Sensors: []string{"a"}}, "1 sensors are named (a); the model has 7 channels", fettle.Invalid},
		{"seven", ImportOptions{Machine: strings.Repeat("m", 200)}, "expected 1 to 128 bytes", fettle.Invalid},
		{"seven", ImportOptions{Machine: "m", Scaler: "testdata/minmax_1.9.1.pkl"}, "the scaler has 3 channels; the model has 7", fettle.Invalid},
		{"model_c_20250101_000000", ImportOptions{}, "there is no scaler: neither scaler.json nor scaler.pkl in the folder, nor scaler_c_20250101_000000.pkl beside it; give its path (--scaler)", fettle.Invalid},
		{"bare", m, "there is no scaler", fettle.Invalid},
		{"bare", ImportOptions{Machine: "m", Scaler: "testdata/standard_1.9.1.pkl"}, "StandardScaler", fettle.Invalid},
		{"cut", m, "the file is cut short", fettle.Invalid},
		{"binary", m, "save the model anew with save_pretrained(safe_serialization=True)", fettle.Invalid},
		{"changed", m, "its card says abc", fettle.Invalid},
		{"empty", m, "the folder holds neither config.json nor ridge.json", fettle.Invalid},
		{"linked", m, "config.json is a symbolic link; copy the file itself", fettle.Invalid},
	} {
		dir := t.TempDir()
		f, changes := open(t, dir)
		_, err := f.Import(filepath.Join(home, c.src), c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) || fettle.KindOf(err) != c.kind {
			t.Errorf("%s: error %v of kind %v; want %q of kind %v", c.src, err, fettle.KindOf(err), c.want, c.kind)
		}
		if left := contents(t, dir); len(left) > 0 || len(changes) > 0 {
			t.Errorf("%s: left are %v, %d changes told", c.src, left, len(changes))
		}
	}
}

// TestImportFromInside refuses to copy a version beside itself.
func TestImportFromInside(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), ridge())
	f, _ := open(t, dir)
	if _, err := f.Import(filepath.Join(dir, "model_a_20250101_000000"), ImportOptions{}); fettle.KindOf(err) != fettle.Conflict {
		t.Error(err)
	}
}
