package main

import (
	"fettle/patchtst"
)

// settings are the preset's, changed by the flags, for so many channels.
func (c *fitCmd) settings(channels int) (patchtst.Config, patchtst.Options) {
	network, o := preset(c.Preset)
	network.Channels = channels
	for _, f := range []struct {
		to   *int
		flag int
	}{
		{&network.ContextLength, c.Context}, {&network.PredictionLength, c.Horizon},
		{&network.PatchLength, c.Patch}, {&network.PatchStride, c.Stride},
		{&network.ModelWidth, c.DModel}, {&network.Heads, c.Heads},
		{&network.Layers, c.Layers}, {&network.FeedForwardWidth, c.FFN},
		{&o.Epochs, c.Epochs}, {&o.Batch, c.Batch}, {&o.Threads, c.Threads},
	} {
		if f.flag != 0 {
			*f.to = f.flag
		}
	}
	if c.Dropout != nil {
		network.PositionalDropout, network.PathDropout, network.FeedForwardDropout = *c.Dropout, *c.Dropout, *c.Dropout
	}
	if c.LR != 0 {
		o.LearningRate = c.LR
	}
	if c.trainingFlags.Schedule != "" {
		o.Schedule = patchtst.Schedule(c.trainingFlags.Schedule)
	}
	if c.Patience != nil {
		o.Patience = *c.Patience
	}
	if c.WindowsPerEpoch != nil {
		o.WindowsPerEpoch = *c.WindowsPerEpoch
	}
	o.Precision, o.Seed, o.MaxBytes, o.Checkpoint = patchtst.Precision(c.Precision), c.Seed, int64(c.Memory), c.Checkpoint
	return network, o
}

// preset is where settings start from.
func preset(name string) (patchtst.Config, patchtst.Options) {
	o := patchtst.NewOptions()
	switch name {
	case "research":
		// All windows of a month would take a day and a half an epoch.
		o.Batch, o.WindowsPerEpoch = 16, 2048
		return patchtst.Research(), o
	case "ett":
		// The settings of the PatchTST paper for the ETT tables, in which Adam
		// has no weight decay.
		c := patchtst.NewConfig()
		c.ContextLength, c.PredictionLength = 336, 96
		c.PatchLength, c.PatchStride = 16, 8
		c.ModelWidth, c.Heads, c.Layers, c.FeedForwardWidth = 16, 4, 3, 128
		c.Scaling, c.Pooling = "std", "flatten"
		c.PositionalDropout, c.PathDropout, c.FeedForwardDropout = 0.3, 0.3, 0.3
		o.Epochs, o.Batch, o.LearningRate, o.Patience, o.WeightDecay = 100, 128, 1e-4, 10, 0
		return c, o
	default:
		return patchtst.Deployed(), o
	}
}
