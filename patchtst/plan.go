package patchtst

import (
	"fmt"
	"time"
)

// A Plan is what a training will take, told before it starts.
type Plan struct {
	Parameters        int           // of the model, its position table included
	Windows           int           // that an epoch learns from
	ValidationWindows int           // that it validates on
	Steps             int           // over all epochs, if none is cut short
	Bytes             int64         // of memory, besides the model and the series
	FLOPs             float64       // floating point operations of all matrix products
	Time              time.Duration // for all epochs on this machine, if it has nothing else to do

	perWindow int64 // bytes for each window of a batch
}

// PlanFit says what Fit will take for a model of the config and a series of so
// many rows, all of them measured. The memory is what Fit will allocate; the
// time is an estimate from some milliseconds of training a part of the model.
func PlanFit(c Config, rows int, o Options) (Plan, error) {
	if err := c.check(); err != nil {
		return Plan{}, fmt.Errorf("patchtst: plan: config: %w", err)
	}
	if err := o.check(); err != nil {
		return Plan{}, fmt.Errorf("patchtst: plan: %w", err)
	}
	border := o.border(rows)
	windows, validating := windowsIn(border, c, o.Stride), 0
	if border < rows {
		validating = windowsIn(rows-max(border-c.ContextLength, 0), c, o.Stride)
	}
	if o.Validation != nil {
		validating = windowsIn(len(o.Validation.Values)/c.Channels, c, o.Stride)
	}
	if windows == 0 {
		return Plan{}, fmt.Errorf("patchtst: plan: no window of %d rows in %d rows", c.ContextLength+c.PredictionLength, border)
	}
	p := newPlan(c, o, windows, validating)
	p.Time = estimate(c, p.FLOPs, o)
	return p, nil
}

// windowsIn counts the windows of a series without a gap.
func windowsIn(rows int, c Config, stride int) int {
	return max(0, rows-c.ContextLength-c.PredictionLength+stride) / stride
}

// newPlan is the part of a plan that needs no measurement.
func newPlan(c Config, o Options, windows, validating int) Plan {
	var p Plan
	model := describe(c, func(_ string, r role, shape ...int) []float32 {
		if r.parameter() {
			p.Parameters += product(shape)
		}
		return nil
	})
	trained, held, _ := countNumbers(c)
	// From the code that takes the memory, on an arena that only counts. A batch
	// grows by equal windows.
	empty := o.step()
	empty.batch = 0
	numbers := count(func(a *arena) *trainer { return buildTrainer(a, c, fastest(), &model, empty) })
	numbers += float64(trained + held) // the best weights so far
	numbers += float64(o.threads()) * count(func(a *arena) *workspace { return newWorkspace(a, c, model.blocks) })
	p.perWindow = 4 * int64(count(func(a *arena) *sample { return newSample(a, c, model.blocks, o.Precision.half(fastest(), c)) }))
	p.Bytes = 4*int64(numbers) + int64(o.Batch)*p.perWindow

	p.Windows, p.ValidationWindows = o.perEpoch(windows), o.validationWindows(validating)
	p.Steps = o.steps(windows)
	p.FLOPs = float64(o.Epochs) * c.flops() * (3*float64(p.Windows) + float64(p.ValidationWindows))
	return p
}

// advice says what would fit into the options' memory.
func (p Plan) advice(o Options) string {
	base := p.Bytes - int64(o.Batch)*p.perWindow
	if fits := (o.MaxBytes - base) / p.perWindow; fits > 0 {
		return fmt.Sprintf("a Batch of %d would fit", fits)
	}
	return fmt.Sprintf("a Batch of 1 takes %s", megabytes(base+p.perWindow))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// flops counts the floating point operations of the matrix products of one
// forecast, two for each multiplication. A step of training takes three times
// as many.
func (c Config) flops() float64 {
	rows, d := float64(c.rows()), float64(c.ModelWidth)
	sum := float64(c.Channels)*float64(c.Patches())*float64(c.PatchLength)*d +
		float64(c.Channels)*float64(c.headWidth())*float64(c.PredictionLength)
	attention := func(length int) float64 { return 4*rows*d*d + 2*rows*float64(length)*d }
	layer := attention(c.tokens()) + 2*rows*d*float64(c.FeedForwardWidth)
	if c.ChannelAttention {
		layer += attention(c.Channels)
	}
	return 2 * (sum + float64(c.Layers)*layer)
}

// estimate is how long so many operations take on some threads, judged by the
// way of some windows through a part of the network: one channel, two layers.
func estimate(c Config, flops float64, o Options) time.Duration {
	part := c
	part.Channels, part.Layers, part.PredictionLength = 1, min(c.Layers, 2), min(c.PredictionLength, 16)
	part.ShareEmbedding, part.ChannelAttention = true, false
	m, err := New(part, 1)
	if err != nil {
		panic("BUG: patchtst: a part of a config that was checked is refused: " + err.Error())
	}
	trainer := newTrainer(m, stepOptions{batch: shards, threads: 1, precision: o.Precision})
	defer trainer.close()
	values := make([]float32, part.ContextLength+part.PredictionLength)
	for i := range values {
		values[i] = float32(i % 7)
	}
	var fastest time.Duration
	for rounds, begin := 0, time.Now(); rounds < 2 || time.Since(begin) < 20*time.Millisecond; rounds++ {
		start := time.Now()
		trainer.gradient(batch{Series{Values: values}, make([]int, shards)})
		if took := max(time.Since(start), 1); fastest == 0 || took < fastest {
			fastest = took
		}
	}
	seconds := fastest.Seconds() * flops / (3 * shards * part.flops()) / float64(min(o.threads(), shards))
	return time.Duration(min(seconds*float64(time.Second), float64(1<<62)))
}
