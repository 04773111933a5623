package patchtst

import (
	"context"
	"fmt"
	"math"
)

// Progress is how far a training has come.
type Progress struct {
	Epoch, Epochs   int     // the epoch under way, from 1
	Windows, InAll  int     // of this epoch: seen so far, and in all
	Step, Steps     int     // over all epochs: taken so far, and at most
	Rate            float64 // learning rate of the last step
	Gradient        float64 // norm of its gradient, before clipping
	Loss            float64 // mean over the epoch's steps so far, in the series' units squared
	ValidationScore *Score  // after the epoch's last step, if it was validated
}

// A Report is what became of a training.
type Report struct {
	Epochs            []Epoch // that were finished
	Best              int     // index of the epoch whose weights the model has; -1: those it had before
	Steps             int     // taken in all
	Windows           int     // there were to learn from
	ValidationWindows int     // were set aside
	Unusable          int     // places without a window: a number not finite, or one to forecast not measured
	Stopped           string  // why it ended: "epochs", "patience", "cancelled", "diverged"
}

// An Epoch is one time over the windows.
type Epoch struct {
	Loss       float64 // mean loss of its steps, in the series' units squared
	Validation Score   // of the model after it; no windows if there was no validation
	Rate       float64 // learning rate of its last step
}

// Fit trains a model on a series by AdamW on the mean squared error: windows
// in an order that is another in each epoch, the newest part of the series
// held out to validate on. Afterwards the model has the weights of the epoch
// that validated best, without validation those of the last whole one; so too
// when the context ends, which Fit answers with the context's error, and when
// the loss is no longer a number. While Fit runs, nobody else may use the
// model.
//
// With a Checkpoint folder, training can be stopped at any time: Fit, called
// again with the same config, series and options, goes on where the folder's
// state was written, to the same bits where the processor has the kernels that
// it began with. Whoever wants to start anew removes the folder.
func Fit(ctx context.Context, m *Model, series Series, o Options) (Report, error) {
	f, err := newFitting(m, series, o)
	if err != nil {
		return Report{}, fmt.Errorf("patchtst: fit: %w", err)
	}
	defer f.trainer.close()
	err = f.run(ctx)
	f.numbers.copyTo(&m.numbers)
	m.prepare()
	if err != nil {
		return f.report, fmt.Errorf("patchtst: fit: %w", err)
	}
	return f.report, nil
}

// fitting is a training under way.
type fitting struct {
	model      *Model
	options    Options
	series     Series // what is learned from
	windows    windows
	validation Series
	validating windows
	trainer    *trainer
	numbers    numbers // the model's, after the best epoch so far
	starts     []int   // of one batch

	// The state that a checkpoint keeps, besides the model's and the trainer's:
	report   Report
	position int     // windows of this epoch that have been seen
	losses   float64 // sum over them
}

// newFitting checks everything, takes the memory, and reads the checkpoint if
// there is one.
func newFitting(m *Model, series Series, o Options) (*fitting, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f := &fitting{model: m, options: o, series: series}
	if err := f.divide(); err != nil {
		return nil, err
	}
	plan := newPlan(m.config, o, f.windows.count, f.validating.count)
	if plan.Bytes > o.MaxBytes {
		return nil, fmt.Errorf("training with batches of %d takes %s of memory; at most %s are taken: %s",
			o.Batch, megabytes(plan.Bytes), megabytes(o.MaxBytes), plan.advice(o))
	}
	f.trainer = newTrainer(m, o.step())
	f.numbers = newNumbers(m.config)
	m.numbers.copyTo(&f.numbers)
	f.starts = make([]int, 0, o.Batch)
	f.report = Report{Best: -1, Windows: f.windows.count, ValidationWindows: f.validating.count, Unusable: f.windows.unusable + f.validating.unusable}
	if o.Checkpoint != "" {
		if err := f.resume(); err != nil {
			f.trainer.close()
			return nil, err
		}
	}
	return f, nil
}

// divide finds the windows to learn from and those to validate on. A held out
// part starts with the first row to forecast; the context before it may be
// from what was learned.
func (f *fitting) divide() error {
	c, o := f.model.config, f.options
	if err := f.series.check(c); err != nil {
		return err
	}
	rows, length := len(f.series.Values)/c.Channels, c.ContextLength+c.PredictionLength
	whole := f.series
	if o.Validation != nil {
		f.validation = *o.Validation
		if err := f.validation.check(c); err != nil {
			return fmt.Errorf("validation: %w", err)
		}
	} else if o.ValidationShare > 0 {
		border := o.border(rows)
		f.series = whole.between(c, 0, border)
		f.validation = whole.between(c, max(border-c.ContextLength, 0), rows)
	}
	f.windows, f.validating = findWindows(f.series, c, o.Stride), findWindows(f.validation, c, o.Stride)
	if f.windows.count == 0 {
		return fmt.Errorf("no window of %d rows to learn from in %d rows (%d places hold a number that is not finite or not measured)",
			length, len(f.series.Values)/c.Channels, f.windows.unusable)
	}
	if (o.Validation != nil || o.ValidationShare > 0) && f.validating.count == 0 {
		return fmt.Errorf("no window of %d rows to validate on in %d rows: give more rows, or a larger ValidationShare, or 0 for no validation",
			length, len(f.validation.Values)/c.Channels)
	}
	return nil
}

// run trains until the epochs, the patience, the context or the numbers end.
func (f *fitting) run(ctx context.Context) error {
	for len(f.report.Epochs) < f.options.Epochs {
		if f.outOfPatience() {
			f.report.Stopped = "patience"
			return nil
		}
		if err := f.epoch(ctx); err != nil {
			return err
		}
		if err := f.checkpoint(); err != nil {
			return err
		}
	}
	f.report.Stopped = "epochs"
	return nil
}

// outOfPatience says whether the best epoch lies too far back.
func (f *fitting) outOfPatience() bool {
	since := len(f.report.Epochs) - 1 - f.report.Best
	return f.options.Patience > 0 && f.validating.count > 0 && since >= f.options.Patience
}

// epoch goes over the windows once, from where it was left, and validates.
func (f *fitting) epoch(ctx context.Context) error {
	inAll := f.options.perEpoch(f.windows.count)
	order := newShuffle(f.windows.count, f.options.Seed, len(f.report.Epochs))
	progress := f.progress()
	for f.position < inAll {
		if err := ctx.Err(); err != nil {
			return f.cancelled(err)
		}
		f.starts = f.starts[:0]
		for i := f.position; i < min(f.position+f.options.Batch, inAll); i++ {
			f.starts = append(f.starts, f.windows.start(order.at(i)))
		}
		progress.Rate = f.options.Schedule.rate(f.options.LearningRate, f.trainer.steps, progress.Steps)
		loss, norm, err := f.trainer.step(batch{f.series, f.starts}, progress.Rate)
		if err != nil {
			return f.diverged(err)
		}
		f.position += len(f.starts)
		f.losses += loss * float64(len(f.starts))
		f.report.Steps = f.trainer.steps
		if n := f.options.CheckpointSteps; n > 0 && f.trainer.steps%n == 0 && f.position < inAll {
			if err := f.checkpoint(); err != nil {
				return err
			}
		}
		progress.Windows, progress.Step, progress.Gradient = f.position, f.trainer.steps, norm
		progress.Loss = f.losses / float64(f.position)
		f.tell(progress)
	}
	return f.finishEpoch(ctx, progress)
}

// finishEpoch validates and keeps the weights if they are the best so far.
func (f *fitting) finishEpoch(ctx context.Context, progress Progress) error {
	done := Epoch{
		Loss: f.losses / float64(f.position),
		Rate: f.options.Schedule.rate(f.options.LearningRate, f.trainer.steps-1, progress.Steps),
	}
	best := true
	if f.validating.count > 0 {
		f.model.prepare()
		score, err := f.model.score(ctx, f.validation, f.validating, f.options.validationWindows(f.validating.count), f.options.threads())
		if err != nil {
			return f.cancelled(err)
		}
		done.Validation = score
		best = f.report.Best < 0 || !(score.MSE >= f.report.Epochs[f.report.Best].Validation.MSE)
	}
	f.report.Epochs = append(f.report.Epochs, done)
	f.position, f.losses = 0, 0
	if best {
		f.report.Best = len(f.report.Epochs) - 1
		f.model.numbers.copyTo(&f.numbers)
	}
	if f.validating.count > 0 {
		progress.ValidationScore = &done.Validation
		progress.Rate, progress.Loss = done.Rate, done.Loss
		progress.Windows, progress.Step = progress.InAll, f.trainer.steps
		f.tell(progress)
	}
	return nil
}

func (f *fitting) progress() Progress {
	return Progress{
		Epoch: len(f.report.Epochs) + 1, Epochs: f.options.Epochs,
		InAll: f.options.perEpoch(f.windows.count), Steps: f.options.steps(f.windows.count),
	}
}

func (f *fitting) tell(p Progress) {
	if f.options.Progress != nil {
		f.options.Progress(p)
	}
}

// cancelled writes down where training is.
func (f *fitting) cancelled(cause error) error {
	f.report.Stopped = "cancelled"
	if err := f.checkpoint(); err != nil {
		return fmt.Errorf("stopped (%w), but: %w", cause, err)
	}
	return cause
}

// diverged says what to do about a loss that is not a number.
func (f *fitting) diverged(cause error) error {
	f.report.Stopped = "diverged"
	var largest float64
	for _, v := range f.series.Values {
		if size := math.Abs(float64(v)); size > largest && !math.IsInf(size, 0) {
			largest = size
		}
	}
	advice := fmt.Sprintf("lower LearningRate, which is %v", f.options.LearningRate)
	if largest > 1e4 && f.model.config.Scaling == "none" {
		advice = fmt.Sprintf("scale the series, whose numbers reach %.3g, or take the scaling \"std\"", largest)
	}
	return fmt.Errorf("epoch %d, step %d: %w: %s", len(f.report.Epochs)+1, f.trainer.steps+1, cause, advice)
}

// copyTo copies all numbers to those of another model of the same config.
func (n *numbers) copyTo(to *numbers) {
	copy(to.trained, n.trained)
	copy(to.held, n.held)
	copy(to.counters, n.counters)
}
