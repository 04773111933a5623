package patchtst

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// maxConfig is the most of config.json that is read, in bytes.
const maxConfig = 1 << 20

// otherKeys are the keys of a config.json that no field of Config holds. They
// are written back as they were read.
type otherKeys map[string]json.RawMessage

// readConfig reads a config.json and checks it.
func readConfig(path string) (Config, otherKeys, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("open config: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return Config{}, nil, fmt.Errorf("read config: %w", err)
	}
	if len(text) > maxConfig {
		return Config{}, nil, fmt.Errorf("config: %s is over %d bytes", path, maxConfig)
	}
	return parseConfig(text)
}

// parseConfig reads the text of a config.json. Absent keys take the defaults,
// keys that the computation does not need are kept aside, and values that this
// package does not compute are refused by name.
func parseConfig(text []byte) (Config, otherKeys, error) {
	var keys otherKeys
	if err := json.Unmarshal(text, &keys); err != nil {
		return Config{}, nil, fmt.Errorf("config: %w", err)
	}
	c := NewConfig()
	for _, key := range c.keys() {
		raw, given := keys[key.name]
		if !given {
			continue
		}
		if err := key.read(raw); err != nil {
			return Config{}, nil, fmt.Errorf("config: %s is %.40s; expected %s", key.name, raw, key.expected)
		}
		delete(keys, key.name)
	}
	for _, key := range fixedKeys() {
		raw, given := keys[key.name]
		if !given {
			continue
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil || value != key.value {
			return Config{}, nil, fmt.Errorf("config: %s is %.40s; only %v is supported", key.name, raw, key.value)
		}
		delete(keys, key.name)
	}
	if err := c.check(); err != nil {
		return Config{}, nil, fmt.Errorf("config: %w", err)
	}
	return c, keys, nil
}

// text is the config.json of a model, its keys in alphabetical order as
// save_pretrained writes them.
func (c Config) text(other otherKeys) ([]byte, error) {
	all := map[string]any{"architectures": []string{"PatchTSTForPrediction"}, "torch_dtype": "float32"}
	for name, raw := range other {
		all[name] = raw
	}
	for _, key := range fixedKeys() {
		all[key.name] = key.value
	}
	for _, key := range c.keys() {
		all[key.name] = key.value()
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	return append(text, '\n'), nil
}

// fixedKeys are the keys that have one supported value. transformers itself
// fails on share_projection false.
func fixedKeys() []struct {
	name  string
	value any
} {
	return []struct {
		name  string
		value any
	}{
		{"model_type", "patchtst"},
		{"loss", "mse"},
		{"share_projection", true},
	}
}

// A key binds one key of config.json to its field.
type key struct {
	name     string
	expected string
	read     func(json.RawMessage) error
	value    func() any
}

func (c *Config) keys() []key {
	return []key{
		field("context_length", "a whole number", &c.ContextLength),
		field("prediction_length", "a whole number", &c.PredictionLength),
		field("num_input_channels", "a whole number", &c.Channels),
		field("patch_length", "a whole number", &c.PatchLength),
		field("patch_stride", "a whole number", &c.PatchStride),
		field("d_model", "a whole number", &c.ModelWidth),
		field("num_attention_heads", "a whole number", &c.Heads),
		field("ffn_dim", "a whole number", &c.FeedForwardWidth),
		field("num_hidden_layers", "a whole number", &c.Layers),
		field("norm_type", "a text", &c.Norm),
		field("norm_eps", "a number", &c.NormEpsilon),
		field("pre_norm", "true or false", &c.PreNorm),
		field("positional_encoding_type", "a text", &c.Position),
		option("pooling_type", `"mean", "max" or null`, "flatten", &c.Pooling),
		option("scaling", `"std", "mean", true, false or null`, "none", &c.Scaling),
		field("activation_function", "a text", &c.Activation),
		field("bias", "true or false", &c.Bias),
		field("share_embedding", "true or false", &c.ShareEmbedding),
		field("channel_attention", "true or false", &c.ChannelAttention),
		classToken("use_cls_token", &c.ClassToken),
		field("positional_dropout", "a number", &c.PositionalDropout),
		field("attention_dropout", "a number", &c.AttentionDropout),
		field("path_dropout", "a number", &c.PathDropout),
		field("ff_dropout", "a number", &c.FeedForwardDropout),
		field("head_dropout", "a number", &c.HeadDropout),
		field("init_std", "a number", &c.InitDeviation),
	}
}

// field binds a key to a field of the same type.
func field[T any](name, expected string, to *T) key {
	return key{name, expected, func(raw json.RawMessage) error { return unmarshal(raw, to) }, func() any { return *to }}
}

// unmarshal refuses null, which encoding/json would take as "leave it alone":
// a null is not the default.
func unmarshal(raw json.RawMessage, to any) error {
	if string(raw) == "null" {
		return fmt.Errorf("null")
	}
	return json.Unmarshal(raw, to)
}

// option binds a choice that may be switched off, which this package calls by
// the word off: false is another name for null, and true for "mean".
func option(name, expected, off string, to *string) key {
	read := func(raw json.RawMessage) error {
		switch string(raw) {
		case "null", "false":
			*to = off
			return nil
		case "true":
			*to = "mean"
			return nil
		default:
			return json.Unmarshal(raw, to)
		}
	}
	value := func() any {
		if *to == off {
			return nil
		}
		return *to
	}
	return key{name, expected, read, value}
}

// classToken binds a switch for which null means off.
func classToken(name string, to *bool) key {
	read := func(raw json.RawMessage) error {
		if string(raw) == "null" {
			*to = false
			return nil
		}
		return unmarshal(raw, to)
	}
	return key{name, "true, false or null", read, func() any { return *to }}
}
