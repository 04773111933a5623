package patchtst

import (
	"fmt"
	"path/filepath"
	"sync"

	"fettle/patchtst/safetensors"
)

// A Model is a PatchTST that is ready to forecast. It does not change, and may
// be used from any number of goroutines at once.
type Model struct {
	config     Config
	parameters *parameters
	workspaces sync.Pool // of *workspace: one for each forecast under way
}

// Load reads the model in a folder that transformers' save_pretrained wrote:
// config.json and model.safetensors.
func Load(dir string) (*Model, error) {
	config, err := readConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("patchtst: %w", err)
	}
	weights, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("patchtst: %w", err)
	}
	defer weights.Close()
	parameters, err := loadParameters(weights, config)
	if err != nil {
		return nil, fmt.Errorf("patchtst: model.safetensors: %w", err)
	}
	m := &Model{config: config, parameters: parameters}
	m.workspaces.New = func() any { return newWorkspace(config) }
	return m, nil
}

// Config says which computation the model is.
func (m *Model) Config() Config { return m.config }

// Parameters counts the model's parameters, the position table included, as
// PyTorch's sum over model.parameters() does.
func (m *Model) Parameters() int { return m.parameters.count }
