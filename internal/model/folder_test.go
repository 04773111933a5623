package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// TestOldDeployment takes in folders and scalers as the old system left them.
func TestOldDeployment(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, filepath.Join(dir, "model_cnc_mill_20251124_093154"), patchTST(6))
	write(t, filepath.Join(dir, "scaler_cnc_mill_20251124_093154.pkl"), scaler(6))
	f, _ := open(t, dir)
	v, found := f.Champion("cnc_mill", fettle.ShortForecaster)
	if !found {
		t.Fatal(f.Problems())
	}
	if v.Family != PatchTST || v.Context != 4 || v.Horizon != 2 || v.Parameters != 60 || !v.Champion || v.Scaler.Width() != 6 ||
		!v.Created.Equal(time.Date(2025, 11, 24, 9, 31, 54, 0, time.UTC)) || !slices.Equal(v.Sensors, []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}) {
		t.Errorf("%+v", v)
	}
	if w, found := f.Get("model_cnc_mill_20251124_093154"); !found || w.Dir != filepath.Join(dir, w.Name) || w.Fingerprint == "" {
		t.Errorf("%+v, %v", w, found)
	}
	if _, found := f.Champion("cnc", fettle.ShortForecaster); found {
		t.Error("a machine without models has a champion")
	}
}

// TestChampions holds the rule: the newest PatchTST, else the newest ridge.
func TestChampions(t *testing.T) {
	net := withFiles(patchTST(6), "scaler.json", scaler(6))
	for _, c := range []struct {
		what    string
		folders map[string]map[string][]byte
		want    string
	}{
		{"ridges", map[string]map[string][]byte{"model_a_20250101_000000": ridge(), "model_a_20250102_000000": ridge()}, "model_a_20250101_000000 model_a_20250102_000000*"},
		{"PatchTSTs", map[string]map[string][]byte{"model_a_20250101_235959": net, "model_a_20250101_000000": net}, "model_a_20250101_000000 model_a_20250101_235959*"},
		{"an older PatchTST", map[string]map[string][]byte{"model_a_20250101_000000": net, "model_a_20250102_000000": ridge()}, "model_a_20250101_000000* model_a_20250102_000000"},
		{"two machines", map[string]map[string][]byte{"model_a_b_20250101_000000": ridge(), "model_a_20250101_000000": ridge()}, "model_a_20250101_000000* model_a_b_20250101_000000*"},
	} {
		dir := t.TempDir()
		for name, files := range c.folders {
			writeAll(t, filepath.Join(dir, name), files)
		}
		f, _ := open(t, dir)
		if got := strings.Join(names(f), " "); got != c.want {
			t.Errorf("%s: %s; want %s %v", c.what, got, c.want, f.Problems())
		}
	}
}

// TestBrokenFolders names each folder's trouble, and serves the rest.
func TestBrokenFolders(t *testing.T) {
	net := func(more ...any) map[string][]byte {
		return withFiles(withFiles(patchTST(6), "scaler.json", scaler(6)), more...)
	}
	for _, c := range []struct {
		files map[string][]byte
		want  string
	}{
		{map[string][]byte{"README.md": nil}, "the folder holds neither config.json nor ridge.json"},
		{map[string][]byte{"config.json": patchTST(6)["config.json"]}, "model.safetensors"},
		{patchTST(6), "there is no scaler: neither scaler.json nor scaler.pkl in the folder, nor scaler_b_20250101_000000.pkl beside it"},
		{net("model.safetensors", patchTST(6)["model.safetensors"][:900]), "the file is cut short"},
		{net("config.json", `{"share_projection": false, "scaling": null}`), "share_projection is false; only true is supported"},
		{net("scaler.json", scaler(5)), "the scaler has 5 channels; the model has 6"},
		{net("scaler.json", pickleFile(t, "standard_1.9.1.pkl")), "StandardScaler"},
		{withFiles(patchTST(7), "scaler.json", scaler(7)), `nothing names the model's 7 sensors: give them in the channels' order, by --sensors while importing, or as {"sensors": ["...", ...]} in the folder's fettle.json`},
		{net("fettle.json", `{"sensors": ["a", "b"]}`), "2 sensors are named (a, b); the model has 6 channels"},
		{net("fettle.json", `{"machine": "c"}`), "machine is c; expected b, as in the folder's name"},
		{net("fettle.json", `{"context": 5}`), "context is 5; expected 4, as in config.json"},
		{net("fettle.json", `{"sensors"`), "read card"},
		{map[string][]byte{"ridge.json": []byte("{}")}, "fettle.json of a ridge model lacks sensors, context or horizon"},
		{map[string][]byte{"fettle.json": ridge()["fettle.json"]}, "ridge.json"},
		{net("scaler.pkl", make([]byte, maxScaler+1)), "is 1048577 bytes; at most 1048576 are read"},
	} {
		dir := t.TempDir()
		writeAll(t, filepath.Join(dir, "model_b_20250101_000000"), c.files)
		writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), ridge())
		f, _ := open(t, dir)
		if got := strings.Join(names(f), " "); got != "model_a_20250101_000000*" {
			t.Errorf("usable are %s; want the other folder", got)
		}
		if p := f.Problems(); len(p) != 1 || p[0].Name != "model_b_20250101_000000" || !strings.Contains(p[0].Reason, c.want) {
			t.Errorf("problems %v; want %q", p, c.want)
		}
	}
}

// TestDamagedWeights are found after the folder was opened, and before somebody
// loads them.
func TestDamagedWeights(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, filepath.Join(dir, "model_b_20250101_000000"), withFiles(patchTST(6), "scaler.json", scaler(6), "fettle.json", `{"sha256": "00"}`))
	writeAll(t, filepath.Join(dir, "model_b_20240101_000000"), ridge())
	f, _ := open(t, dir)
	v, found := f.Get("model_b_20250101_000000")
	if err := v.CheckWeights(); !found || err == nil || !strings.Contains(err.Error(), "its card says 00: the file is damaged, or still being copied") {
		t.Errorf("%v: %v", found, err)
	}
	f.verify(t.Context())
	if p := f.Problems(); len(p) != 1 || p[0].Name != v.Name || !strings.Contains(p[0].Reason, "the file is damaged") {
		t.Errorf("problems %v", p)
	}
	if got := strings.Join(names(f), " "); got != "model_b_20240101_000000*" {
		t.Errorf("usable are %s", got)
	}
}

// TestSensorsNamed takes the channels' names from whoever knows them.
func TestSensorsNamed(t *testing.T) {
	for _, c := range []struct {
		card, names string
		want        []string
	}{
		{`{"sensors": ["a", "b", "c"]}`, `"x", "y", "z"`, []string{"a", "b", "c"}},
		{`{}`, `"x", "y", "z"`, []string{"x", "y", "z"}},
	} {
		dir := t.TempDir()
		text := `{"data_min": [0,0,0], "data_max": [1,1,1], "scale": [1,1,1], "min": [0,0,0], "feature_names": [` + c.names + `]}`
		writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), withFiles(patchTST(3), "scaler.json", text, "fettle.json", c.card))
		f, _ := open(t, dir)
		if v, found := f.Champion("a", fettle.ShortForecaster); !found || !slices.Equal(v.Sensors, c.want) {
			t.Errorf("%s: sensors %v; want %v %v", c.card, v.Sensors, c.want, f.Problems())
		}
	}
}

// TestOtherEntries passes over what is no version, and says why a folder that
// looks like one is not used.
func TestOtherEntries(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	writeAll(t, elsewhere, ridge())
	writeAll(t, filepath.Join(dir, ".fettle-123"), ridge())
	writeAll(t, filepath.Join(dir, "from-a-friend"), ridge())
	write(t, filepath.Join(dir, "notes.txt"), nil)
	writeAll(t, filepath.Join(dir, "model_b_20250101_000000"), ridge())
	for link, target := range map[string]string{
		"model_a_20250101_000000":            elsewhere,
		"model_b_20250101_000000/extra.json": filepath.Join(elsewhere, "ridge.json"),
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := open(t, dir)
	if len(f.List()) != 0 {
		t.Errorf("usable are %v", names(f))
	}
	want := []string{"is not model_<machine>_<YYYYMMDD_HHMMSS>", "a symbolic link is not followed", "extra.json is a symbolic link"}
	problems := f.Problems()
	for i, name := range []string{"from-a-friend", "model_a_20250101_000000", "model_b_20250101_000000"} {
		if len(problems) != 3 || problems[i].Name != name || !strings.Contains(problems[i].Reason, want[i]) {
			t.Fatalf("problems %v; want %s: %s", problems, name, want[i])
		}
	}
}

// TestSweep deletes what a killed process left, but not what another one is
// writing now.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".fettle-old": 25 * time.Hour, ".fettle-new": time.Hour} {
		writeAll(t, filepath.Join(dir, name), ridge())
		at := clock().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if got := contents(t, dir); !slices.Equal(got, []string{".fettle-new", ".fettle-new/fettle.json", ".fettle-new/ridge.json"}) {
		t.Errorf("left are %v", got)
	}
}
