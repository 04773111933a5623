package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fettle"
	"fettle/patchtst"
)

// The presets: where a model's settings start from.
const (
	PresetDeployed = "deployed" // as the old system's models: 50 rows back, 10 ahead
	PresetResearch = "research" // its large sibling: 1,200 rows back, 240 ahead
	PresetETT      = "ett"      // as in the PatchTST paper for the ETT tables
)

// A Recipe is what a model is trained by: the network, and how it learns.
type Recipe struct {
	Name    string
	Network patchtst.Config // but for its channels
	Options patchtst.Options
	Scaler  Scaling
}

// IsFile tells whether a preset is the path of a file.
func IsFile(preset string) bool {
	return !isText(preset) && (strings.ContainsAny(preset, `/\`) || filepath.Ext(preset) == ".json")
}

// isText tells whether a preset is what a file would hold.
func isText(preset string) bool { return strings.HasPrefix(preset, "{") }

// FindRecipe returns a preset by its name or, for a JSON object or the path of a
// file with one, the preset that it names with the changes that it makes.
func FindRecipe(name string) (Recipe, error) {
	switch {
	case isText(name):
		r, err := parseRecipe([]byte(name))
		if err != nil {
			return Recipe{}, fettle.Errorf(fettle.Invalid, "read preset: %w", err)
		}
		r.Name = name
		return r, nil
	case IsFile(name):
		return readRecipe(name)
	}
	r := Recipe{Name: name, Scaler: Robust, Options: patchtst.NewOptions()}
	switch name {
	case PresetDeployed:
		// As the old system trained, and a month's training beside the server
		// fits into 200 MB.
		r.Options.Batch = 16
		r.Network = patchtst.Deployed()
	case PresetResearch:
		// All windows of a month would take a day and a half an epoch.
		r.Options.Batch, r.Options.WindowsPerEpoch = 16, 2048
		r.Network = patchtst.Research()
	case PresetETT:
		// The settings of the PatchTST paper for the ETT tables, in which Adam
		// has no weight decay.
		c := patchtst.NewConfig()
		c.ContextLength, c.PredictionLength = 336, 96
		c.PatchLength, c.PatchStride = 16, 8
		c.ModelWidth, c.Heads, c.Layers, c.FeedForwardWidth = 16, 4, 3, 128
		c.Scaling, c.Pooling = "std", "flatten"
		c.PositionalDropout, c.PathDropout, c.FeedForwardDropout = 0.3, 0.3, 0.3
		r.Network = c
		r.Options.Epochs, r.Options.Batch, r.Options.LearningRate, r.Options.Patience, r.Options.WeightDecay = 100, 128, 1e-4, 10, 0
	default:
		return Recipe{}, fettle.BadField("unknown preset", "preset", name, PresetDeployed+", "+PresetResearch+", "+PresetETT+", or the path of a JSON file")
	}
	return r, nil
}

// Changes are made to a preset; what is 0, empty or nil stays as it is.
type Changes struct {
	Context int      `json:"context,omitempty"` // rows to look back
	Horizon int      `json:"horizon,omitempty"` // rows to look ahead
	Patch   int      `json:"patch,omitempty"`   // rows in a patch
	Stride  int      `json:"stride,omitempty"`  // rows from patch to patch
	DModel  int      `json:"d_model,omitempty"`
	Heads   int      `json:"heads,omitempty"`
	Layers  int      `json:"layers,omitempty"`
	FFN     int      `json:"ffn,omitempty"`
	Dropout *float64 `json:"dropout,omitempty"` // of patches, feed-forward blocks, and what blocks add

	Epochs          int     `json:"epochs,omitempty"`
	Batch           int     `json:"batch,omitempty"`
	LearningRate    float64 `json:"learning_rate,omitempty"`
	Schedule        string  `json:"schedule,omitempty"`
	Patience        *int    `json:"patience,omitempty"`
	WindowsPerEpoch *int    `json:"windows_per_epoch,omitempty"`
	Scaler          Scaling `json:"scaler,omitempty"`
}

// Apply makes the changes.
func (c Changes) Apply(r *Recipe) {
	for _, f := range []struct {
		to   *int
		want int
	}{
		{&r.Network.ContextLength, c.Context}, {&r.Network.PredictionLength, c.Horizon},
		{&r.Network.PatchLength, c.Patch}, {&r.Network.PatchStride, c.Stride},
		{&r.Network.ModelWidth, c.DModel}, {&r.Network.Heads, c.Heads},
		{&r.Network.Layers, c.Layers}, {&r.Network.FeedForwardWidth, c.FFN},
		{&r.Options.Epochs, c.Epochs}, {&r.Options.Batch, c.Batch},
	} {
		if f.want != 0 {
			*f.to = f.want
		}
	}
	if c.Dropout != nil {
		r.Network.PositionalDropout, r.Network.PathDropout, r.Network.FeedForwardDropout = *c.Dropout, *c.Dropout, *c.Dropout
	}
	if c.LearningRate != 0 {
		r.Options.LearningRate = c.LearningRate
	}
	if c.Schedule != "" {
		r.Options.Schedule = patchtst.Schedule(c.Schedule)
	}
	if c.Patience != nil {
		r.Options.Patience = *c.Patience
	}
	if c.WindowsPerEpoch != nil {
		r.Options.WindowsPerEpoch = *c.WindowsPerEpoch
	}
	if c.Scaler != "" {
		r.Scaler = c.Scaler
	}
}

// maxRecipe bounds a recipe's file, in bytes.
const maxRecipe = 64 << 10

// readRecipe reads a file of Changes, with the preset that they are made to.
func readRecipe(path string) (Recipe, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Recipe{}, fettle.BadField("unknown preset", "preset", path, "a preset's name, or the path of a JSON file that is there")
	}
	if err != nil {
		return Recipe{}, fmt.Errorf("read preset: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRecipe+1))
	if err != nil {
		return Recipe{}, fmt.Errorf("read preset: %w", err)
	}
	if len(text) > maxRecipe {
		return Recipe{}, fettle.Errorf(fettle.Invalid, "read preset %s: more than %d bytes", path, maxRecipe)
	}
	r, err := parseRecipe(text)
	if err != nil {
		return Recipe{}, fettle.Errorf(fettle.Invalid, "read preset %s: %w", path, err)
	}
	r.Name = path
	return r, nil
}

func parseRecipe(text []byte) (Recipe, error) {
	var f struct {
		Preset string `json:"preset"`
		Changes
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return Recipe{}, err
	}
	if IsFile(f.Preset) || isText(f.Preset) {
		return Recipe{}, fettle.BadField("unknown preset", "preset", f.Preset, "the name of a preset")
	}
	if f.Preset == "" {
		f.Preset = PresetDeployed
	}
	r, err := FindRecipe(f.Preset)
	if err != nil {
		return Recipe{}, err
	}
	f.Apply(&r)
	return r, nil
}
