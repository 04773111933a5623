package patchtst

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// deployed is a config.json as the deployed models carry it, with two keys
// that nothing reads.
const deployed = `{"model_type": "patchtst", "architectures": ["PatchTSTForPrediction"], "torch_dtype": "float32",
	"context_length": 50, "prediction_length": 10, "num_input_channels": 6, "num_targets": 6,
	"patch_length": 5, "patch_stride": 2, "d_model": 128, "ffn_dim": 256, "num_attention_heads": 4, "num_hidden_layers": 2,
	"norm_type": "batchnorm", "norm_eps": 1e-05, "pre_norm": true, "positional_encoding_type": "sincos",
	"pooling_type": "mean", "scaling": null, "activation_function": "gelu", "bias": true, "share_embedding": true,
	"share_projection": true, "channel_attention": false, "use_cls_token": false, "loss": "mse", "dropout": 0.1}`

func TestReadsDeployedConfig(t *testing.T) {
	c, other, err := parseConfig([]byte(deployed))
	if err != nil {
		t.Fatal(err)
	}
	if c != Deployed() {
		t.Errorf("config is %+v; want %+v", c, Deployed())
	}
	if c.Patches() != 23 || c.FirstRow() != 1 {
		t.Errorf("%d patches from row %d; want 23 from row 1", c.Patches(), c.FirstRow())
	}
	if string(other["dropout"]) != "0.1" || string(other["num_targets"]) != "6" {
		t.Errorf("other keys are %s", other)
	}
}

// TestAbsentKeysTakeDefaults leaves everything out.
func TestAbsentKeysTakeDefaults(t *testing.T) {
	c, _, err := parseConfig([]byte(`{}`))
	if err != nil || c != NewConfig() {
		t.Errorf("config is %+v, %v", c, err)
	}
}

// TestReadsEveryKey sets each key to what is not its default.
func TestReadsEveryKey(t *testing.T) {
	for _, c := range []struct {
		text   string
		change func(*Config)
	}{
		{`"context_length": 33`, func(c *Config) { c.ContextLength = 33 }},
		{`"prediction_length": 7`, func(c *Config) { c.PredictionLength = 7 }},
		{`"num_input_channels": 2`, func(c *Config) { c.Channels = 2 }},
		{`"patch_length": 4`, func(c *Config) { c.PatchLength = 4 }},
		{`"patch_stride": 2`, func(c *Config) { c.PatchStride = 2 }},
		{`"d_model": 64`, func(c *Config) { c.ModelWidth = 64 }},
		{`"num_attention_heads": 8`, func(c *Config) { c.Heads = 8 }},
		{`"ffn_dim": 9`, func(c *Config) { c.FeedForwardWidth = 9 }},
		{`"num_hidden_layers": 1`, func(c *Config) { c.Layers = 1 }},
		{`"norm_type": "layernorm"`, func(c *Config) { c.Norm = "layernorm" }},
		{`"norm_eps": 0.5`, func(c *Config) { c.NormEpsilon = 0.5 }},
		{`"pre_norm": false`, func(c *Config) { c.PreNorm = false }},
		{`"positional_encoding_type": "random"`, func(c *Config) { c.Position = "random" }},
		{`"pooling_type": "max"`, func(c *Config) { c.Pooling = "max" }},
		{`"pooling_type": null`, func(c *Config) { c.Pooling = "flatten" }},
		{`"scaling": null`, func(c *Config) { c.Scaling = "none" }},
		{`"scaling": false`, func(c *Config) { c.Scaling = "none" }},
		{`"scaling": true`, func(c *Config) { c.Scaling = "mean" }},
		{`"activation_function": "relu"`, func(c *Config) { c.Activation = "relu" }},
		{`"bias": false`, func(c *Config) { c.Bias = false }},
		{`"share_embedding": false`, func(c *Config) { c.ShareEmbedding = false }},
		{`"channel_attention": true`, func(c *Config) { c.ChannelAttention = true }},
		{`"use_cls_token": true`, func(c *Config) { c.ClassToken = true }},
		{`"use_cls_token": null`, func(c *Config) { c.ClassToken = false }},
		{`"positional_dropout": 0.1`, func(c *Config) { c.PositionalDropout = 0.1 }},
		{`"attention_dropout": 0.2`, func(c *Config) { c.AttentionDropout = 0.2 }},
		{`"path_dropout": 0.3`, func(c *Config) { c.PathDropout = 0.3 }},
		{`"ff_dropout": 0.4`, func(c *Config) { c.FeedForwardDropout = 0.4 }},
		{`"head_dropout": 0.5`, func(c *Config) { c.HeadDropout = 0.5 }},
		{`"init_std": 0.01`, func(c *Config) { c.InitDeviation = 0.01 }},
	} {
		want := NewConfig()
		c.change(&want)
		got, other, err := parseConfig([]byte("{" + c.text + "}"))
		if err != nil || got != want || len(other) != 0 {
			t.Errorf("%s: config is %+v, %v besides, %v", c.text, got, other, err)
			continue
		}
		text, err := got.text(nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := parseConfig(text); err != nil || again != want {
			t.Errorf("%s: written and read it is %+v, %v", c.text, again, err)
		}
	}
}

// TestKeepsUnknownKeys writes back what it does not know, and what it does
// know where it has changed.
func TestKeepsUnknownKeys(t *testing.T) {
	c, other, err := parseConfig([]byte(`{"dropout": 0.1, "num_forecast_mask_patches": [2], "transformers_version": "4.38.0",
		"unmasked_channel_indices": null, "architectures": ["Other"], "dtype": "float32", "d_model": 128}`))
	if err != nil {
		t.Fatal(err)
	}
	c.ModelWidth = 64
	text, err := c.text(other)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ name, value string }{
		{"dropout", "0.1"}, {"transformers_version", `"4.38.0"`}, {"unmasked_channel_indices", "null"}, {"dtype", `"float32"`},
		{"d_model", "64"}, {"model_type", `"patchtst"`}, {"share_projection", "true"}, {"pooling_type", `"mean"`},
	} {
		if string(keys[want.name]) != want.value {
			t.Errorf("%s is written as %s; want %s", want.name, keys[want.name], want.value)
		}
	}
	if got := strings.Join(strings.Fields(string(keys["num_forecast_mask_patches"])+string(keys["architectures"])), ""); got != `[2]["Other"]` {
		t.Errorf("lists are written as %s", got)
	}
}

func TestRefusesConfigs(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{`"norm_type": "rmsnorm"`, `config: norm_type is "rmsnorm"; supported are batchnorm, layernorm`},
		{`"positional_encoding_type": "rope"`, `positional_encoding_type is "rope"; supported are sincos, random`},
		{`"pooling_type": "sum"`, `pooling_type is "sum"; supported are mean, max, flatten`},
		{`"scaling": "minmax"`, `scaling is "minmax"; supported are none, std, mean`},
		{`"activation_function": "silu"`, `activation_function is "silu"; supported are gelu, relu`},
		{`"share_projection": false`, "share_projection is false; only true is supported"},
		{`"loss": "nll"`, `loss is "nll"; only mse is supported`},
		{`"model_type": "informer"`, `model_type is "informer"; only patchtst is supported`},
		{`"model_type": ["patchtst"]`, `model_type is ["patchtst"]; only patchtst is supported`},
		{`"context_length": 5`, "context_length is 5; expected more than patch_length, which is 5"},
		{`"context_length": 0`, "context_length is 0; expected 1 to 1048576"},
		{`"patch_stride": -2`, "patch_stride is -2; expected 1 to 1048576"},
		{`"num_hidden_layers": 1000000`, "num_hidden_layers is 1000000; expected 1 to 1024"},
		{`"num_attention_heads": 3`, "d_model is 128; expected a multiple of num_attention_heads, which is 3"},
		{`"d_model": 9, "num_attention_heads": 3`, "d_model is 9; expected an even number"},
		{`"norm_eps": 0`, "norm_eps is 0; expected a number above 0"},
		{`"init_std": -1`, "init_std is -1; expected 0 or more"},
		{`"path_dropout": 1`, "path_dropout is 1; expected at least 0 and less than 1"},
		{`"head_dropout": -0.1`, "head_dropout is -0.1; expected at least 0 and less than 1"},
		{`"ff_dropout": "0.1"`, `ff_dropout is "0.1"; expected a number`},
		{`"d_model": 128.5`, "d_model is 128.5; expected a whole number"},
		{`"d_model": null`, "d_model is null; expected a whole number"},
		{`"d_model": "128"`, `d_model is "128"; expected a whole number`},
		{`"pre_norm": 1`, "pre_norm is 1; expected true or false"},
		{`"scaling": 3`, `scaling is 3; expected "std", "mean", true, false or null`},
		{`"use_cls_token": 0`, `use_cls_token is 0; expected true, false or null`},
		{`"context_length": 1000000, "ffn_dim": 1000000`, "numbers at one time; at most 268435456 are taken"},
		{`"d_model": 1000000, "num_attention_heads": 1, "patch_length": 49`, "parameters; at most 268435456 are taken"},
	} {
		// The last of two equal keys counts.
		text := strings.TrimSuffix(deployed, "}") + ", " + c.change + "}"
		if _, _, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.change, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{`[]`, "cannot unmarshal array"},
		{`{"d_model": 128`, "unexpected end"},
	} {
		if _, _, err := parseConfig([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.text, err, c.want)
		}
	}
	c := Deployed()
	c.NormEpsilon = math.NaN()
	if _, err := New(c, 1); err == nil || !strings.Contains(err.Error(), "patchtst: config: norm_eps is NaN") {
		t.Errorf("NaN: error %v", err)
	}
}

// FuzzParseConfig feeds any text: it is refused, or its sizes fit together,
// and it is the same when it has been written and read again.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(deployed))
	f.Add([]byte(`{"scaling": null}`))
	f.Add([]byte(`{"use_cls_token": true, "norm_type": "layernorm", "pooling_type": null, "positional_encoding_type": "random", "x": [1]}`))
	f.Add([]byte(`{"scaling": null, "context_length": 1048576, "d_model": 1048576, "ffn_dim": 1048576}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, other, err := parseConfig(text)
		if err != nil {
			return
		}
		last := c.FirstRow() + (c.Patches()-1)*c.PatchStride + c.PatchLength
		if c.FirstRow() < 0 || last != c.ContextLength {
			t.Fatalf("patches from row %d to %d of %d", c.FirstRow(), last, c.ContextLength)
		}
		written, err := c.text(other)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := parseConfig(written); err != nil || again != c {
			t.Fatalf("%s\nis read again as %+v, %v; want %+v", written, again, err, c)
		}
	})
}
