package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/patchtst"
)

// The shares of a run's rows, the newest, that the best epoch is chosen by and
// that all is judged by.
const (
	validationShare = 0.1
	testShare       = 0.2
)

// Work is the worker: it reads one job line, trains, and answers with one
// result line. Progress goes to the given writer, or to where the job says. What
// is wrong with the job, the readings or the training is a result too: an error
// is only that nobody could be told.
func Work(ctx context.Context, in io.Reader, out, progress io.Writer) error {
	began := time.Now()
	r := &Result{Version: wireVersion}
	job, packed, err := readJob(in)
	if job != nil {
		r.ID, r.Machine, r.Forecaster = job.ID, job.Machine, job.Forecaster
	}
	if err == nil {
		err = survive(func() error { return work(ctx, job, packed, r, progress) })
	}
	if err != nil {
		r = &Result{Version: wireVersion, ID: r.ID, Machine: r.Machine, Forecaster: r.Forecaster, Error: faultOf(err)}
	}
	r.Seconds, r.PeakBytes = time.Since(began).Seconds(), peakBytes()
	if err := writeLine(out, r); !errors.As(err, new(*json.UnsupportedValueError)) {
		return err
	}
	r = &Result{Version: wireVersion, ID: r.ID, Machine: r.Machine, Forecaster: r.Forecaster, Seconds: r.Seconds,
		Error: &Fault{Message: "the model's forecasts are no finite numbers: lower its learning rate"}}
	return writeLine(out, r)
}

// survive turns a bug into an error: whoever waits for the result hears of it.
func survive(do func() error) (err error) {
	defer func() {
		if bug := recover(); bug != nil {
			err = fmt.Errorf("BUG: worker panicked: %v\n%s", bug, debug.Stack())
		}
	}()
	return do()
}

// work does a job and fills in its result.
func work(ctx context.Context, job *Job, packed []byte, r *Result, progress io.Writer) error {
	debug.SetMemoryLimit(job.Limits.Memory)
	debug.SetGCPercent(collectAt)
	reporter := newReporter(job, progress)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reporter.refused = cancel

	if packed == nil {
		var err error
		if packed, err = fetchData(ctx, job.Data); err != nil {
			return err
		}
	}
	set, err := job.prepare(packed)
	packed = nil
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // unpacking took more than training will
	set.describe(r)

	scratch, err := os.MkdirTemp("", "fettle-train-")
	if err != nil {
		return fmt.Errorf("make a folder for the model: %w", err)
	}
	defer os.RemoveAll(scratch) // the system empties its folder of temporary files anyway
	m, err := job.fit(ctx, set, reporter, r)
	if err != nil {
		return err
	}
	return job.finish(ctx, set, m, scratch, r)
}

// collectAt is how much garbage may come before it is collected, in percent of
// what is in use: training makes hardly any, unpacking a lot.
const collectAt = 25

// prepare unpacks the readings into a set, if there is room for all that is to
// come.
func (j *Job) prepare(packed []byte) (*Set, error) {
	o := j.options()
	plan, err := PlanRun(Recipe{Network: j.Network, Options: o}, j.Data.Rows, len(j.Data.Sensors))
	if err != nil {
		return nil, err
	}
	if err := refuseMemory(plan, j.Limits.Memory); err != nil {
		return nil, err
	}
	table, err := unpack(j.Machine, j.Data, packed)
	if err != nil {
		return nil, err
	}
	set, err := Prepare(table, Division{Validation: j.Validation, Test: j.Test, Scaler: j.Scaler, Quarantined: j.Quarantined})
	if err != nil {
		return nil, err
	}
	return set, set.enoughToJudge(Size{j.Network.ContextLength, j.Network.PredictionLength})
}

// describe says in a result what the set is.
func (s *Set) describe(r *Result) {
	r.Sensors, r.StepSeconds, r.Rows, r.TrainedRows = s.Sensors, s.Step.Seconds(), s.Rows, s.rows[0]
	r.From, r.To, r.ScoredFrom, r.Gaps, r.LeftOut = s.From, s.To, s.Unseen, s.Gaps, s.LeftOut
}

// errBudget is why a training ended whose time ran out.
var errBudget = errors.New("the time is up")

// checkpointEvery is how much work a killed worker may lose.
const checkpointEvery = 15 * time.Second

// fit trains within the job's time. What it has learned by then counts.
func (j *Job) fit(ctx context.Context, set *Set, reporter *reporter, r *Result) (*patchtst.Model, error) {
	o := j.options()
	plan, err := set.Plan(j.Network, o)
	if err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "%w", err)
	}
	o.Progress = reporter.step
	if each := plan.Time / time.Duration(max(plan.Steps, 1)); each > 0 && j.Checkpoint != "" {
		o.CheckpointSteps = int(min(max(checkpointEvery/each, 1), 1<<30))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if j.Limits.Seconds > 0 {
		go within(ctx, time.Duration(j.Limits.Seconds*float64(time.Second)), func() { stop(errBudget) })
	}
	m, report, err := set.Fit(ctx, j.Network, o)
	if err != nil && report.Steps == 0 && ctx.Err() == nil && j.Checkpoint != "" {
		// The state that it was to go on from may be damaged, or of another fettle.
		if os.RemoveAll(j.Checkpoint) == nil {
			m, report, err = set.Fit(ctx, j.Network, o)
		}
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errBudget) {
		report.Stopped = "budget"
	} else if err != nil && cause != nil {
		return nil, fmt.Errorf("train: %w", cause)
	}
	if err != nil && len(report.Epochs) == 0 {
		if report.Stopped == "budget" {
			return nil, fettle.BadField("too little time", "limits.seconds", fmt.Sprint(j.Limits.Seconds), fmt.Sprintf("time for one epoch at least; all %d take about %s: raise it, or lower windows_per_epoch", o.Epochs, plan.Time.Round(time.Second)))
		}
		return nil, fettle.Errorf(fettle.Invalid, "%w", err)
	}
	r.Windows, r.Best, r.Stopped, r.Kernels = plan.Windows, report.Best+1, report.Stopped, m.Kernels()
	for _, e := range report.Epochs {
		r.Epochs = append(r.Epochs, Epoch{e.Loss, e.Validation.MSE, e.Rate})
	}
	return m, nil
}

// within calls when so much time has passed in which the process ran: seconds
// in which it was stopped (SIGSTOP) do not count.
func within(ctx context.Context, budget time.Duration, over func()) {
	const tick = 100 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for ran := time.Duration(0); ran < budget; ran += tick {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	over()
}

// finish judges the model and puts its folder into the result.
func (j *Job) finish(ctx context.Context, set *Set, m *patchtst.Model, scratch string, r *Result) error {
	c := m.Config()
	r.Context, r.Horizon, r.Parameters = c.ContextLength, c.PredictionLength, m.Parameters()
	if j.Champion != nil && j.Champion.Family == model.PatchTST {
		j.Champion.dir = filepath.Join(scratch, "champion")
		if err := errors.Join(os.Mkdir(j.Champion.dir, 0o700), WriteFiles(j.Champion.dir, j.Champion.Files)); err != nil {
			return fmt.Errorf("write the champion: %w", err)
		}
	}
	var err error
	if r.Judgement, err = set.Judge(ctx, m, j.rival(), Size{c.ContextLength, c.PredictionLength}, j.options()); err != nil {
		return err
	}
	dir := filepath.Join(scratch, "model")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	if err := set.Save(dir, m); err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	r.Files, err = readFiles(dir)
	return err
}

// rival is whom to beat, beside the ridge that stands for every ridge.
func (j *Job) rival() *Champion {
	if j.Champion == nil || j.Champion.Family == model.Ridge {
		return nil
	}
	return j.Champion
}
