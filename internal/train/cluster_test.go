package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
)

// onCluster has a works train on executors.
func onCluster(t *testing.T, n int, worker ...string) (*works, *executors) {
	t.Helper()
	w, e := newWorks(t, n), newExecutors(worker...)
	w.deps.Spark = e
	w.cfg.Engine, w.cfg.Cluster = OnSpark, ClusterConfig{URL: "sc://here/;token=secret", Parallel: 2}
	w.open()
	t.Cleanup(e.restart) // after the manager's end: nothing is left running
	return w, e
}

// What a cluster makes of a machine is what this computer makes of it, to the
// byte, and the record says where it was made.
func TestClusterMakesTheSame(t *testing.T) {
	w, e := onCluster(t, 600)
	w.run()
	here := w.awaitEnd(w.start(func(r *Request) { r.On = Here }).ID)
	there := w.awaitEnd(w.start().ID)
	if here.On != "" || there.On != "sc://here" || there.State != fettle.TrainingSucceeded || there.Attempts != 1 {
		t.Fatalf("%+v", there)
	}
	if !bytes.Equal(w.weights(here.Model), w.weights(there.Model)) {
		t.Error("the cluster made another model")
	}
	w.cancel()
	if started, _ := e.count(); started != 1 || len(e.jobs) > 0 || len(w.left()) > 0 {
		t.Errorf("%d jobs, %d not released, left: %v", started, len(e.jobs), w.left())
	}
	if line := e.lines()[0]; strings.ContainsAny(line, "\t\n") || strings.Contains(line, w.dir) || !strings.Contains(line, `"threads":1`) {
		t.Error("the job's line has a tab, a folder of this computer, or more than a thread")
	}
}

// door is the way in for workers, as the API has it.
func (w *works) door() *httptest.Server {
	mux := http.NewServeMux()
	answer := func(out http.ResponseWriter, err error) {
		switch {
		case errors.Is(err, ErrUnwanted):
			out.WriteHeader(http.StatusGone)
		case err != nil:
			out.WriteHeader(http.StatusForbidden)
		}
	}
	number := func(r *http.Request) uint64 {
		id, _ := strconv.ParseUint(r.PathValue("id"), 10, 64)
		return id
	}
	mux.HandleFunc("GET /api/v1/training/{id}/rows", func(out http.ResponseWriter, r *http.Request) {
		rows, err := w.JobRows(number(r), r.Header.Get("X-API-Key"))
		if err != nil {
			answer(out, err)
			return
		}
		defer rows.Close()
		_, _ = io.Copy(out, rows)
	})
	mux.HandleFunc("POST /api/v1/training/{id}/progress", func(out http.ResponseWriter, r *http.Request) {
		var p Progress
		err := json.NewDecoder(r.Body).Decode(&p)
		if err == nil {
			err = w.JobProgress(number(r), r.Header.Get("X-API-Key"), p)
		}
		answer(out, err)
	})
	server := httptest.NewServer(mux)
	w.t.Cleanup(server.Close)
	return server
}

// Many readings are fetched by the worker, which tells its progress; the model
// is the same.
func TestWorkerFetches(t *testing.T) {
	const many = 30_000
	w, e := onCluster(t, many)
	w.cfg.Cluster.FettleURL, w.cfg.History, w.cfg.Windows = w.door().URL+"/", 24*time.Hour, 200
	w.open()
	w.run()
	here := w.awaitEnd(w.start(func(r *Request) { r.On = Here }).ID)
	there := w.awaitEnd(w.start().ID)
	if there.State != fettle.TrainingSucceeded || there.Rows != many || there.Progress.Epoch == 0 {
		t.Fatalf("%+v", there)
	}
	if line := e.lines()[0]; len(line) > inlineAnyway || strings.Contains(line, string(rowsMark)) {
		t.Errorf("the readings went along: %d bytes", len(line))
	}
	if !bytes.Equal(w.weights(here.Model), w.weights(there.Model)) {
		t.Error("the fetched readings made another model")
	}
}

// Readings that are too many to go along, where they cannot be fetched, are an
// error that says what to do.
func TestTooManyToGoAlong(t *testing.T) {
	path := filepath.Join(t.TempDir(), jobFile)
	job, packed := jobOf(t, tiny, waves("m", 100))
	line := lineOf(t, job, packed)
	if err := os.WriteFile(path, line, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxInline+1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := newCluster(ClusterConfig{}, nil, nil).line(path, 17, "key"); err == nil || !strings.Contains(err.Error(), "readings is 17 MiB; expected at most 16 MiB to go with a job: set training.spark.fettle_url") {
		t.Error(err)
	}
}

// A key opens its own run, while that is wanted.
func TestWorkerKeys(t *testing.T) {
	w, e := onCluster(t, 600, "train-worker-hanging")
	w.cfg.Cluster.FettleURL = "http://127.0.0.1:1"
	w.open()
	w.run()
	first, second := w.start().ID, w.start(func(r *Request) { r.Machines = []string{w.another()} }).ID
	w.await(second, "at work", func(fettle.Training) bool { started, _ := e.count(); return started == 2 })
	keys := map[string]string{}
	for _, line := range e.lines() {
		job, err := readJobHead(strings.NewReader(line))
		w.check(err)
		keys[job.ID] = job.Report.Key
	}
	own, other := keys[strconv.FormatUint(first, 10)], keys[strconv.FormatUint(second, 10)]
	told := Progress{Version: wireVersion, ID: strconv.FormatUint(first, 10), TrainingProgress: fettle.TrainingProgress{Epoch: 3}}
	rows := func(key string) error {
		r, err := w.JobRows(first, key)
		if err == nil {
			err = r.Close()
		}
		return err
	}
	if err := errors.Join(rows(own), w.JobProgress(first, own, told)); err != nil {
		t.Error(err)
	}
	if run, _ := w.Get(first); run.Progress.Epoch != 3 {
		t.Errorf("%+v", run.Progress)
	}
	for what, err := range map[string]error{"another run's": rows(other), "none": rows(""), "a wrong": rows("x")} {
		if fettle.KindOf(err) != fettle.Forbidden {
			t.Errorf("%s key: %v", what, err)
		}
	}
	if err := w.JobProgress(first, own, Progress{Version: wireVersion, ID: "4711"}); fettle.KindOf(err) != fettle.Invalid {
		t.Error(err)
	}
	if _, err := w.JobRows(4711, own); !errors.Is(err, ErrUnwanted) {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(w.cfg.Dir, "*", "*"))
	w.check(err)
	for _, path := range files {
		if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte(own)) {
			t.Errorf("%s holds the key (%v)", path, err)
		}
	}
	w.cancel() // a restart changes nothing
	w.open()
	if err := rows(own); err != nil {
		t.Error(err)
	}
	_, err = w.Control(first, Cancel, "")
	w.check(err)
	if err := w.JobProgress(first, own, told); !errors.Is(err, ErrUnwanted) {
		t.Errorf("cancelled: %v", err)
	}
}

// A run that is cancelled, or paused, ends on the cluster too.
func TestStoppedOnCluster(t *testing.T) {
	w, e := onCluster(t, 600, "train-worker-hanging")
	w.run()
	id := w.start().ID
	w.await(id, "at work", func(fettle.Training) bool { started, _ := e.count(); return started == 1 })
	_, err := w.Control(id, Pause, "Ada")
	w.check(err)
	w.await(id, "ended there", func(fettle.Training) bool { _, ended := e.count(); return ended == 1 })
	_, err = w.Control(id, Resume, "Ada")
	w.check(err)
	w.await(id, "at work again", func(fettle.Training) bool { started, _ := e.count(); return started == 2 })
	_, err = w.Control(id, Cancel, "Ada")
	w.check(err)
	w.await(id, "ended there again", func(fettle.Training) bool { _, ended := e.count(); return ended == 2 })
	w.cancel()
	if run, _ := w.Get(id); run.State != fettle.TrainingCancelled || run.Reason != "cancelled by Ada" || len(w.left()) > 0 {
		t.Errorf("%+v; left: %v", run, w.left())
	}
}

// What a cluster does outlives the server, whose successor finds it again and
// has nothing done twice.
func TestClusterOutlivesServer(t *testing.T) {
	letGo := filepath.Join(t.TempDir(), "go")
	w, e := onCluster(t, 600, "train-worker-waiting", letGo)
	w.run()
	id := w.start().ID
	w.await(id, "at work", func(fettle.Training) bool { started, _ := e.count(); return started == 1 })
	w.cancel()
	w.open()
	w.run()
	w.check(os.WriteFile(letGo, nil, 0o600))
	run := w.awaitEnd(id)
	if started, ended := e.count(); run.State != fettle.TrainingSucceeded || run.Attempts != 1 || started != 1 || ended != 0 {
		t.Errorf("%+v; %d started, %d ended", run, started, ended)
	}
}

// A server that is killed between publishing a model and noting so does not
// publish it again.
func TestPublishedOnce(t *testing.T) {
	w, e := onCluster(t, 600)
	w.run()
	job := filepath.Join(w.cfg.Dir, "1")
	saved := filepath.Join(t.TempDir(), "1")
	var once sync.Once
	changed := w.Changed
	w.Changed = func(run fettle.Training) { // the last moment at which the folder is there
		if run.State == fettle.TrainingSucceeded {
			once.Do(func() { w.check(os.CopyFS(saved, os.DirFS(job))) })
		}
		changed(run)
	}
	first := w.awaitEnd(w.start().ID)
	w.cancel()
	w.check(os.CopyFS(job, os.DirFS(saved)))
	w.change(1, func(t *fettle.Training) { t.State, t.Model, t.EndedAt = fettle.TrainingRunning, "", nil })
	w.open()
	w.run()
	again := w.awaitEnd(1)
	if started, _ := e.count(); again.Model != first.Model || !again.Promoted || again.Attempts != 1 || started != 1 || len(w.Models.Versions("m")) != 1 {
		t.Errorf("%+v; %d started, %d versions", again, started, len(w.Models.Versions("m")))
	}
}

// A cluster that has forgotten a training gets it again; how often is bounded.
func TestForgottenByCluster(t *testing.T) {
	letGo := filepath.Join(t.TempDir(), "go")
	w, e := onCluster(t, 600, "train-worker-waiting", letGo)
	w.run()
	id := w.start().ID
	w.await(id, "at work", func(fettle.Training) bool { started, _ := e.count(); return started == 1 })
	e.restart()
	w.check(os.WriteFile(letGo, nil, 0o600))
	run := w.awaitEnd(id)
	if started, _ := e.count(); run.State != fettle.TrainingSucceeded || run.Attempts != 2 || started != 2 {
		t.Errorf("%+v; %d started", run, started)
	}
	w.check(os.Remove(letGo))
	w.cancel()
	w.cfg.Attempts = 1
	w.open()
	w.run()
	id = w.start().ID
	w.await(id, "at work", func(fettle.Training) bool { started, _ := e.count(); return started == 3 })
	e.restart()
	run = w.awaitEnd(id)
	if run.State != fettle.TrainingFailed || !strings.HasPrefix(run.Reason, "the cluster does not know the training any more") || run.Advice == "" {
		t.Errorf("%+v", run)
	}
}

// A session that was too long without use is opened anew.
func TestSessionExpires(t *testing.T) {
	w, e := onCluster(t, 600)
	w.run()
	w.awaitEnd(w.start().ID)
	e.restart()
	if run := w.awaitEnd(w.start().ID); run.State != fettle.TrainingSucceeded || run.Attempts != 1 || e.sessions != 2 {
		t.Errorf("%+v in session %d", run, e.sessions)
	}
}

// Trainings wait for a cluster that is away, and say so; one that was just asked
// for by hand fails, for its address may be wrong.
func TestClusterAway(t *testing.T) {
	w, e := onCluster(t, 600)
	e.setAway(true)
	var ahead atomic.Int64
	w.deps.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	w.open()
	w.run()
	run := w.awaitEnd(w.start().ID)
	if run.State != fettle.TrainingFailed || run.Reason != "nobody answers at sc://here" || !strings.Contains(run.Advice, "fettle spark check sc://here") {
		t.Errorf("%+v", run)
	}
	ahead.Add(int64(lookForCluster))
	id := w.start(func(r *Request) { r.Trigger = ByDrift }).ID
	w.await(id, "waiting", func(t fettle.Training) bool { return strings.Contains(t.Reason, "it is tried again until") })
	e.setAway(false)
	ahead.Add(int64(lookForCluster))
	w.stir()
	if run := w.awaitEnd(id); run.State != fettle.TrainingSucceeded || run.Attempts != 1 {
		t.Errorf("%+v", run)
	}
	e.setAway(true)
	e.restart()
	id = w.start(func(r *Request) { r.Trigger = ByDrift }).ID
	w.await(id, "waiting", func(t fettle.Training) bool { return strings.Contains(t.Reason, "it is tried again until") })
	ahead.Add(int64(awaitCluster))
	w.stir()
	if run := w.awaitEnd(id); run.State != fettle.TrainingFailed || !strings.HasSuffix(run.Reason, ", for 1h0m0s") {
		t.Errorf("%+v", run)
	}
}

// What fails on the cluster fails alone, with its reason.
func TestFailsAlone(t *testing.T) {
	w, _ := onCluster(t, 600, "train-worker-failing")
	w.run()
	if run := w.awaitEnd(w.start().ID); run.State != fettle.TrainingFailed || !strings.Contains(run.Reason, "the task failed four times") || len(w.left()) > 0 {
		t.Errorf("%+v", run)
	}
}

// What Spark says of a worker is told without its stack, and with what to do.
func TestTaskFaults(t *testing.T) {
	for said, want := range map[string]string{
		"Subprocess exited with status 126. Error: ./x/fettle: cannot execute binary file: Exec format error": "training.spark.binary",
		"Subprocess exited with status 137. Error: \n\tat org.apache.spark.Task.run(Task.scala:1)":            "memory ran out",
		"Subprocess exited with status 2. Error: panic":                                                       "see the executor's log",
	} {
		lost := new(lostError)
		if err := taskFault(errors.New(said)); !errors.As(err, &lost) || !strings.Contains(lost.advice, want) || strings.Contains(lost.reason, "Task.scala") {
			t.Errorf("%+v", err)
		}
	}
}

// Where a run is to be done is checked before it waits.
func TestDestinations(t *testing.T) {
	w, _ := onCluster(t, 600)
	for on, want := range map[string]string{"spark://here:7077": "expected sc://host:port", "nowhere": "expected sc://host:port"} {
		if _, _, err := w.Start(Request{Machines: []string{"m"}, On: on}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", on, err)
		}
	}
	if _, _, err := w.Start(Request{On: Here, Confs: map[string]string{"a": "b"}}); err == nil || !strings.Contains(err.Error(), "none where no cluster trains") {
		t.Error(err)
	}
	run := w.start(func(r *Request) { r.On, r.Confs = "sc://other:1/;token=secret", map[string]string{"a": "b"} })
	kept, err := readErrand(w.folder(run.ID))
	if err != nil || run.On != "sc://other:1" || kept.URL != "sc://other:1/;token=secret" || kept.Confs["a"] != "b" {
		t.Errorf("%+v; %+v, %v", run, kept, err)
	}
	w.cfg.Cluster.URL = ""
	w.open()
	if _, _, err := w.Start(Request{Machines: []string{"m"}, On: OnSpark}); err == nil || !strings.Contains(err.Error(), "none is configured") {
		t.Error(err)
	}
}
