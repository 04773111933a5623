package patchtst

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"fettle/patchtst/safetensors"
)

// The files of a model's folder.
const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
)

// Load reads the model in a folder that transformers' save_pretrained or Save
// wrote: config.json and model.safetensors. A config that this package does not
// compute exactly is refused by its key; a file that is cut short, or whose
// tensors overlap, are missing, unknown or of another type or shape than the
// config asks for, with what is wrong with which.
func Load(dir string) (*Model, error) {
	config, other, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, fmt.Errorf("patchtst: %w", err)
	}
	weights, err := safetensors.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return nil, fmt.Errorf("patchtst: %w", err)
	}
	defer weights.Close()
	// Before any memory is taken: a small file must not ask for a large model.
	if err := checkTensors(weights, config); err != nil {
		return nil, fmt.Errorf("patchtst: %s: %w", weightsFile, err)
	}
	m := newModel(config)
	m.other = other
	for _, t := range m.named {
		if err := readTensor(weights, t); err != nil {
			return nil, fmt.Errorf("patchtst: %s: %w", weightsFile, err)
		}
	}
	m.prepare()
	return m, nil
}

// Inspect tells which model a folder holds without reading its numbers, and
// refuses the folder as Load does as far as that shows in config.json and in the
// names, types and shapes of model.safetensors. It takes little time and memory
// however large the model is.
func Inspect(dir string) (c Config, parameters int, err error) {
	if c, _, err = readConfig(filepath.Join(dir, configFile)); err != nil {
		return Config{}, 0, fmt.Errorf("patchtst: %w", err)
	}
	weights, err := safetensors.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return Config{}, 0, fmt.Errorf("patchtst: %w", err)
	}
	defer weights.Close()
	if err := checkTensors(weights, c); err != nil {
		return Config{}, 0, fmt.Errorf("patchtst: %s: %w", weightsFile, err)
	}
	describe(c, func(_ string, r role, shape ...int) []float32 {
		if r.parameter() {
			n := 1
			for _, size := range shape {
				n *= size
			}
			parameters += n
		}
		return nil
	})
	return c, parameters, nil
}

// checkTensors wants the config's tensors in a file, every one of them and no
// other: a model that silently leaves out a part of its file computes
// something else than its maker did.
func checkTensors(file *safetensors.File, c Config) error {
	expected := map[string]bool{}
	var fault error // the first
	describe(c, func(name string, r role, shape ...int) []float32 {
		expected[name] = true
		if fault == nil {
			fault = checkTensor(file, name, r, shape)
		}
		return nil
	})
	if fault != nil {
		return fault
	}
	for _, t := range file.Tensors() {
		if !expected[t.Name] {
			return fmt.Errorf("tensor %s (%s %v) has no place in the config's model", t.Name, t.Type, t.Shape)
		}
	}
	return nil
}

// checkTensor wants a tensor of exactly this shape. Files of old torch
// versions lack the counters, which nothing needs.
func checkTensor(file *safetensors.File, name string, r role, shape []int) error {
	found, there := file.Find(name)
	want := "F32"
	if r == counterRole {
		want = "I64"
	}
	switch {
	case !there && r == counterRole:
		return nil
	case !there:
		return fmt.Errorf("tensor %s is missing", name)
	case !slices.Equal(found.Shape, shape):
		return fmt.Errorf("tensor %s has shape %v; the config asks for %v", name, found.Shape, shape)
	case found.Type != want:
		return fmt.Errorf("tensor %s is %s; only %s is supported", name, found.Type, want)
	}
	return nil
}

// readTensor fills one tensor of a model with numbers that it can work with.
func readTensor(file *safetensors.File, t named) error {
	if t.role == counterRole {
		if _, there := file.Find(t.name); !there {
			return nil
		}
		values, err := file.Int64(t.name)
		if err == nil {
			*t.count = values[0]
		}
		return err
	}
	values, err := file.Float32(t.name)
	if err != nil {
		return err
	}
	for i, v := range values {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("tensor %s holds %v at place %d; expected finite numbers", t.name, v, i)
		}
		if v < 0 && t.role == varianceRole {
			return fmt.Errorf("tensor %s holds %v; a variance is not negative", t.name, v)
		}
	}
	copy(t.values, values)
	return nil
}
