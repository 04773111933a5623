package patchtst

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
)

// A Config says which computation a model is; beside each field stands its key
// in HuggingFace's config.json.
type Config struct {
	ContextLength    int // L: context_length
	PredictionLength int // T: prediction_length
	Channels         int // C: num_input_channels
	PatchLength      int // P: patch_length
	PatchStride      int // S: patch_stride
	ModelWidth       int // D: d_model
	Heads            int // H: num_attention_heads
	FeedForwardWidth int // F: ffn_dim
	Layers           int // num_hidden_layers

	Norm             string  // norm_type: batchnorm, layernorm
	NormEpsilon      float64 // norm_eps
	PreNorm          bool    // pre_norm: normalise before a block, not after
	Position         string  // positional_encoding_type: sincos, random
	Pooling          string  // pooling_type: mean, max, null (flatten)
	Scaling          string  // scaling: null, std, mean
	Activation       string  // activation_function: gelu, relu
	Bias             bool    // bias: of the feed-forward blocks
	ShareEmbedding   bool    // share_embedding
	ShareProjection  bool    // share_projection
	ChannelAttention bool    // channel_attention
	ClassToken       bool    // use_cls_token
	Loss             string  // loss: mse, nll
	ModelType        string  // model_type: patchtst
}

// defaultConfig is what transformers takes for keys that config.json leaves
// out. Beware that its scaling is "std".
func defaultConfig() Config {
	return Config{
		ContextLength: 32, PredictionLength: 24, Channels: 1,
		PatchLength: 1, PatchStride: 1,
		ModelWidth: 128, Heads: 4, FeedForwardWidth: 512, Layers: 3,
		Norm: "batchnorm", NormEpsilon: 1e-5, PreNorm: true,
		Position: "sincos", Pooling: "mean", Scaling: "std", Activation: "gelu",
		Bias: true, ShareEmbedding: true, ShareProjection: true,
		Loss: "mse", ModelType: "patchtst",
	}
}

// Patches is N, the number of patches of one channel.
func (c Config) Patches() int { return (c.ContextLength-c.PatchLength)/c.PatchStride + 1 }

// FirstRow is the first row of a window that a patch holds: where the patches
// do not cover the window they leave out its oldest rows.
func (c Config) FirstRow() int {
	return c.ContextLength - (c.PatchLength + c.PatchStride*(c.Patches()-1))
}

// maxConfig is the most of config.json that is read, in bytes.
const maxConfig = 1 << 20

// readConfig reads a config.json and checks it.
func readConfig(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("open config: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("config: %s is over %d bytes", path, maxConfig)
	}
	return parseConfig(text)
}

// parseConfig reads the text of a config.json. Absent keys take the defaults,
// keys that the computation does not need are ignored (so are the dropouts:
// they matter in training only), and values that this version does not compute
// are refused by name.
func parseConfig(text []byte) (Config, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	c := defaultConfig()
	for _, key := range c.keys() {
		raw, given := keys[key.name]
		if !given {
			continue
		}
		if err := key.read(raw); err != nil {
			return Config{}, fmt.Errorf("config: %s is %.40s; expected %s", key.name, raw, key.expected)
		}
	}
	if err := c.checkSizes(); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	if err := c.checkSupported(keys); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	return c, nil
}

// A key binds one key of config.json to its field.
type key struct {
	name     string
	expected string
	read     func(json.RawMessage) error
}

func (c *Config) keys() []key {
	return []key{
		whole("context_length", &c.ContextLength),
		whole("prediction_length", &c.PredictionLength),
		whole("num_input_channels", &c.Channels),
		whole("patch_length", &c.PatchLength),
		whole("patch_stride", &c.PatchStride),
		whole("d_model", &c.ModelWidth),
		whole("num_attention_heads", &c.Heads),
		whole("ffn_dim", &c.FeedForwardWidth),
		whole("num_hidden_layers", &c.Layers),
		word("norm_type", &c.Norm),
		{"norm_eps", "a number", func(raw json.RawMessage) error { return unmarshal(raw, &c.NormEpsilon) }},
		flag("pre_norm", &c.PreNorm),
		word("positional_encoding_type", &c.Position),
		{"pooling_type", `"mean", "max" or null`, func(raw json.RawMessage) error { return option(raw, &c.Pooling) }},
		{"scaling", `"std", "mean", true, false or null`, func(raw json.RawMessage) error { return option(raw, &c.Scaling) }},
		word("activation_function", &c.Activation),
		flag("bias", &c.Bias),
		flag("share_embedding", &c.ShareEmbedding),
		flag("share_projection", &c.ShareProjection),
		flag("channel_attention", &c.ChannelAttention),
		{"use_cls_token", "true, false or null", func(raw json.RawMessage) error {
			if string(raw) == "null" {
				c.ClassToken = false
				return nil
			}
			return unmarshal(raw, &c.ClassToken)
		}},
		word("loss", &c.Loss),
		word("model_type", &c.ModelType),
	}
}

func whole(name string, to *int) key {
	return key{name, "a whole number", func(raw json.RawMessage) error { return unmarshal(raw, to) }}
}

func word(name string, to *string) key {
	return key{name, "a text", func(raw json.RawMessage) error { return unmarshal(raw, to) }}
}

func flag(name string, to *bool) key {
	return key{name, "true or false", func(raw json.RawMessage) error { return unmarshal(raw, to) }}
}

// unmarshal refuses null, which encoding/json would take as "leave it alone":
// a null is not the default.
func unmarshal(raw json.RawMessage, to any) error {
	if string(raw) == "null" {
		return fmt.Errorf("null")
	}
	return json.Unmarshal(raw, to)
}

// option reads a choice that may be switched off: false is another name for
// null, and true for "mean".
func option(raw json.RawMessage, to *string) error {
	switch string(raw) {
	case "null", "false":
		*to = "null"
		return nil
	case "true":
		*to = "mean"
		return nil
	default:
		return json.Unmarshal(raw, to)
	}
}

// maxSize bounds each size of a config, so that products of them cannot
// overflow; maxWorkspace bounds the numbers that a forecast needs at one time
// (1 GiB of them), because the sizes of a small file can ask for more.
const (
	maxSize      = 1 << 20
	maxLayers    = 1 << 10
	maxWorkspace = 1 << 28
)

// checkSizes refuses sizes that fit no model, or would take too much memory.
func (c Config) checkSizes() error {
	for _, s := range []struct {
		name        string
		value, most int
	}{
		{"context_length", c.ContextLength, maxSize},
		{"prediction_length", c.PredictionLength, maxSize},
		{"num_input_channels", c.Channels, maxSize},
		{"patch_length", c.PatchLength, maxSize},
		{"patch_stride", c.PatchStride, maxSize},
		{"d_model", c.ModelWidth, maxSize},
		{"num_attention_heads", c.Heads, maxSize},
		{"ffn_dim", c.FeedForwardWidth, maxSize},
		{"num_hidden_layers", c.Layers, maxLayers},
	} {
		if s.value < 1 || s.value > s.most {
			return fmt.Errorf("%s is %d; expected 1 to %d", s.name, s.value, s.most)
		}
	}
	switch {
	case c.ContextLength <= c.PatchLength:
		return fmt.Errorf("context_length is %d; expected more than patch_length, which is %d", c.ContextLength, c.PatchLength)
	case c.ModelWidth%c.Heads != 0:
		return fmt.Errorf("d_model is %d; expected a multiple of num_attention_heads, which is %d", c.ModelWidth, c.Heads)
	case c.ModelWidth%2 != 0:
		return fmt.Errorf("d_model is %d; expected an even number for sincos positions", c.ModelWidth)
	case !(c.NormEpsilon > 0) || math.IsInf(c.NormEpsilon, 0):
		return fmt.Errorf("norm_eps is %v; expected a number above 0", c.NormEpsilon)
	}
	if need := workspaceSize(c); need > maxWorkspace {
		return fmt.Errorf("a forecast would need %d numbers at one time; at most %d are taken", need, maxWorkspace)
	}
	return nil
}

// checkSupported refuses by name what the forward pass does not compute. keys
// tells whether a value stood in the file: a default that nobody wrote, such
// as scaling "std", must not puzzle the reader of the error.
func (c Config) checkSupported(keys map[string]json.RawMessage) error {
	for _, s := range []struct {
		name             string
		value, supported any
	}{
		{"model_type", c.ModelType, "patchtst"},
		{"norm_type", c.Norm, "batchnorm"},
		{"pre_norm", c.PreNorm, true},
		{"positional_encoding_type", c.Position, "sincos"},
		{"pooling_type", c.Pooling, "mean"},
		{"scaling", c.Scaling, "null"},
		{"activation_function", c.Activation, "gelu"},
		{"bias", c.Bias, true},
		{"share_embedding", c.ShareEmbedding, true},
		{"share_projection", c.ShareProjection, true},
		{"channel_attention", c.ChannelAttention, false},
		{"use_cls_token", c.ClassToken, false},
		{"loss", c.Loss, "mse"},
	} {
		if s.value == s.supported {
			continue
		}
		if _, given := keys[s.name]; !given {
			return fmt.Errorf("%s is absent, which means %v; this version supports %v only", s.name, s.value, s.supported)
		}
		return fmt.Errorf("%s is %v; this version supports %v only", s.name, s.value, s.supported)
	}
	return nil
}
