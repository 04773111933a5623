// Command ett has two parts: with -choice it shows which model fettle itself would
// let serve at each horizon, and how good that choice is (choice.go). Without, it
// trains the PatchTST of the PatchTST paper on the ETTh1 benchmark
// at horizon 96, and says how well it forecasts the test part and how long it
// took, beside what others published. Hourly readings of a transformer's seven
// channels come in from $FETTLE_DATA/ett/ETTh1.csv; a report goes out.
//
// The protocol is the corrected one: twelve months of thirty days to train,
// four to validate, four to test; scaled by the training part's mean and
// deviation; every window counts, over the borders too, and none is dropped at
// the end. The weights are those of the epoch that validated best; nothing here
// looks at the test part before the end, and no setting was chosen by it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"fettle/patchtst"
)

// What others reached on the same windows: MSE on the scaled test part.
const (
	published = .385 // PatchTST, the corrected table of FITS' authors
	ridge     = .370 // linear regression in closed form, look-back 336
	tolerated = 1.02 // of published
)

func main() {
	quick := flag.Bool("quick", false, "three short epochs: shows that all of it works, and no more")
	seed := flag.Uint64("seed", 1, "of the weights, the windows' order and dropout")
	threads := flag.Int("threads", 0, "threads to train on; 0: one for each processor")
	epochs := flag.Int("epochs", 0, "epochs at most; 0: the paper's")
	choice := flag.Int("choice", 0, "instead: which model would serve at the horizons up to this one (96, 192, 336, 720)")
	precision := flag.String("precision", string(patchtst.Float32), "of the products: float32, or bfloat16, which is faster where the processor has it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options(*quick)
	o.Seed, o.Threads, o.Precision = *seed, *threads, patchtst.Precision(*precision)
	if *epochs > 0 {
		o.Epochs = *epochs
	}
	if err := run(ctx, os.Stdout, o, *quick, *choice); err != nil {
		fmt.Fprintf(os.Stderr, "ett: %v\n", err)
		os.Exit(1)
	}
}

// config is the paper's for ETTh1, as far as HuggingFace's PatchTST knows it.
func config() patchtst.Config {
	c := patchtst.NewConfig()
	c.ContextLength, c.PredictionLength, c.Channels = 336, 96, channels
	c.PatchLength, c.PatchStride = 16, 8
	c.ModelWidth, c.Heads, c.Layers, c.FeedForwardWidth = 16, 4, 3, 128
	c.Scaling, c.Pooling = "std", "flatten"
	c.PositionalDropout, c.PathDropout, c.FeedForwardDropout = .3, .3, .3
	return c
}

// options are the paper's, and patience.
func options(quick bool) patchtst.Options {
	o := patchtst.NewOptions()
	o.Epochs, o.Batch, o.LearningRate, o.Patience = 100, 128, 1e-4, 10
	o.WeightDecay, o.Clip, o.ValidationShare = 0, 0, 0
	if quick {
		o.Epochs, o.WindowsPerEpoch, o.LearningRate = 3, 1024, 1e-3
	}
	return o
}

func run(ctx context.Context, out io.Writer, o patchtst.Options, quick bool, upTo int) error {
	dir := os.Getenv("FETTLE_DATA")
	if dir == "" {
		return fmt.Errorf("FETTLE_DATA is not set: name the folder that holds ett/ETTh1.csv")
	}
	data, err := read(filepath.Join(dir, "ett", "ETTh1.csv"))
	if err != nil {
		return err
	}
	if upTo > 0 {
		return choose(ctx, out, data, o, upTo)
	}
	c := config()
	training, validation, test := data.parts(c.ContextLength)
	o.Validation = &validation
	plan, err := patchtst.PlanFit(c, len(training.Values)/channels, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ETTh1, horizon 96: %d windows to train on, %d to validate; %d parameters; up to %d epochs, about %s if nothing else runs\n",
		plan.Windows, plan.ValidationWindows, plan.Parameters, o.Epochs, plan.Time.Round(time.Second))
	model, err := patchtst.New(c, o.Seed)
	if err != nil {
		return err
	}
	began := time.Now()
	o.Progress = func(p patchtst.Progress) {
		if p.ValidationScore != nil {
			fmt.Fprintf(out, "epoch %3d: train %.4f, validation %.4f, %s\n", p.Epoch, p.Loss, p.ValidationScore.MSE, time.Since(began).Round(time.Second))
		}
	}
	report, err := patchtst.Fit(ctx, model, training, o)
	if err != nil {
		return err
	}
	took := time.Since(began)
	score, err := model.Evaluate(ctx, test, 1, o.Threads)
	if err != nil {
		return err
	}
	tell(out, report, score, took)
	if limit := tolerated * published; !quick && score.MSE > limit {
		return fmt.Errorf("the test MSE is %.4f; expected at most %.4f, 2 %% above the published %.3f", score.MSE, limit, published)
	}
	return nil
}

// tell prints what was reached beside what others did.
func tell(out io.Writer, report patchtst.Report, score patchtst.Score, took time.Duration) {
	fmt.Fprintf(out, "\n%d epochs (%s), the best of them %d, in %s on %s (%d threads, %s)\n\n", len(report.Epochs), report.Stopped, report.Best+1,
		took.Round(time.Second), processor(), runtime.GOMAXPROCS(0), runtime.GOARCH)
	fmt.Fprintf(out, "ETTh1 at 96, %d test windows          MSE     MAE\n", score.Windows)
	fmt.Fprintf(out, "PatchTST, trained here                %.4f  %.4f\n", score.MSE, score.MAE)
	fmt.Fprintf(out, "PatchTST, published, loader corrected %.3f\n", published)
	fmt.Fprintf(out, "ridge regression, look-back 336       %.3f\n", ridge)
}
