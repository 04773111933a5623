package patchtst

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of a config: maxSize of each size, maxNumbers of the numbers that a
// forecast has in memory at one time, and of a model's parameters (1 GiB of
// them). The sizes of a small file can ask for more.
const (
	maxSize    = 1 << 20
	maxLayers  = 1 << 10
	maxNumbers = 1 << 28
)

// check refuses a config that is not computed exactly, or takes too much.
func (c Config) check() error {
	for _, step := range []func(Config) error{Config.checkSizes, Config.checkChoices, Config.checkNumbers, Config.checkMemory} {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

// checkSizes refuses sizes that fit no model.
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
	case c.ModelWidth%2 != 0 && c.Position == "sincos":
		return fmt.Errorf("d_model is %d; expected an even number for sincos positions", c.ModelWidth)
	}
	return nil
}

// checkChoices refuses by name what is not computed.
func (c Config) checkChoices() error {
	for _, s := range []struct {
		name, value string
		supported   []string
	}{
		{"norm_type", c.Norm, []string{"batchnorm", "layernorm"}},
		{"positional_encoding_type", c.Position, []string{"sincos", "random"}},
		{"pooling_type", c.Pooling, []string{"mean", "max", "flatten"}},
		{"scaling", c.Scaling, []string{"none", "std", "mean"}},
		{"activation_function", c.Activation, []string{"gelu", "relu"}},
	} {
		if !slices.Contains(s.supported, s.value) {
			return fmt.Errorf("%s is %q; supported are %s", s.name, s.value, strings.Join(s.supported, ", "))
		}
	}
	return nil
}

// checkNumbers refuses numbers out of their range, NaN among them.
func (c Config) checkNumbers() error {
	if !(c.NormEpsilon > 0) || math.IsInf(c.NormEpsilon, 0) {
		return fmt.Errorf("norm_eps is %v; expected a number above 0", c.NormEpsilon)
	}
	if !(c.InitDeviation >= 0) || math.IsInf(c.InitDeviation, 0) {
		return fmt.Errorf("init_std is %v; expected 0 or more", c.InitDeviation)
	}
	for _, s := range []struct {
		name string
		rate float64
	}{
		{"positional_dropout", c.PositionalDropout},
		{"attention_dropout", c.AttentionDropout},
		{"path_dropout", c.PathDropout},
		{"ff_dropout", c.FeedForwardDropout},
		{"head_dropout", c.HeadDropout},
	} {
		if !(s.rate >= 0 && s.rate < 1) {
			return fmt.Errorf("%s is %v; expected at least 0 and less than 1", s.name, s.rate)
		}
	}
	return nil
}

// checkMemory refuses sizes that would take too much of it.
func (c Config) checkMemory() error {
	if need := forecastNumbers(c); need > maxNumbers {
		return fmt.Errorf("a forecast would need %.0f numbers at one time; at most %d are taken", need, maxNumbers)
	}
	if need := parameterNumbers(c); need > maxNumbers {
		return fmt.Errorf("the model would have %.0f parameters; at most %d are taken", need, maxNumbers)
	}
	return nil
}
