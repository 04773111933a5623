package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/train"
	"fettle/patchtst"
)

type fitCmd struct {
	columnFlags
	File    string `arg:"" placeholder:"FILE" help:"Table with a header line and one row a time; the separator (; tab or ,) is found."`
	Out     string `placeholder:"DIR" help:"Folder to write the model into; must not be there yet. Default: model_<machine>_<time> here."`
	Machine string `placeholder:"NAME" help:"Machine whose rows they are. Default: the file's name."`

	Family     string  `default:"patchtst" enum:"patchtst,ridge" help:"patchtst, or ridge: a linear regression, fitted in a moment and often hard to beat."`
	Preset     string  `default:"deployed" enum:"deployed,research,ett" help:"Where the settings below start from: deployed (50 rows back, 10 ahead), research (1200 back, 240 ahead), ett (336 back, 96 ahead, normalises each window)."`
	Scaler     string  `default:"robust" enum:"robust,minmax" help:"What values are measured in, by the rows that are learned from: robust (median and quartiles) or minmax (range)."`
	Validation float64 `default:"0.1" placeholder:"SHARE" help:"Share of the rows to choose the best epoch by (default: ${default})."`
	Test       float64 `default:"0.1" placeholder:"SHARE" help:"Share of the rows, the newest, that only the scores at the end see (default: ${default})."`

	networkFlags  `group:"The network, instead of the preset's:"`
	trainingFlags `group:"The training, instead of the preset's:"`
	JSON          bool `help:"Print the result as JSON."`
}

// networkFlags change a preset's config; 0 leaves it.
type networkFlags struct {
	Context int      `placeholder:"ROWS" help:"Rows to look back."`
	Horizon int      `placeholder:"ROWS" help:"Rows to look ahead."`
	Patch   int      `placeholder:"ROWS" help:"Rows in a patch."`
	Stride  int      `placeholder:"ROWS" help:"Rows from patch to patch."`
	DModel  int      `placeholder:"N" help:"Width."`
	Heads   int      `placeholder:"N" help:"Heads of attention."`
	Layers  int      `placeholder:"N" help:"Layers."`
	FFN     int      `name:"ffn" placeholder:"N" help:"Width inside a feed-forward block."`
	Dropout *float64 `placeholder:"SHARE" help:"Dropout of the patches, of the feed-forward blocks, and of what blocks add."`
}

// trainingFlags change a preset's training; 0 leaves it.
type trainingFlags struct {
	Epochs          int          `placeholder:"N" help:"Times over the rows, at most."`
	Batch           int          `placeholder:"N" help:"Windows in a step."`
	LR              float64      `name:"lr" placeholder:"RATE" help:"Learning rate."`
	Schedule        string       `default:"" enum:",constant,cosine,one-cycle" placeholder:"NAME" help:"How the learning rate goes: constant, cosine, one-cycle."`
	Patience        *int         `placeholder:"N" help:"Epochs without a better validation after which to stop; 0: never."`
	WindowsPerEpoch *int         `placeholder:"N" help:"Windows that an epoch takes, other ones each time; 0: all."`
	Precision       string       `default:"float32" enum:"float32,bfloat16" help:"bfloat16 multiplies nearly twice as fast where the processor can, with a little less care."`
	Seed            uint64       `default:"1" placeholder:"N" help:"The same seed makes the same model, on any number of threads (default: ${default})."`
	Threads         int          `placeholder:"N" help:"Threads. Default: one for each processor."`
	Memory          config.Bytes `default:"4GiB" placeholder:"SIZE" help:"Refuse to take more (default: ${default})."`
	Checkpoint      string       `placeholder:"DIR" help:"Keep the state of training here, and go on from it when called again with the same flags."`
}

func (fitCmd) Help() string {
	return "Needs no server. The model is written even if training is cut short by Ctrl-C: as it was after its best epoch. Columns in which public data sets mark faults are never learned from.\n\n" + examples(
		"fettle fit machine_temperature.csv                      PatchTST, 50 rows back, 10 ahead",
		"fettle fit ETTh1.csv --preset ett --epochs 20           as in the PatchTST paper",
		"fettle fit ETTh1.csv --family ridge --context 336 --horizon 96",
		"fettle fit log.csv --columns 'Current=current,Temp=tempA' --drop Operator --out press-model",
		"fettle predict log.csv --model press-model              what comes next",
		"fettle model import press-model --machine press-3       let a server use it",
	)
}

// Validate checks what kong cannot.
func (c *fitCmd) Validate() error {
	if !(c.Validation >= 0 && c.Test >= 0 && c.Validation+c.Test <= 0.9) {
		return fmt.Errorf("--validation is %v and --test is %v; expected shares that leave a tenth of the rows to learn from", c.Validation, c.Test)
	}
	return nil
}

func (c *fitCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Out != "" {
		if err := model.Free(c.Out); err != nil {
			return err
		}
	}
	machine := cmp.Or(c.Machine, machineOf(c.File))
	window, err := readTable(c.File, c.options(machine))
	if err != nil {
		return err
	}
	set, err := train.Prepare(train.TableOf(window), train.Division{Validation: c.Validation, Test: c.Test, Scaler: train.Scaling(c.Scaler)})
	if err != nil {
		return fmt.Errorf("fit %s: %w", c.File, err)
	}
	network, options, err := c.settings(set.Channels())
	if err != nil {
		return err
	}
	size := train.Size{Context: network.ContextLength, Horizon: network.PredictionLength}
	note("%s: %d rows of %d sensors, %s to %s, a row every %s%s", machine, window.Rows(), set.Channels(),
		clock(window.TimesMicros[0]), clock(window.TimesMicros[window.Rows()-1]), set.Step, flaws(set))
	if err := set.Enough(size); err != nil {
		return fmt.Errorf("fit %s: %w", c.File, err)
	}
	result := &fitted{Rows: window.Rows(), StepSeconds: set.Step.Seconds(), Gaps: set.Gaps, began: time.Now()}
	if c.Family == model.Ridge {
		return c.fitRidge(ctx, out, window, set, size, result)
	}
	return c.fitPatchTST(ctx, out, set, network, options, result)
}

// fitRidge writes a ridge of all rows, and judges one of the older rows.
func (c *fitCmd) fitRidge(ctx context.Context, out io.Writer, window fettle.Window, set *train.Set, size train.Size, result *fitted) error {
	ridge, err := forecast.FitRidge(window, size.Context, size.Horizon)
	if err != nil {
		return fmt.Errorf("fit %s: %w", c.File, err)
	}
	p := ridge.Publication(set.Machine)
	p.Source = "fettle fit " + c.File
	if err := result.write(c.Out, p, ridge.Save); err != nil {
		return err
	}
	if result.Judgement, err = set.Judge(ctx, nil, nil, size, patchtst.Options{}); err != nil {
		return err
	}
	return result.print(out, c.JSON)
}

// fitPatchTST trains, writes what was best, and judges it. What was trained is
// kept before anything else can go wrong, so also if ctx ends.
func (c *fitCmd) fitPatchTST(ctx context.Context, out io.Writer, set *train.Set, network patchtst.Config, o patchtst.Options, result *fitted) error {
	plan, err := set.Plan(network, o)
	if err != nil {
		return fmt.Errorf("fit %s: %w", c.File, err)
	}
	note("PatchTST of %d parameters, %d rows back, %d ahead: %d epochs of %d windows at most, in batches of %d; %s of memory, about %s if nothing else runs",
		plan.Parameters, network.ContextLength, network.PredictionLength, o.Epochs, plan.Windows, o.Batch, size(plan.Bytes), duration(plan.Time.Seconds()))
	if plan.Time > long {
		note("--windows-per-epoch, --epochs or a smaller network make it shorter; Ctrl-C stops it and keeps the best so far")
	}
	progress := newFitProgress(plan.Steps)
	o.Progress = progress.step
	m, report, fitErr := set.Fit(ctx, network, o)
	progress.end()
	result.Training = trainingOf(report, time.Since(result.began))
	if fitErr != nil && (len(report.Epochs) == 0 || report.Best < 0) {
		return fmt.Errorf("fit %s: %w; nothing was written", c.File, fitErr)
	}
	p := set.Publication(m)
	p.Source = "fettle fit " + c.File
	if err := result.write(c.Out, p, func(dir string) error { return set.Save(dir, m) }); err != nil {
		return errors.Join(err, fitErr)
	}
	judging := ctx
	if ctx.Err() != nil {
		judging = context.WithoutCancel(ctx) // stopped by Ctrl-C: what is there is still judged
	}
	s := train.Size{Context: network.ContextLength, Horizon: network.PredictionLength}
	if result.Judgement, err = set.Judge(judging, m, nil, s, o); err != nil {
		return errors.Join(err, fitErr)
	}
	if err := result.print(out, c.JSON); err != nil || fitErr == nil {
		return err
	}
	return fmt.Errorf("fit %s: stopped in epoch %d (%w); the model is that of epoch %d", c.File, len(report.Epochs)+1, fitErr, report.Best+1)
}

// long is how long a training may take before its length is worth a word.
const long = 10 * time.Minute

// write makes the model's folder.
func (f *fitted) write(dir string, p model.Publication, fill func(dir string) error) error {
	version, err := model.Write(dir, p, time.Now(), fill)
	if err != nil {
		return err
	}
	f.Dir, f.Model = version.Dir, version.Model
	return nil
}

// flaws says what is not as it should be in a set's rows.
func flaws(s *train.Set) string {
	text := ""
	for _, flaw := range []struct {
		n    int
		what string
	}{
		{s.Gaps, "gaps that no window crosses"},
		{s.Filled, "missing values for which the one before stands in"},
		{s.Lost, "missing values that no window may hold"},
	} {
		if flaw.n > 0 {
			text += fmt.Sprintf("; %d %s", flaw.n, flaw.what)
		}
	}
	return text
}

func clock(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// fitted is what became of a fit.
type fitted struct {
	Dir         string          `json:"dir"`
	Model       fettle.Model    `json:"model"`
	Rows        int             `json:"rows"`
	StepSeconds float64         `json:"step_seconds"`
	Gaps        int             `json:"gaps"`
	Training    *training       `json:"training,omitempty"`
	Judgement   train.Judgement `json:"judgement"`
	began       time.Time
}
