package main

import (
	"fettle/internal/train"
	"fettle/patchtst"
)

// settings are the preset's, changed by the flags, for so many channels.
func (c *fitCmd) settings(channels int) (patchtst.Config, patchtst.Options, error) {
	recipe, err := train.FindRecipe(c.Preset)
	if err != nil {
		return patchtst.Config{}, patchtst.Options{}, err
	}
	train.Changes{
		Context: c.Context, Horizon: c.Horizon, Patch: c.Patch, Stride: c.Stride,
		DModel: c.DModel, Heads: c.Heads, Layers: c.Layers, FFN: c.FFN, Dropout: c.Dropout,
		Epochs: c.Epochs, Batch: c.Batch, LearningRate: c.LR, Schedule: c.trainingFlags.Schedule,
		Patience: c.Patience, WindowsPerEpoch: c.WindowsPerEpoch,
	}.Apply(&recipe)
	network, o := recipe.Network, recipe.Options
	network.Channels = channels
	o.Threads, o.Seed, o.MaxBytes, o.Checkpoint = c.Threads, c.Seed, int64(c.Memory), c.Checkpoint
	return network, o, nil
}
