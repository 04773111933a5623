package patchtst

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusesCheckpoints spoils a good folder in one place at a time.
func TestRefusesCheckpoints(t *testing.T) {
	golden := openGolden(t, "tiny_base.safetensors")
	const (
		query = "model.encoder.layers.1.self_attn.q_proj.weight"
		table = "model.encoder.positional_encoder.position_enc"
		spare = "model.encoder.layers.2.ff.0.bias"
		vary  = "model.encoder.layers.0.norm_sublayer1.batchnorm.running_var"
	)
	for _, c := range []struct {
		what  string
		spoil func(checkpoint)
		want  string
	}{
		{"a missing weight", func(c checkpoint) { delete(c.tensors, query) }, "model.safetensors: tensor " + query + " is missing"},
		{"a missing table", func(c checkpoint) { delete(c.tensors, table) }, "tensor " + table + " is missing"},
		{"another shape", func(c checkpoint) { c.tensors[query] = tensor{[]int{8, 32}, c.tensors[query].values} }, "tensor " + query + " has shape [8 32]; the config asks for [16 16]"},
		{"a layer too many", func(c checkpoint) { c.tensors[spare] = tensor{[]int{1}, []float32{0}} }, "tensor " + spare + " (F32 [1]) has no place in the config's model"},
		{"a negative variance", func(c checkpoint) { c.tensors[vary].values[3] = -1 }, "tensor " + vary + " holds -1; a variance is not negative"},
		{"another context", func(c checkpoint) { c.config["context_length"] = 40 }, "tensor " + table + " has shape [9 16]; the config asks for [19 16]"},
		{"a class token", func(c checkpoint) { c.config["use_cls_token"] = true }, "tensor model.encoder.positional_encoder.cls_token is missing"},
		{"a NaN", func(c checkpoint) { c.tensors[query].values[17] = float32(math.NaN()) }, "tensor " + query + " holds NaN at place 17; expected finite numbers"},
		{"another family", func(c checkpoint) { c.config["model_type"] = "autoformer" }, `patchtst: config: model_type is "autoformer"; only patchtst is supported`},
	} {
		spoiled := golden.checkpoint(t, "init.")
		c.spoil(spoiled)
		if _, err := Load(spoiled.write(t)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.what, err, c.want)
		}
	}
}

// TestRefusesUnfinishedFolders looks at a folder that is still being copied.
func TestRefusesUnfinishedFolders(t *testing.T) {
	whole := openGolden(t, "tiny_base.safetensors").checkpoint(t, "init.").write(t)
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	config, weights := read("config.json"), read("model.safetensors")
	dir := t.TempDir()
	for _, c := range []struct {
		file    string
		content []byte
		want    string
	}{
		{"model.safetensors", weights, "open config"},
		{"config.json", config[:len(config)/2], "config: unexpected end of JSON input"},
		{"config.json", make([]byte, maxConfig+1), "is over 1048576 bytes"},
		{"config.json", config, ""},
		{"model.safetensors", nil, "file is 0 bytes"},
		{"model.safetensors", weights[:len(weights)-1], "the file is cut short"},
	} {
		if err := os.WriteFile(filepath.Join(dir, c.file), c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %d bytes: error %v; want %q", c.file, len(c.content), err, c.want)
		}
	}
}
