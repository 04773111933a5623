package patchtst

// A Series is what a model learns from: rows of all channels, evenly spaced in
// time, oldest first. Training reads it in place and never copies it.
type Series struct {
	Values   []float32 // (rows, C) row major, in the units that forecasts are wanted in
	Observed []bool    // (rows, C) which numbers were measured; nil means all
}

// A batch is the windows of one training step, as rows of a series.
type batch struct {
	series Series
	starts []int // the first row of each window's context
}

// window is the context (L, C) of the i-th window.
func (b batch) window(c Config, i int) window {
	return windowAt(b.series.Values, b.series.Observed, b.starts[i]*c.Channels, c.ContextLength*c.Channels)
}

// target is what followed that context, (T, C).
func (b batch) target(c Config, i int) []float32 {
	return b.series.Values[(b.starts[i]+c.ContextLength)*c.Channels:][:c.PredictionLength*c.Channels]
}
