package patchtst

import (
	"strings"
	"testing"
)

// deployed is a config.json as the deployed models carry it, without the keys
// that forecasting never reads.
const deployed = `{"model_type": "patchtst", "architectures": ["PatchTSTForPrediction"], "torch_dtype": "float32",
	"context_length": 50, "prediction_length": 10, "num_input_channels": 6, "num_targets": 6,
	"patch_length": 5, "patch_stride": 2, "d_model": 128, "ffn_dim": 256, "num_attention_heads": 4, "num_hidden_layers": 2,
	"norm_type": "batchnorm", "norm_eps": 1e-05, "pre_norm": true, "positional_encoding_type": "sincos",
	"pooling_type": "mean", "scaling": null, "activation_function": "gelu", "bias": true, "share_embedding": true,
	"share_projection": true, "channel_attention": false, "use_cls_token": false, "loss": "mse", "dropout": 0.1}`

func TestReadsDeployedConfig(t *testing.T) {
	c, err := parseConfig([]byte(deployed))
	if err != nil {
		t.Fatal(err)
	}
	if c.Patches() != 23 || c.FirstRow() != 1 {
		t.Errorf("%d patches from row %d; want 23 from row 1", c.Patches(), c.FirstRow())
	}
	want := Config{
		ContextLength: 50, PredictionLength: 10, Channels: 6, PatchLength: 5, PatchStride: 2,
		ModelWidth: 128, Heads: 4, FeedForwardWidth: 256, Layers: 2,
		Norm: "batchnorm", NormEpsilon: 1e-5, PreNorm: true, Position: "sincos", Pooling: "mean", Scaling: "null",
		Activation: "gelu", Bias: true, ShareEmbedding: true, ShareProjection: true, Loss: "mse", ModelType: "patchtst",
	}
	if c != want {
		t.Errorf("config is %+v", c)
	}
}

// TestAbsentKeysTakeDefaults leaves out everything that may be left out.
func TestAbsentKeysTakeDefaults(t *testing.T) {
	c, err := parseConfig([]byte(`{"scaling": false}`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Scaling = "null"
	if c != want {
		t.Errorf("config is %+v", c)
	}
}

func TestRefusesConfigs(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{`"use_cls_token": true`, "config: use_cls_token is true; this version supports false only"},
		{`"norm_type": "layernorm"`, "norm_type is layernorm; this version supports batchnorm only"},
		{`"pre_norm": false`, "pre_norm is false; this version supports true only"},
		{`"positional_encoding_type": "random"`, "positional_encoding_type is random; this version supports sincos only"},
		{`"pooling_type": "max"`, "pooling_type is max; this version supports mean only"},
		{`"pooling_type": null`, "pooling_type is null; this version supports mean only"},
		{`"scaling": "std"`, "scaling is std; this version supports null only"},
		{`"scaling": true`, "scaling is mean; this version supports null only"},
		{`"activation_function": "relu"`, "activation_function is relu; this version supports gelu only"},
		{`"bias": false`, "bias is false; this version supports true only"},
		{`"share_embedding": false`, "share_embedding is false; this version supports true only"},
		{`"share_projection": false`, "share_projection is false; this version supports true only"},
		{`"channel_attention": true`, "channel_attention is true; this version supports false only"},
		{`"loss": "nll"`, "loss is nll; this version supports mse only"},
		{`"model_type": "informer"`, "model_type is informer; this version supports patchtst only"},
		{`"context_length": 5`, "context_length is 5; expected more than patch_length, which is 5"},
		{`"context_length": 0`, "context_length is 0; expected 1 to 1048576"},
		{`"patch_stride": -2`, "patch_stride is -2; expected 1 to 1048576"},
		{`"num_hidden_layers": 1000000`, "num_hidden_layers is 1000000; expected 1 to 1024"},
		{`"num_attention_heads": 3`, "d_model is 128; expected a multiple of num_attention_heads, which is 3"},
		{`"d_model": 9, "num_attention_heads": 3`, "d_model is 9; expected an even number"},
		{`"norm_eps": 0`, "norm_eps is 0; expected a number above 0"},
		{`"d_model": 128.5`, "d_model is 128.5; expected a whole number"},
		{`"d_model": null`, "d_model is null; expected a whole number"},
		{`"d_model": "128"`, `d_model is "128"; expected a whole number`},
		{`"pre_norm": 1`, "pre_norm is 1; expected true or false"},
		{`"scaling": 3`, `scaling is 3; expected "std", "mean", true, false or null`},
		{`"context_length": 1000000, "ffn_dim": 1000000`, "numbers at one time; at most 268435456 are taken"},
	} {
		// The last of two equal keys counts.
		text := strings.TrimSuffix(deployed, "}") + ", " + c.change + "}"
		if _, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.change, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{`{}`, "scaling is absent, which means std; this version supports null only"},
		{`[]`, "cannot unmarshal array"},
		{`{"d_model": 128`, "unexpected end"},
	} {
		if _, err := parseConfig([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.text, err, c.want)
		}
	}
}

// FuzzParseConfig feeds any text: it is refused, or its sizes fit together.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(deployed))
	f.Add([]byte(`{"scaling": null}`))
	f.Add([]byte(`{"scaling": null, "context_length": 1048576, "d_model": 1048576, "ffn_dim": 1048576}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		last := c.FirstRow() + (c.Patches()-1)*c.PatchStride + c.PatchLength
		if c.FirstRow() < 0 || last != c.ContextLength {
			t.Fatalf("patches from row %d to %d of %d", c.FirstRow(), last, c.ContextLength)
		}
	})
}
