package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fettle"
)

// TestPickleReadsBack writes any scaler as a pickle and reads the same again.
func TestPickleReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "channels")
		number := rapid.Float64Range(-1e12, 1e12).Filter(func(v float64) bool { return math.Abs(v) > 1e-12 })
		list := func(name string) []float64 { return rapid.SliceOfN(number, n, n).Draw(t, name) }
		s := Scaler{DataMin: list("data min"), DataMax: list("data max"), Scale: list("scale"), Min: list("min")}
		if rapid.Bool().Draw(t, "named") {
			s.FeatureNames = rapid.SliceOfN(rapid.StringN(0, 300, -1), n, n).Draw(t, "names")
		}
		got, err := parseScaler(s.Pickle(""))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v, %v; want %+v", got, err, s)
		}
	})
}

func TestExport(t *testing.T) {
	f, _ := open(t, t.TempDir())
	ridge := fitRidge(t, f, "a")
	name := network(t, f, "a")
	to := filepath.Join(t.TempDir(), "out")
	if dir, err := f.Export(name, to, ExportOptions{}); err != nil || dir != to {
		t.Fatal(dir, err)
	}
	if got := strings.Join(contents(t, to), " "); got != "config.json fettle.json model.safetensors scaler.json scaler.pkl" {
		t.Errorf("exported are %s", got)
	}
	if s, err := ReadScaler(filepath.Join(to, "scaler.pkl")); err != nil || s.Width() != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	// Elsewhere it serves at once, with what its card says.
	other, _ := open(t, t.TempDir())
	m, err := other.Import(to, ImportOptions{})
	if err != nil || !m.Champion || m.Machine != "a" || strings.Join(m.Sensors, "") != "xyz" {
		t.Errorf("%+v, %v", m, err)
	}
	challenger, err := other.Import(to, ImportOptions{Challenger: true})
	if err != nil || challenger.Champion || challenger.State != fettle.ModelChallenger {
		t.Errorf("%+v, %v", challenger, err)
	}
	if _, err := f.Export(ridge, filepath.Join(t.TempDir(), "ridge"), ExportOptions{}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, dir, want string
		kind            fettle.Kind
	}{
		{name, to, "is there already", fettle.Conflict},
		{name, filepath.Join(f.dir, "x"), "in the folder of models", fettle.Invalid},
		{name, filepath.Join(to, "no", "where"), "there is no folder", fettle.NotFound},
		{"model_b_20250101_000000", "x", "there is no such version", fettle.NotFound},
	} {
		if _, err := f.Export(c.name, c.dir, ExportOptions{}); fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("export %s to %s: %v; want %s", c.name, c.dir, err, c.want)
		}
	}
}

// TestCard keeps what is said of a training, and what a newer version wrote.
func TestCard(t *testing.T) {
	f, _ := open(t, t.TempDir())
	p := publication("a")
	p.Training = &Training{
		From: clock().Add(-1), Until: clock(), Preset: "deployed", Settings: map[string]any{"epochs": 5.0}, Seed: 7, Parent: "model_a_20250101_000000",
		StartedBy: "schedule", Seconds: 12.5, Engine: "avx2", Scaling: "robust", Scores: []Score{{"ridge", 0.5, 0.6, 100}, {"last value", 1, 1, 100}},
	}
	m, err := f.Publish(p, writeRidge)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, f.dir)
	d, err := again.Details(m.Name)
	if err != nil || !reflect.DeepEqual(d.Training, p.Training) || d.SHA256 == "" || len(d.History) != 1 || strings.Join(d.Files, " ") != "fettle.json ridge.json" {
		t.Errorf("%+v, %+v, %v", d, d.Training, err)
	}
	if _, err := again.Details("model_a_20990101_000000"); fettle.KindOf(err) != fettle.NotFound {
		t.Error(err)
	}

	path := filepath.Join(f.dir, m.Name, cardFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, []byte(strings.Replace(string(text), "{", `{"from a newer fettle": {"x": [1, 2]}, `, 1)))
	if err := f.scan(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "out")
	if _, err := f.Export(m.Name, to, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(filepath.Join(to, cardFile))
	var c map[string]any
	if err != nil || json.Unmarshal(text, &c) != nil || !reflect.DeepEqual(c["from a newer fettle"], map[string]any{"x": []any{1.0, 2.0}}) || c["machine"] != "a" {
		t.Errorf("%s, %v", text, err)
	}
}
