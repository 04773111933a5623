package train

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle"
)

// What is wrong with a worker stands in the run's record, with what to do.
func TestBadWorkers(t *testing.T) {
	for _, c := range []struct{ worker, reason, advice string }{
		{"train-worker-garbage", `the worker printed what is no result: "Segmentation fault, or so"`, "then train again"},
		{"train-worker-silent", "the worker ended without a result; it said: I have nothing to say", "see the log"},
		{"train-worker-failing", "the worker failed (exit status 3); it said: panic: something", "see the log"},
		{"train-worker-foreign", "id is 4711 of other; expected 1 of m", "then train again"},
		{"train-worker-hanging", "made no progress for 300ms and was killed (started 2 times)", "see what else the computer does"},
	} {
		w := newWorks(t, 600, c.worker)
		w.Runner = Children{Command: []string{os.Args[0], c.worker}, Quiet: 300 * time.Millisecond}
		if c.worker != "train-worker-hanging" {
			w.Runner = Children{Command: []string{os.Args[0], c.worker}, Quiet: time.Minute}
		}
		w.Manager.cfg.Attempts = 2
		w.run()
		got := w.awaitEnd(w.start().ID)
		if got.State != fettle.TrainingFailed || !strings.Contains(got.Reason, c.reason) || !strings.Contains(got.Advice, c.advice) || got.EndedAt == nil {
			t.Errorf("%s: %s: %s; %s", c.worker, got.State, got.Reason, got.Advice)
		}
		w.cancel()
		if len(w.left()) > 0 {
			t.Errorf("left: %v", w.left())
		}
	}
	w := newWorks(t, 600)
	w.Runner = Children{Command: []string{filepath.Join(t.TempDir(), "no-such-program")}, Quiet: time.Minute}
	w.run()
	if got := w.awaitEnd(w.start().ID); got.State != fettle.TrainingFailed || !strings.Contains(got.Reason, "start the worker") {
		t.Errorf("%+v", got)
	}
}

// Cancel is a kill: no worker is left, and the record says who it was.
func TestCancel(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	w := newWorks(t, 600, "train-worker-hanging", pid)
	w.run()
	id := w.start().ID
	w.await(id, "running", func(fettle.Training) bool { _, err := os.Stat(pid); return err == nil })
	waiting := w.start(func(r *Request) { r.Machines = []string{w.another()} })
	got, err := w.Control(waiting.ID, Cancel, "Ada")
	if err != nil || got.State != fettle.TrainingCancelled {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = w.Control(id, Cancel, "Ada")
	if err != nil || got.State != fettle.TrainingCancelled || got.Reason != "cancelled by Ada" || got.EndedAt == nil {
		t.Errorf("%+v, %v", got, err)
	}
	text, err := os.ReadFile(pid)
	w.check(err)
	number, err := strconv.Atoi(string(text))
	w.check(err)
	worker, err := os.FindProcess(number)
	w.check(err)
	for end := time.Now().Add(time.Minute); worker.Signal(syscall.Signal(0)) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the worker lives")
		}
	}
	if _, err := w.Control(id, Cancel, ""); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("cancelled twice: %v", err)
	}
	w.cancel()
	if len(w.left()) > 0 {
		t.Errorf("left: %v", w.left())
	}
}
