package patchtst

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
	Layers           int // M: num_hidden_layers

	Norm             string  // norm_type: batchnorm, layernorm
	NormEpsilon      float64 // norm_eps
	PreNorm          bool    // pre_norm: normalise before a block, not after
	Position         string  // positional_encoding_type: sincos (fixed), random (learned)
	Pooling          string  // pooling_type: mean, max, flatten (null)
	Scaling          string  // scaling: none (null), std (instance normalisation), mean
	Activation       string  // activation_function: gelu, relu
	Bias             bool    // bias: of the feed-forward blocks
	ShareEmbedding   bool    // share_embedding: one embedding for all channels
	ChannelAttention bool    // channel_attention: channels look at each other
	ClassToken       bool    // use_cls_token: a token of its own is what the head reads

	// The share of numbers that training drops, in [0, 1). Forecasts drop none.
	PositionalDropout  float64 // positional_dropout: of the embedded patches
	AttentionDropout   float64 // attention_dropout: of the attention's shares
	PathDropout        float64 // path_dropout: of what a block adds to the stream
	FeedForwardDropout float64 // ff_dropout: inside a feed-forward block
	HeadDropout        float64 // head_dropout: of what the head reads

	InitDeviation float64 // init_std: standard deviation of new weights
}

// NewConfig is what transformers takes for keys that config.json leaves out.
// Beware that its scaling is "std".
func NewConfig() Config {
	return Config{
		ContextLength: 32, PredictionLength: 24, Channels: 1,
		PatchLength: 1, PatchStride: 1,
		ModelWidth: 128, Heads: 4, FeedForwardWidth: 512, Layers: 3,
		Norm: "batchnorm", NormEpsilon: 1e-5, PreNorm: true,
		Position: "sincos", Pooling: "mean", Scaling: "std", Activation: "gelu",
		Bias: true, ShareEmbedding: true, InitDeviation: 0.02,
	}
}

// Deployed is the family that forecasts machines: 50 rows in, 10 rows out, six
// channels that the caller has scaled to 0..1. 269,962 parameters.
func Deployed() Config {
	c := NewConfig()
	c.ContextLength, c.PredictionLength, c.Channels = 50, 10, 6
	c.PatchLength, c.PatchStride = 5, 2
	c.FeedForwardWidth, c.Layers = 256, 2
	c.Scaling = "none"
	return c
}

// Research is the large sibling of Deployed: 1,200 rows in, 240 rows out.
// 1,220,848 parameters, and 92 times the work for a window.
func Research() Config {
	c := Deployed()
	c.ContextLength, c.PredictionLength = 1200, 240
	c.PatchLength, c.PatchStride = 12, 3
	c.ModelWidth, c.FeedForwardWidth = 256, 512
	return c
}

// Patches is N, the number of patches of one channel.
func (c Config) Patches() int { return (c.ContextLength-c.PatchLength)/c.PatchStride + 1 }

// FirstRow is the first row of a window that a patch holds: where the patches
// do not cover the window they leave out its oldest rows.
func (c Config) FirstRow() int {
	return c.ContextLength - (c.PatchLength + c.PatchStride*(c.Patches()-1))
}

// tokens is K, what the encoder sees of one channel: its patches, after the
// class token if there is one.
func (c Config) tokens() int {
	if c.ClassToken {
		return c.Patches() + 1
	}
	return c.Patches()
}

// rows counts the tokens of one window: C K.
func (c Config) rows() int { return c.Channels * c.tokens() }

// headWidth is how many numbers of a channel the head reads: D' in the shapes.
func (c Config) headWidth() int {
	if c.Pooling == "flatten" && !c.ClassToken {
		return c.Patches() * c.ModelWidth
	}
	return c.ModelWidth
}

// withoutDropout is the computation of a forecast.
func (c Config) withoutDropout() Config {
	c.PositionalDropout, c.AttentionDropout, c.PathDropout, c.FeedForwardDropout, c.HeadDropout = 0, 0, 0, 0, 0
	return c
}
