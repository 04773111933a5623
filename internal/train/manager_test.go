package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A works is a manager over real rooms, with workers that are processes.
type works struct {
	*Manager
	t      *testing.T
	dir    string
	db     *db.DB
	cfg    Config
	deps   Deps
	mu     sync.Mutex
	told   []fettle.Training
	cancel func()
}

// newWorks has a machine m with n readings; worker is what this binary is
// started as, "" for what it should be.
func newWorks(t *testing.T, n int, worker ...string) *works {
	t.Helper()
	w := &works{t: t, dir: t.TempDir()}
	var err error
	w.db, err = db.Open(filepath.Join(w.dir, "db"), db.Options{})
	w.check(err)
	t.Cleanup(func() { w.check(w.db.Close()) })
	rows, err := readings.Open(w.db, w.dir, nil)
	w.check(err)
	if n > 0 {
		_, err = rows.Append(waves("m", n))
		w.check(err)
	}
	models, err := model.Open(filepath.Join(w.dir, "models"), time.Now, nil, slog.New(slog.DiscardHandler))
	w.check(err)
	if len(worker) == 0 {
		worker = []string{"train-worker"}
	}
	w.cfg = Config{
		Dir: filepath.Join(w.dir, "training"), Parallel: 1, Threads: 1, Memory: 256 << 20, History: time.Hour, Preset: tiny, Margin: 0.01, Attempts: 3,
		Forecasters: []forecast.Forecaster{forecast.Short()},
	}
	w.deps = Deps{
		Rows: rows, Models: models, DB: w.db, Now: time.Now,
		Quarantined: func(string, time.Time, time.Time) []fettle.Interval { return nil },
		Runner:      Children{Command: append([]string{os.Args[0]}, worker...), Quiet: time.Minute},
		Changed: func(t fettle.Training) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, t)
		},
	}
	w.open()
	return w
}

func (w *works) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open makes the manager, as a server's start does.
func (w *works) open() {
	w.t.Helper()
	var err error
	w.Manager, err = New(w.cfg, w.deps, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	w.check(err)
}

// run starts the manager; stop ends it, as a server's end does.
func (w *works) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.cancel = sync.OnceFunc(func() {
		cancel()
		w.check(<-done)
	})
	w.t.Cleanup(w.cancel)
}

func (w *works) start(change ...func(*Request)) fettle.Training {
	w.t.Helper()
	ask := Request{Machines: []string{"m"}, Trigger: ByHand, By: "Ada"}
	for _, c := range change {
		c(&ask)
	}
	started, _, err := w.Start(ask)
	w.check(err)
	return started[0]
}

// await waits until a run is as wanted.
func (w *works) await(id uint64, what string, wanted func(fettle.Training) bool) fettle.Training {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		t, err := w.Get(id)
		w.check(err)
		if wanted(t) {
			return t
		}
		if time.Now().After(end) {
			w.t.Fatalf("run %d is not %s after two minutes: %+v", id, what, t)
		}
	}
}

// awaitEnd waits until a run is over, and what it kept on the disk is deleted:
// that comes after its record.
func (w *works) awaitEnd(id uint64) fettle.Training {
	w.t.Helper()
	return w.await(id, "over", func(t fettle.Training) bool {
		w.Manager.mu.Lock()
		defer w.Manager.mu.Unlock()
		return t.State.Over() && w.active[id] == nil
	})
}

// weights are a version's, as they are on the disk.
func (w *works) weights(name string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "models", name, "model.safetensors"))
	w.check(err)
	return text
}

// left lists what runs have left in their folder.
func (w *works) left() []os.DirEntry {
	w.t.Helper()
	entries, err := os.ReadDir(w.cfg.Dir)
	w.check(err)
	return entries
}

// long is a preset that trains long enough to be met in the middle of it.
func long(r *Request) { r.Preset = strings.Replace(tiny, `"epochs":4`, `"epochs":60,"patience":0`, 1) }

// The first model serves; one that is no better is refused, and what serves
// stays. The record says why, with figures.
func TestBetterIsPromotedElseRefused(t *testing.T) {
	w := newWorks(t, 600)
	w.run()
	first := w.awaitEnd(w.start().ID)
	if first.State != fettle.TrainingSucceeded || !first.Promoted || first.Rows != 600 || first.Plan == nil || first.Attempts != 1 || len(first.Scores) < 3 {
		t.Fatalf("%+v", first)
	}
	again := w.awaitEnd(w.start().ID)
	if again.State != fettle.TrainingSucceeded || again.Promoted || !strings.HasPrefix(again.Reason, "not better, kept patchtst; on 117 held-out windows: MSE ") {
		t.Errorf("%+v", again)
	}
	champion, found := w.Models.Champion("m", fettle.ShortForecaster)
	if !found || champion.Name != first.Model {
		t.Errorf("%s serves", champion.Name)
	}
	if !bytes.Equal(w.weights(first.Model), w.weights(again.Model)) {
		t.Error("the same readings made another model")
	}
	w.cancel()
	if len(w.left()) > 0 {
		t.Errorf("left: %v", w.left())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var states []string
	for _, t := range w.told {
		if state := fmt.Sprint(t.ID, t.State); len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
	}
	if got := strings.Join(states, " "); got != "1queued 1running 1succeeded 2queued 2running 2succeeded" {
		t.Errorf("told %s", got)
	}
}

// A worker that is killed in mid-training goes on, to the same bytes.
func TestKilledWorkerGoesOn(t *testing.T) {
	whole := newWorks(t, 600)
	whole.run()
	want := whole.awaitEnd(whole.start(long).ID)
	killed := newWorks(t, 600, "train-worker-dying", filepath.Join(t.TempDir(), "died"))
	killed.run()
	got := killed.awaitEnd(killed.start(long).ID)
	if got.State != fettle.TrainingSucceeded || got.Attempts != 2 {
		t.Fatalf("%+v", got)
	}
	if !bytes.Equal(whole.weights(want.Model), killed.weights(got.Model)) {
		t.Error("the model is another")
	}
}

// A server that stops in mid-training leaves the run to the next one, which
// makes the same of it, although more readings have come.
func TestStoppedServerGoesOn(t *testing.T) {
	whole := newWorks(t, 600)
	whole.run()
	want := whole.awaitEnd(whole.start(long).ID)
	w := newWorks(t, 600)
	w.run()
	id := w.start(long).ID
	w.await(id, "in its third epoch", func(t fettle.Training) bool { return t.Progress.Epoch >= 3 || t.State.Over() })
	w.cancel()
	if run, err := w.Get(id); err != nil || run.State != fettle.TrainingQueued {
		t.Fatalf("%+v, %v", run, err)
	}
	_, err := w.Rows.Append(waves("m", 700)[600:])
	w.check(err)
	w.open()
	w.run()
	got := w.awaitEnd(id)
	if got.State != fettle.TrainingSucceeded || got.Rows != 600 || got.Attempts != 1 {
		t.Fatalf("%+v", got)
	}
	if !bytes.Equal(whole.weights(want.Model), w.weights(got.Model)) {
		t.Error("the model is another")
	}
}

// A run that takes its server down each time is not tried for ever.
func TestKilledTooOften(t *testing.T) {
	w := newWorks(t, 600)
	id := w.start().ID
	w.change(id, func(t *fettle.Training) { t.State, t.Attempts = fettle.TrainingRunning, 3 })
	w.open()
	w.run()
	if got := w.awaitEnd(id); got.State != fettle.TrainingFailed || got.Reason != "its worker was started 3 times and never came to an end" || got.Advice == "" {
		t.Errorf("%+v", got)
	}
}

// another is a second machine with readings.
func (w *works) another() string {
	w.t.Helper()
	_, err := w.Rows.Append(waves("other", 600))
	w.check(err)
	return "other"
}

// A paused run keeps its place, lets others pass, and goes on to the same
// bytes, over a restart too.
func TestPauseAndResume(t *testing.T) {
	whole := newWorks(t, 600)
	whole.run()
	want := whole.awaitEnd(whole.start(long).ID)
	w := newWorks(t, 600)
	w.run()
	id := w.start(long).ID
	w.await(id, "in its third epoch", func(t fettle.Training) bool { return t.Progress.Epoch >= 3 || t.State.Over() })
	if got, err := w.Control(id, Pause, "Ada"); err != nil || got.State != fettle.TrainingPaused || got.Reason != "paused by Ada" {
		t.Fatalf("%+v, %v", got, err)
	}
	if other := w.awaitEnd(w.start(func(r *Request) { r.Machines = []string{w.another()} }).ID); other.State != fettle.TrainingSucceeded {
		t.Errorf("%+v", other)
	}
	w.cancel()
	w.open()
	w.run()
	if got, err := w.Get(id); err != nil || got.State != fettle.TrainingPaused {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := w.Control(id, Resume, "Ada")
	w.check(err)
	got := w.awaitEnd(id)
	if got.State != fettle.TrainingSucceeded || !bytes.Equal(whole.weights(want.Model), w.weights(got.Model)) {
		t.Errorf("the model is another: %+v", got)
	}
}

// What cannot be trained is refused at once, with what is missing.
// runnerFunc is a runner.
type runnerFunc func(ctx context.Context, job string, told func(Progress)) ([]byte, error)

func (f runnerFunc) Run(ctx context.Context, job string, told func(Progress)) ([]byte, error) {
	return f(ctx, job, told)
}

// A run that is cancelled while it is being paused leaves nothing behind.
func TestCancelWhilePausing(t *testing.T) {
	w := newWorks(t, 600)
	stopping, stop := make(chan struct{}), make(chan struct{})
	w.Runner = runnerFunc(func(ctx context.Context, _ string, _ func(Progress)) ([]byte, error) {
		<-ctx.Done()
		close(stopping)
		<-stop
		return nil, context.Cause(ctx)
	})
	w.run()
	id := w.start().ID
	w.await(id, "running", func(t fettle.Training) bool { return t.State == fettle.TrainingRunning })
	_, err := w.Control(id, Pause, "")
	w.check(err)
	<-stopping
	_, err = w.Control(id, Cancel, "")
	w.check(err)
	close(stop)
	w.cancel()
	if run, err := w.Get(id); err != nil || run.State != fettle.TrainingCancelled || len(w.left()) > 0 {
		t.Errorf("%+v, %v, left: %v", run, err, w.left())
	}
}

// A model that was promoted while another one was trained is not replaced by
// it: they have not been compared.
func TestPromotedMeanwhile(t *testing.T) {
	w := newWorks(t, 600)
	w.run()
	w.awaitEnd(w.start().ID)
	second := w.awaitEnd(w.start().ID)
	worker := w.Runner
	w.Runner = runnerFunc(func(ctx context.Context, job string, told func(Progress)) ([]byte, error) {
		_, err := w.Models.Promote(second.Model, model.Decision{Reason: "by hand"})
		w.check(err)
		return worker.Run(ctx, job, told)
	})
	third := w.awaitEnd(w.start().ID)
	champion, _ := w.Models.Champion("m", fettle.ShortForecaster)
	if third.State != fettle.TrainingSucceeded || third.Promoted || champion.Name != second.Model || !strings.HasPrefix(third.Reason, "not promoted: "+second.Model+" has come to serve meanwhile") {
		t.Errorf("%+v; %s serves", third, champion.Name)
	}
}

// Refused models do not pile up: the newest of them stay.
func TestRefusedAreForgotten(t *testing.T) {
	w := newWorks(t, 600)
	w.run()
	first := w.awaitEnd(w.start().ID)
	var last fettle.Training
	for range refusedKept + 2 {
		last = w.awaitEnd(w.start().ID)
	}
	var left []string
	for _, v := range w.Models.Versions("m") {
		left = append(left, v.Name)
	}
	if len(left) != 1+refusedKept || left[0] != first.Model || left[refusedKept] != last.Model {
		t.Errorf("left: %v", left)
	}
}

// One reading from long ago hides nothing of what came since.
func TestStrayReading(t *testing.T) {
	w := newWorks(t, 600)
	_, err := w.Rows.Append([]fettle.Reading{{Machine: "m", Time: start.AddDate(-50, 0, 0), Values: []fettle.Value{{Sensor: "a", Value: 1}, {Sensor: "b", Value: 1}}}})
	w.check(err)
	w.run()
	if run := w.awaitEnd(w.start().ID); run.State != fettle.TrainingSucceeded || run.Rows != 600 {
		t.Errorf("%+v", run)
	}
}

func TestStartRefuses(t *testing.T) {
	w := newWorks(t, 40)
	for _, c := range []struct {
		ask  Request
		kind fettle.Kind
		want string
	}{
		{Request{Machines: []string{"x"}}, fettle.NotFound, `no machine "x"`},
		{Request{Machines: []string{"m"}}, fettle.Unavailable, "m has too few readings to train the forecaster short: 40, needs 51"},
		{Request{Forecaster: "years"}, fettle.Invalid, `forecaster is years; expected one of ["short"]`},
		{Request{Preset: "huge"}, fettle.Invalid, "preset is huge"},
		{Request{Machines: []string{w.another()}, Preset: "research"}, fettle.Unavailable, "600, needs 3601"},
		{Request{Machines: []string{"other"}, Preset: strings.Replace(tiny, `"batch":16`, `"batch":1000000`, 1)}, fettle.Invalid, "training.memory is 256 MiB; expected at least"},
	} {
		started, _, err := w.Start(c.ask)
		if len(started) > 0 || fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.ask, err, c.want)
		}
	}
	started, refused, err := w.Start(Request{Trigger: ByHand})
	if err != nil || len(started) != 1 || len(refused) != 1 || started[0].Machine != "other" || started[0].Plan.Bytes == 0 {
		t.Errorf("%d started, %+v, %v", len(started), refused, err)
	}
	if _, _, err := w.Start(Request{Machines: []string{"other"}}); fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), "run 1 trains the forecaster short of other already (queued)") {
		t.Errorf("started twice: %v", err)
	}
	if _, err := w.Get(99); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("unknown run: %v", err)
	}
}

// A folder of models that takes nothing leaves a clear record.
func TestPublishFails(t *testing.T) {
	w := newWorks(t, 600)
	w.check(os.RemoveAll(filepath.Join(w.dir, "models")))
	w.check(os.WriteFile(filepath.Join(w.dir, "models"), nil, 0o600))
	w.run()
	if got := w.awaitEnd(w.start().ID); got.State != fettle.TrainingFailed || !strings.Contains(got.Reason, "publish model of m") || got.Model != "" {
		t.Errorf("%+v", got)
	}
	w.cancel()
	id := w.start().ID
	w.fail(id, fmt.Errorf("publish model of m: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}))
	if got, _ := w.Get(id); !strings.HasPrefix(got.Advice, "free some of the disk") {
		t.Errorf("%+v", got)
	}
}

// The oldest runs are forgotten, those under way never.
func TestHistoryIsBounded(t *testing.T) {
	w := newWorks(t, 0)
	for i := range maxEnded + 10 {
		run := fettle.Training{Machine: "m" + strconv.Itoa(i), Forecaster: "short", State: fettle.TrainingQueued}
		w.check(w.add(&run, destination{}))
		if i > 0 {
			w.change(run.ID, func(t *fettle.Training) { t.State = fettle.TrainingFailed })
		}
	}
	w.open()
	runs := w.List(Filter{})
	if len(runs) != maxEnded+1 || runs[len(runs)-1].ID != 1 || runs[0].ID != maxEnded+10 {
		t.Errorf("%d runs, %d to %d", len(runs), runs[len(runs)-1].ID, runs[0].ID)
	}
}

// A setting that cannot be is named before anything starts.
func TestNewSaysWhatIsWrong(t *testing.T) {
	w := newWorks(t, 0)
	bad := w.cfg
	bad.Schedule = "often"
	_, err := New(bad, w.deps, w.log)
	bad = w.cfg
	bad.Preset = "/no/such/file.json"
	_, err2 := New(bad, w.deps, w.log)
	if err == nil || err2 == nil || !strings.Contains(errors.Join(err, err2).Error(), "training.preset: preset is /no/such/file.json") {
		t.Errorf("%v, %v", err, err2)
	}
}
