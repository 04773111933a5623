package model

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fettle"
)

// clock is the wall clock of the tests.
func clock() time.Time { return time.Date(2025, 11, 25, 4, 20, 0, 123456789, time.UTC) }

// open opens a folder of models whose changes are written to the channel.
func open(t testing.TB, dir string) (*Folder, chan []fettle.Model) {
	t.Helper()
	changes := make(chan []fettle.Model, 1000)
	f, err := Open(dir, clock, func(m []fettle.Model) { changes <- m }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return f, changes
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeAll writes files into a folder.
func writeAll(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
}

// patchTST is the smallest model of so many channels, as transformers would
// save it: every number in it is 0.
func patchTST(channels int) map[string][]byte {
	config := fmt.Sprintf(`{"model_type": "patchtst", "context_length": 4, "prediction_length": 2, "num_input_channels": %d,
		"patch_length": 2, "patch_stride": 2, "d_model": 2, "num_attention_heads": 1, "num_hidden_layers": 1, "ffn_dim": 2, "scaling": null}`, channels)
	header, size := map[string]any{}, 0
	put := func(name string, shape ...int) {
		from := size
		n := 4
		for _, s := range shape {
			n *= s
		}
		size += n
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{from, size}}
	}
	linear := func(name string) { put(name+".weight", 2, 2); put(name+".bias", 2) }
	linear("model.encoder.embedder.input_embedding")
	put("model.encoder.positional_encoder.position_enc", 2, 2)
	const layer = "model.encoder.layers.0."
	for _, name := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "ff.0", "ff.3"} {
		linear(layer + name)
	}
	for _, norm := range []string{"norm_sublayer1.batchnorm.", "norm_sublayer3.batchnorm."} {
		for _, name := range []string{"weight", "bias", "running_mean", "running_var"} {
			put(layer+norm+name, 2)
		}
	}
	linear("head.projection")
	text, _ := json.Marshal(header) // maps of texts and numbers always encode
	weights := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	return map[string][]byte{"config.json": []byte(config), "model.safetensors": append(weights, make([]byte, size)...)}
}

// scaler is a scaler of so many channels.
func scaler(channels int) []byte {
	s := Scaler{}
	for range channels {
		s.DataMin, s.DataMax, s.Scale, s.Min = append(s.DataMin, 0), append(s.DataMax, 2), append(s.Scale, 0.5), append(s.Min, 0)
	}
	text, _ := json.Marshal(s) // finite numbers always encode
	return text
}

// withFiles adds files to a model's.
func withFiles(files map[string][]byte, more ...any) map[string][]byte {
	for i := 0; i < len(more); i += 2 {
		switch content := more[i+1].(type) {
		case string:
			files[more[i].(string)] = []byte(content)
		case []byte:
			files[more[i].(string)] = content
		}
	}
	return files
}

// ridge is what a ridge regression's folder holds.
func ridge() map[string][]byte {
	return map[string][]byte{"ridge.json": []byte(`{}`), "fettle.json": []byte(`{"family": "ridge", "sensors": ["x", "y"], "context": 50, "horizon": 10}`)}
}

// names lists the usable versions, champions starred.
func names(f *Folder) []string {
	list := []string{}
	for _, m := range f.List() {
		name := m.Name
		if m.Champion {
			name += "*"
		}
		list = append(list, name)
	}
	return list
}

// contents lists everything below a folder.
func contents(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && path != dir {
			relative, _ := filepath.Rel(dir, path) // path is below dir
			paths = append(paths, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
