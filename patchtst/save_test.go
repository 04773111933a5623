package patchtst

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSavedModelsLoad saves a model of every variant and loads it again: the
// same bits, the same names, nothing left beside them.
func TestSavedModelsLoad(t *testing.T) {
	for _, name := range variants(t) {
		golden := openGolden(t, name)
		m := golden.checkpoint(t, "step5.").load(t)
		for i := range m.numbers.counters {
			m.numbers.counters[i] = math.MaxInt64 - int64(i)
		}
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		for range 2 { // into a new folder, and over an old one
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
		}
		again, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again.Config() != m.Config() || fmt.Sprint(again.numbers) != fmt.Sprint(m.numbers) {
			t.Errorf("%s: another model was read than was written", name)
		}
		x := float32s(t, golden.File, "past_values")
		if !slices.Equal(m.ForwardBatch(nil, x, nil), again.ForwardBatch(nil, x, nil)) {
			t.Errorf("%s: another forecast", name)
		}
		if got := fmt.Sprint(tree(t, filepath.Dir(dir))); got != "[yet yet/config.json yet/model.safetensors]" {
			t.Errorf("%s: the folder holds %s", name, got)
		}
		saved := openTensors(t, filepath.Join(dir, "model.safetensors"))
		if len(saved.Tensors()) != len(m.named) || saved.Metadata()["format"] != "pt" {
			t.Errorf("%s: %d tensors, metadata %v", name, len(saved.Tensors()), saved.Metadata())
		}
	}
}

// TestSaveKeepsUnknownKeys takes a folder of the old system through Load and
// Save.
func TestSaveKeepsUnknownKeys(t *testing.T) {
	c := openGolden(t, "tiny_base.safetensors").checkpoint(t, "init.")
	c.config["dropout"] = 0.1
	c.config["transformers_version"] = "4.38.0"
	dir := filepath.Join(t.TempDir(), "model")
	if err := c.load(t).Save(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"dropout": 0.1,`, `"transformers_version": "4.38.0",`, `"model_type": "patchtst",`, `"d_model": 16,`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("config.json lacks %s:\n%s", want, text)
		}
	}
}

// TestFailedSaveLeavesNothing has a file where the folder should be.
func TestFailedSaveLeavesNothing(t *testing.T) {
	m, err := New(small(), 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", filepath.Join("file", "model")} {
		if err := m.Save(filepath.Join(dir, path)); err == nil || !strings.HasPrefix(err.Error(), "patchtst: save model: ") {
			t.Errorf("saved into %s: %v", path, err)
		}
	}
	if got := fmt.Sprint(tree(t, dir)); got != "[file]" {
		t.Errorf("the folder holds %s", got)
	}
}

// tree lists what is in a folder.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if relative, _ := filepath.Rel(dir, path); relative != "." {
			paths = append(paths, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestNewModels draws weights as transformers does.
func TestNewModels(t *testing.T) {
	c := Deployed()
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Parameters() != 269_962 || len(m.numbers.trained) != 267_018 {
		t.Errorf("%d parameters, %d trained; want 269,962 and 267,018", m.Parameters(), len(m.numbers.trained))
	}
	for _, tensor := range m.named {
		mean, deviation := moments(tensor.values)
		switch tensor.role {
		case weightRole:
			if n := math.Sqrt(float64(len(tensor.values))); math.Abs(mean) > 0.08/n || math.Abs(deviation-0.02) > 0.08/n {
				t.Errorf("%s has mean %v, deviation %v; want 0 and 0.02", tensor.name, mean, deviation)
			}
		case zeroRole, meanRole:
			if mean != 0 || deviation != 0 {
				t.Errorf("%s has mean %v, deviation %v; want zeros", tensor.name, mean, deviation)
			}
		case oneRole, varianceRole:
			if mean != 1 || deviation != 0 {
				t.Errorf("%s has mean %v, deviation %v; want ones", tensor.name, mean, deviation)
			}
		case fixedTable:
			if math.Abs(mean) > 1e-8 || math.Abs(deviation-0.1) > 1e-4 {
				t.Errorf("%s has mean %v, deviation %v; want 0 and 0.1", tensor.name, mean, deviation)
			}
		}
	}
	same, _ := New(c, 1)
	other, _ := New(c, 2)
	if !slices.Equal(m.numbers.trained, same.numbers.trained) || slices.Equal(m.numbers.trained, other.numbers.trained) {
		t.Error("the seed does not decide")
	}
	if research, err := New(Research(), 1); err != nil || research.Parameters() != 1_220_848 || len(research.numbers.trained) != 1_119_216 {
		t.Errorf("the research model has another size, %v", err)
	}
}

func moments(values []float32) (mean, deviation float64) {
	for _, v := range values {
		mean += float64(v) / float64(len(values))
	}
	for _, v := range values {
		deviation += (float64(v) - mean) * (float64(v) - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

// TestPositionTable compares the table with torch's, whose sines are those of
// rounded products.
func TestPositionTable(t *testing.T) {
	golden := openGolden(t, "research64.safetensors")
	table := make([]float32, 397*64)
	fillSincos(table, 397, 64)
	near(t, "table", table, float32s(t, golden.File, "init."+positionTable), 3e-6)
}
