package patchtst

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fettle/patchtst/internal/kernel"
)

// waves is a series that can be learned: each channel is a sine of its own
// period, and a little noise.
func waves(rows, channels int) Series {
	values := make([]float32, rows*channels)
	draw(values, 1)
	for i := range values {
		row, channel := i/channels, i%channels
		values[i] = 0.05*values[i] + float32(math.Sin(2*math.Pi*float64(row)/float64(7+2*channel)))
	}
	return Series{Values: values}
}

// quick are options for small models.
func quick() Options {
	o := NewOptions()
	o.Epochs, o.Batch, o.LearningRate, o.Seed, o.Threads, o.ValidationShare = 3, 8, 1e-2, 4, 2, 0.2
	return o
}

func mustNew(t testing.TB, c Config) *Model {
	t.Helper()
	m, err := New(c, 5)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFitLearns trains on waves until it forecasts them.
func TestFitLearns(t *testing.T) {
	c := small()
	c.ModelWidth, c.FeedForwardWidth, c.InitDeviation, c.Scaling = 16, 32, 0.02, "std"
	m, series, o := mustNew(t, c), waves(600, c.Channels), quick()
	o.Epochs, o.Schedule = 12, OneCycle
	before, err := m.Evaluate(t.Context(), series, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Fit(t.Context(), m, series, o)
	if err != nil {
		t.Fatal(err)
	}
	after, err := m.Evaluate(t.Context(), series, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if after.MSE > before.MSE/5 || after.Windows != 600-14 {
		t.Errorf("%v before, %v after training", before, after)
	}
	// 480 rows to learn from, 120 to forecast.
	if report.Windows != 480-14 || report.ValidationWindows != 120-2 || report.Stopped != "epochs" || len(report.Epochs) != 12 || report.Steps != 12*59 {
		t.Errorf("report %+v", report)
	}
	best := slices.MinFunc(report.Epochs, func(a, b Epoch) int { return int(math.Copysign(1, a.Validation.MSE-b.Validation.MSE)) })
	if report.Epochs[report.Best] != best {
		t.Errorf("best is epoch %d of %+v", report.Best, report.Epochs)
	}
	held, err := m.Evaluate(t.Context(), series.between(c, 480-12, 600), 1, 1)
	if err != nil || held != best.Validation {
		t.Errorf("the model scores %v, %v; the best epoch did %v", held, err, best.Validation)
	}
}

// TestSameSeedSameBits trains the same on any number of threads, and otherwise
// with another seed.
func TestSameSeedSameBits(t *testing.T) {
	c, series := small(dropouts), waves(120, 3)
	train := func(seed uint64, threads int) string {
		m, o := mustNew(t, c), quick()
		o.Seed, o.Threads = seed, threads
		report, err := Fit(t.Context(), m, series, o)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(report, m.numbers)
	}
	want := train(1, 1)
	for _, threads := range []int{2, 3, 7} {
		if train(1, threads) != want {
			t.Errorf("%d threads make another model than one does", threads)
		}
	}
	if train(2, 1) == want {
		t.Error("another seed makes the same model")
	}
}

// TestResumes cancels a training after every number of steps in turn, and goes
// on from the checkpoint: the same bits as without a break. It began with other
// kernels than are the fastest here.
func TestResumes(t *testing.T) {
	c, series, o := small(dropouts), waves(70, 3), quick()
	o.Epochs, o.Schedule = 3, Cosine
	whole := mustNew(t, c)
	whole.use(kernel.Generic())
	want, err := Fit(t.Context(), whole, series, o)
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop < want.Steps; stop++ {
		m, o := mustNew(t, c), o
		m.use(kernel.Generic())
		o.Checkpoint = filepath.Join(t.TempDir(), "state")
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		}
		report, err := Fit(ctx, m, series, o)
		if !errors.Is(err, context.Canceled) || report.Stopped != "cancelled" || report.Steps != stop {
			t.Fatalf("stopped at %d: %+v, %v", stop, report, err)
		}
		o.Progress, o.Threads = nil, 1
		other := mustNew(t, c)
		shake(other, 3) // whatever the model was, the state is taken
		got, err := Fit(t.Context(), other, series, o)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got, other.numbers) != fmt.Sprint(want, whole.numbers) {
			t.Errorf("stopped at %d: another model than without a break: %+v; want %+v", stop, got, want)
		}
		again, err := Fit(t.Context(), other, series, o)
		if err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("a finished training goes on: %+v, %v", again, err)
		}
	}
}

// TestCheckpointSteps goes on from the last state that was written on the way,
// as after a power failure.
func TestCheckpointSteps(t *testing.T) {
	c, series, o := small(), waves(70, 3), quick()
	whole := mustNew(t, c)
	want, err := Fit(t.Context(), whole, series, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Checkpoint, o.CheckpointSteps = t.TempDir(), 2
	state := filepath.Join(o.Checkpoint, stateFile)
	saved := filepath.Join(t.TempDir(), stateFile)
	copyState := func() {
		content, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(saved, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.Progress = func(p Progress) {
		if p.Step == 5 {
			copyState()
		}
	}
	if _, err := Fit(t.Context(), mustNew(t, c), series, o); err != nil {
		t.Fatal(err)
	}
	o.Progress = func(p Progress) {
		if p.Step < 5 {
			t.Errorf("step %d is taken again; the state was of step 4", p.Step)
		}
	}
	if err := os.Rename(saved, state); err != nil {
		t.Fatal(err)
	}
	m := mustNew(t, c)
	got, err := Fit(t.Context(), m, series, o)
	if err != nil || fmt.Sprint(got, m.numbers) != fmt.Sprint(want, whole.numbers) {
		t.Errorf("another model than without a break: %+v, %v; want %+v", got, err, want)
	}
}

// TestRefusesOtherCheckpoints changes one thing after another, and the file.
func TestRefusesOtherCheckpoints(t *testing.T) {
	c, series, o := small(), waves(70, 3), quick()
	o.Checkpoint = t.TempDir()
	if _, err := Fit(t.Context(), mustNew(t, c), series, o); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name   string
		config Config
		series Series
		change func(*Options)
	}{
		{"Epochs", c, series, func(o *Options) { o.Epochs = 4 }},
		{"LearningRate", c, series, func(o *Options) { o.LearningRate = 0.02 }},
		{"Seed", c, series, func(o *Options) { o.Seed = 5 }},
		{"series", c, waves(71, 3), func(*Options) {}},
		{"config", small(withRelu), series, func(*Options) {}},
	} {
		o := o
		change.change(&o)
		m := mustNew(t, change.config)
		before := fmt.Sprint(m.numbers)
		if _, err := Fit(t.Context(), m, change.series, o); err == nil || !strings.Contains(err.Error(), "is of another training, with another "+change.name) {
			t.Errorf("another %s: error %v", change.name, err)
		}
		if fmt.Sprint(m.numbers) != before {
			t.Errorf("another %s: the model has changed", change.name)
		}
	}
	path := filepath.Join(o.Checkpoint, stateFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:len(content)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Fit(t.Context(), mustNew(t, c), series, o); err == nil || !strings.Contains(err.Error(), "read checkpoint") || !strings.Contains(err.Error(), "the file is cut short") {
		t.Errorf("a cut file: error %v", err)
	}
}

// TestPatience stops when validation does not get better, and keeps the best.
func TestPatience(t *testing.T) {
	c := small()
	o := quick()
	o.Epochs, o.Patience, o.LearningRate = 40, 2, 0.3 // much too fast
	m := mustNew(t, c)
	report, err := Fit(t.Context(), m, waves(100, 3), o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Stopped != "patience" || len(report.Epochs)-1-report.Best != 2 || len(report.Epochs) == 40 {
		t.Errorf("%d epochs, the best is %d, stopped by %s", len(report.Epochs), report.Best, report.Stopped)
	}
}

// TestDivergence stops at a loss that is not a number, and says what to do.
func TestDivergence(t *testing.T) {
	series := waves(100, 3)
	huge := Series{Values: slices.Clone(series.Values)}
	for i := range huge.Values {
		huge.Values[i] *= 1e30
	}
	for _, c := range []struct {
		series Series
		rate   float64
		want   string
	}{
		{series, 1e30, "lower LearningRate, which is 1e+30"},
		{huge, 1e-3, `scale the series, whose numbers reach 1.0`},
	} {
		m, o := mustNew(t, small()), quick()
		before := slices.Clone(m.numbers.trained)
		o.LearningRate = c.rate
		report, err := Fit(t.Context(), m, c.series, o)
		if err == nil || !strings.Contains(err.Error(), c.want) || report.Stopped != "diverged" {
			t.Errorf("error %v, stopped by %q; want %q", err, report.Stopped, c.want)
		}
		if !slices.Equal(m.numbers.trained, before) || !finite(m.numbers.held) {
			t.Error("the model is not what it was before")
		}
	}
}

// TestProgress is told after every step, and after a validation.
func TestProgress(t *testing.T) {
	o := quick()
	o.Epochs, o.WindowsPerEpoch = 2, 20
	var seen []string
	o.Progress = func(p Progress) {
		seen = append(seen, fmt.Sprintf("%d/%d %d/%d %d/%d %v", p.Epoch, p.Epochs, p.Windows, p.InAll, p.Step, p.Steps, p.ValidationScore != nil))
	}
	report, err := Fit(t.Context(), mustNew(t, small()), waves(100, 3), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1/2 8/20 1/6 false", "1/2 16/20 2/6 false", "1/2 20/20 3/6 false", "1/2 20/20 3/6 true",
		"2/2 8/20 4/6 false", "2/2 16/20 5/6 false", "2/2 20/20 6/6 false", "2/2 20/20 6/6 true",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("told %q; want %q", seen, want)
	}
	// A budget for training is one for validation.
	if got := report.Epochs[0].Validation.Windows; got != 10 {
		t.Errorf("%d windows validated; want 10", got)
	}
}

func TestRefusesFits(t *testing.T) {
	series := waves(100, 3)
	for _, c := range []struct {
		change func(*Options)
		series Series
		want   string
	}{
		{func(o *Options) { o.Epochs = 0 }, series, "option Epochs is 0; expected 1 to 1048576"},
		{func(o *Options) { o.Batch = -1 }, series, "option Batch is -1; expected 1 to"},
		{func(o *Options) { o.Stride = 0 }, series, "option Stride is 0"},
		{func(o *Options) { o.LearningRate = math.NaN() }, series, "option LearningRate is NaN; expected a number above 0"},
		{func(o *Options) { o.WeightDecay = math.Inf(1) }, series, "option WeightDecay is +Inf; expected 0 or more"},
		{func(o *Options) { o.Clip = -1 }, series, "option Clip is -1; expected 0 or more"},
		{func(o *Options) { o.ValidationShare = 1 }, series, "option ValidationShare is 1; expected at least 0 and less than 1"},
		{func(o *Options) { o.Schedule = "linear" }, series, `option Schedule is "linear"; expected constant, cosine or one-cycle`},
		{func(o *Options) { o.Validation = &series }, series, "option ValidationShare is 0.2 beside a Validation series"},
		{func(o *Options) { o.CheckpointSteps = 3 }, series, "option CheckpointSteps is 3 without a Checkpoint folder"},
		{func(o *Options) { o.Batch, o.MaxBytes = 1000, 1<<20 }, series, "training with batches of 1000 takes 1.8 MB of memory; at most 1.0 MB are taken: a Batch of 57"},
		{func(o *Options) { o.MaxBytes = 1 }, series, "a Batch of 1 takes"},
		{func(*Options) {}, Series{Values: series.Values[1:]}, "series has 299 numbers; expected rows of 3 channels"},
		{func(*Options) {}, Series{series.Values, make([]bool, 3)}, "series has 3 marks for 300 numbers"},
		{func(*Options) {}, waves(14, 3), "no window of 15 rows to learn from in 11 rows"},
		{func(o *Options) { o.ValidationShare = 0.01 }, series, "no window of 15 rows to validate on in 13 rows"},
		{func(*Options) {}, Series{Values: slices.Repeat([]float32{float32(math.NaN())}, 300)}, "66 places hold a number that is not finite"},
	} {
		o := quick()
		c.change(&o)
		if _, err := Fit(t.Context(), mustNew(t, small()), c.series, o); err == nil || !strings.HasPrefix(err.Error(), "patchtst: fit: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v; want %q", err, c.want)
		}
	}
}

// TestEvaluateStops when its context ends.
func TestEvaluateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mustNew(t, small()).Evaluate(ctx, waves(100, 3), 1, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
