// Package patchtst computes HuggingFace's PatchTSTForPrediction: a transformer
// that forecasts several channels of a time series, each from patches of its
// own past. What comes in is a folder that save_pretrained wrote (config.json,
// model.safetensors) and windows of numbers; what goes out are the numbers
// that transformers would answer, to 1e-5. It stands on the standard library
// alone, knows nothing of machines or sensors, and never guesses: a
// configuration that it does not compute exactly is refused by name.
//
// The letters in the shapes beside the tensors:
//
//	L  rows of a window         (context_length)
//	T  rows forecast            (prediction_length)
//	C  channels                 (num_input_channels)
//	P  rows of a patch          (patch_length)
//	S  rows between patches     (patch_stride)
//	N  patches of a channel     floor((L-P)/S) + 1
//	D  width of the model       (d_model)
//	H  heads of attention       (num_attention_heads), each D/H wide
//	F  width inside a feed-forward block (ffn_dim)
//
// Read forward.go for the computation from the first row to the last, config.go
// for what is supported, parameters.go for the tensors. The format of the
// tensors' file is the business of package safetensors below.
package patchtst
