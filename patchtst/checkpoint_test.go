package patchtst

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"fettle/patchtst/safetensors"
)

// A checkpoint is what a HuggingFace folder holds, for tests to write and to
// spoil.
type checkpoint struct {
	config  map[string]any
	tensors map[string]tensor
}

type tensor struct {
	shape  []int
	values []float32
}

// write makes the folder.
func (c checkpoint) write(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	config, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	header, data := map[string]any{}, []byte{}
	for name, tensor := range c.tensors {
		from := len(data)
		for _, v := range tensor.values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": tensor.shape, "data_offsets": []int{from, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	for name, content := range map[string][]byte{"config.json": config, "model.safetensors": append(file, data...)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load loads the checkpoint as a model.
func (c checkpoint) load(t testing.TB) *Model {
	t.Helper()
	m, err := Load(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// goldenFile is one golden file with what goldens.json says about it.
type goldenFile struct {
	*safetensors.File
	config        map[string]any
	zeroGradients []string
	models        map[string]hashedModel
}

// hashedModel is a model whose weights come from a hash, and what became of
// it in a step of training.
type hashedModel struct {
	Config map[string]any
	Loss   float64
	Grads  map[string]struct{ L2, Sum, Hashdot float64 }
}

func openGolden(t testing.TB, name string) goldenFile {
	t.Helper()
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Files map[string]struct {
			Config        map[string]any
			ZeroGradients []string `json:"analytically_zero_grads"`
			Models        map[string]hashedModel
		}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	said := index.Files[name]
	return goldenFile{openTensors(t, filepath.Join("testdata", name)), said.Config, said.ZeroGradients, said.Models}
}

func openTensors(t testing.TB, path string) *safetensors.File {
	t.Helper()
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func float32s(t testing.TB, file *safetensors.File, name string) []float32 {
	t.Helper()
	values, err := file.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// near wants got and want to differ by at most the tolerance, everywhere.
func near(t testing.TB, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers; want %d", what, len(got), len(want))
	}
	worst, at := 0.0, 0
	for i := range got {
		// Not "> worst" alone: a NaN compares false with everything.
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: number %d is %v; want %v: off by %.2g, allowed %.2g", what, at, got[at], want[at], worst, tolerance)
	}
}
