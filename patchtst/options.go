package patchtst

import (
	"fmt"
	"math"
	"runtime"

	"fettle/patchtst/internal/kernel"
)

// Options say how Fit trains. NewOptions has what to start from.
type Options struct {
	Epochs       int      // times that training goes over its windows
	Batch        int      // windows in a step
	LearningRate float64  // of AdamW; the schedule's highest
	WeightDecay  float64  // of AdamW, on all trained numbers
	Clip         float64  // largest norm of the gradient of a step; 0: no limit
	Schedule     Schedule // how the learning rate goes
	Patience     int      // epochs without a better validation after which training stops; 0: never
	Seed         uint64   // of the windows' order and of dropout: the same seed makes the same bits
	Precision    Precision
	Threads      int // 0: one for each processor. Their number changes no bit

	Stride          int     // rows between two windows' starts
	WindowsPerEpoch int     // an epoch takes so many windows, other ones each time, and validates on half as many; 0: all
	ValidationShare float64 // of the rows, the newest, which training never sees; 0: none
	Validation      *Series // to validate on, instead of a share of the series

	MaxBytes        int64          // Fit refuses to take more memory than this
	Checkpoint      string         // folder to keep the state of training in; "": none
	CheckpointSteps int            // write it after so many steps too, not only after epochs; 0: no
	Progress        func(Progress) // called after each step, if not nil; training waits for it
}

// Precision is in which numbers training multiplies matrices. Sums, and
// everything else, the weights above all, are float32 in either.
type Precision string

const (
	// Float32 is exact to float32's rounding. It is the default.
	Float32 Precision = "float32"
	// BFloat16 rounds the factors of the products in the encoder's blocks, and
	// what training keeps of them, to eight bits: it takes two thirds of the
	// time, and a gradient is off by less than a hundredth. It needs a processor
	// that multiplies such numbers itself; elsewhere it is Float32.
	BFloat16 Precision = "bfloat16"
)

// half says whether blocks multiply bfloat16: pairs of them, so widths are even.
func (p Precision) half(k *kernel.Kernels, c Config) bool {
	return p == BFloat16 && k.HasBF16() && c.ModelWidth/c.Heads%2 == 0 && c.FeedForwardWidth%2 == 0
}

// NewOptions are options for a model of Deployed's size.
func NewOptions() Options {
	return Options{
		Epochs: 20, Batch: 32, LearningRate: 1e-3, WeightDecay: 0.01, Clip: 1, Schedule: Constant,
		Patience: 5, Stride: 1, ValidationShare: 0.1, MaxBytes: 4 << 30,
	}
}

// maxCount bounds counts, so that products of them do not overflow.
const maxCount = 1 << 30

// check refuses options by name.
func (o Options) check() error {
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"Epochs", o.Epochs, 1, 1 << 20},
		{"Batch", o.Batch, 1, 1 << 20},
		{"Patience", o.Patience, 0, maxCount},
		{"Threads", o.Threads, 0, 1 << 10},
		{"Stride", o.Stride, 1, maxCount},
		{"WindowsPerEpoch", o.WindowsPerEpoch, 0, maxCount},
		{"CheckpointSteps", o.CheckpointSteps, 0, maxCount},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("option %s is %d; expected %d to %d", f.name, f.value, f.least, f.most)
		}
	}
	for _, f := range []struct {
		name     string
		value    float64
		fits     bool // false for NaN too
		expected string
	}{
		{"LearningRate", o.LearningRate, o.LearningRate > 0, "a number above 0"},
		{"WeightDecay", o.WeightDecay, o.WeightDecay >= 0, "0 or more"},
		{"Clip", o.Clip, o.Clip >= 0, "0 or more"},
		{"ValidationShare", o.ValidationShare, o.ValidationShare >= 0 && o.ValidationShare < 1, "at least 0 and less than 1"},
	} {
		if !f.fits || math.IsInf(f.value, 0) {
			return fmt.Errorf("option %s is %v; expected %s", f.name, f.value, f.expected)
		}
	}
	switch o.Schedule {
	case Constant, Cosine, OneCycle:
	default:
		return fmt.Errorf("option Schedule is %q; expected %s, %s or %s", o.Schedule, Constant, Cosine, OneCycle)
	}
	switch o.Precision {
	case "", Float32, BFloat16:
	default:
		return fmt.Errorf("option Precision is %q; expected %s or %s", o.Precision, Float32, BFloat16)
	}
	switch {
	case o.Validation != nil && o.ValidationShare != 0:
		return fmt.Errorf("option ValidationShare is %v beside a Validation series; expected one of the two", o.ValidationShare)
	case o.CheckpointSteps > 0 && o.Checkpoint == "":
		return fmt.Errorf("option CheckpointSteps is %d without a Checkpoint folder", o.CheckpointSteps)
	}
	return nil
}

func (o Options) threads() int {
	if o.Threads == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Threads
}

// border is the first of the rows that are held out.
func (o Options) border(rows int) int {
	return rows - int(math.Round(o.ValidationShare*float64(rows)))
}

// validationWindows is how many of the windows a validation forecasts. An
// epoch that takes a part of its windows validates on a part too.
func (o Options) validationWindows(windows int) int {
	if o.WindowsPerEpoch > 0 {
		return min(windows, max(o.WindowsPerEpoch/2, 1))
	}
	return windows
}

// perEpoch is how many of the windows an epoch takes.
func (o Options) perEpoch(windows int) int {
	if o.WindowsPerEpoch > 0 {
		return min(o.WindowsPerEpoch, windows)
	}
	return windows
}

// steps is how many steps all epochs would have.
func (o Options) steps(windows int) int {
	perEpoch := o.perEpoch(windows)
	return o.Epochs * ((perEpoch + o.Batch - 1) / o.Batch)
}

func (o Options) step() stepOptions {
	return stepOptions{batch: o.Batch, weightDecay: o.WeightDecay, clip: o.Clip, seed: o.Seed, threads: o.threads(), precision: o.Precision}
}
