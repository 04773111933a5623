// Package patchtst computes and trains HuggingFace's PatchTSTForPrediction: a
// transformer that forecasts several channels of a time series, each from
// patches of its own past (Nie, Nguyen, Sinthong, Kalagnanam: A Time Series is
// Worth 64 Words, 2023). What comes in is a folder that save_pretrained
// wrote (config.json, model.safetensors), or a config and a series to learn
// from; what goes out are the numbers that transformers would answer, to 1e-5,
// and folders that transformers loads. It stands on the standard library alone,
// knows nothing of machines or sensors, and never guesses: a configuration that
// it does not compute exactly is refused by name.
//
//	model, err := patchtst.Load("model")       // or New(Deployed(), seed)
//	forecast := model.Forward(nil, window)     // (L, C) -> (T, C)
//	plan, err := patchtst.PlanFit(config, rows, options)
//	report, err := patchtst.Fit(ctx, model, series, options)
//	err = model.Save("model")
//
// # Shapes
//
// The letters in the shapes beside the tensors:
//
//	B  windows of a batch
//	L  rows of a window         (context_length)
//	T  rows forecast            (prediction_length)
//	C  channels                 (num_input_channels)
//	P  rows of a patch          (patch_length)
//	S  rows between patches     (patch_stride)
//	N  patches of a channel     floor((L-P)/S) + 1
//	K  tokens of a channel      N, or N + 1 with a class token
//	D  width of the model       (d_model)
//	H  heads of attention       (num_attention_heads), each D/H wide
//	F  width inside a feed-forward block (ffn_dim)
//	D' numbers of a channel that the head reads: D, or N D of a flat head
//
// # Where things are
//
// The computation, each step forward with its way back below it, in the order
// of the data: scaler.go, embedding.go, attention.go, feedforward.go,
// normalizer.go, head.go. pass.go leads one window through them; forward.go
// does so for forecasts, step.go for the batch of a training step, whose batch
// norms make all windows wait for each other between two blocks. sample.go is
// the memory of a window on its way.
//
// tensors.go names the tensors, load.go and save.go read and write them,
// config.go says which computations there are. fit.go trains: series.go finds
// the windows, shuffle.go orders them, resume.go keeps the state, plan.go says
// what it will take.
//
// The loops that take the time are in internal/kernel, in Go and in assembly
// for several processors; linear.go has the products of the layers. Two
// shortcuts, taken where they are exact, leave out a third of the work: first.go
// and firstback.go of the first attention, last.go of the last feed-forward
// block. operand.go and attentionhalf.go are training in bfloat16.
//
// # Where the time goes
//
// A step of training in microseconds of one thread's time a window, on a Zen 5
// processor (peak 280 and 565 GFLOP/s) whose caches and memory others used too:
//
//	                               deployed, batch 32    research, batch 16
//	                               float32  bfloat16     float32  bfloat16
//	linear layers, forward             205       110       18400      8870
//	their inputs' gradients            194        98       14300      6860
//	their weights' gradients           235       148       16950      7660
//	attention's products               113        53       29200     15700
//	cutting heads out, transposing      32        22        1460       400
//	softmax                             10         5        3200      5240
//	GELU                                39        31        2050      2020
//	norms, and adding to the stream     89        69        2050      1610
//	rounding to bfloat16                 -        71           -      7860
//	the first attention's shortcut      25        16        2920      2620
//	AdamW, packing weights               9         8         580       200
//	the rest                            21        18         580       800
//	all                                972       649       91690     59840
//
// The products run near the peak; what norms and rounding cost is fetching what
// does not fit into the second cache, as a window of research's size does not.
// BenchmarkStep measures a step; its profile is the table. A forecast of the
// deployed size takes 0.27 ms of that thread, three quarters of it in linear
// layers and a tenth in attention.
//
// # The same bits
//
// A batch is cut into four shards, whatever the number of threads, and sums
// over a batch are sums over shards in their order; dropout depends on seed,
// step and place alone, and so does the order of windows. So the same seed
// makes the same model on any number of threads, and a training that was
// stopped goes on to the same one. Another processor's kernels, or another
// Precision, round in another way; a training that is gone on with keeps the
// kernels that it began with, where there are such.
package patchtst
