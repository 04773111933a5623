//go:build peers

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/process"
	"fettle/internal/readings"
)

// small trains in a moment; with many epochs it is met in mid-training, and with
// endless ones it only ends when it is stopped.
func small(epochs int) string {
	return fmt.Sprintf(`{"context":16,"horizon":4,"patch":4,"stride":4,"d_model":8,"heads":2,"layers":1,"ffn":8,"epochs":%d,"patience":0,"batch":16,"learning_rate":0.01}`, epochs)
}

const (
	quick   = 2
	enough  = 30 // to be better than a ridge at what bends
	lasting = 600
	endless = 1_000_000
)

const sparkToken = "token-of-the-test"

// A sparkStory is a fettle that trains on a real cluster.
type sparkStory struct {
	*testing.T // of the scene
	whole      *testing.T
	cluster    *process.Spark
	binary     string
	folder     string
	door       *doorway
	server     *process.Server
}

// TestTrainingOnSpark trains on a real standalone cluster of two workers, and
// has go wrong what can, the worst last.
func TestTrainingOnSpark(t *testing.T) {
	binary := buildFettle(t)
	cluster, err := process.StartSpark(t.Context(), "../../scripts/peers/spark.sh", t.TempDir(), process.SparkOptions{Workers: 2, Token: sparkToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Stop()
		if t.Failed() {
			t.Log(cluster.Log())
		}
	})
	s := &sparkStory{T: t, whole: t, cluster: cluster, binary: binary, folder: filepath.Join(t.TempDir(), "data"), door: newDoorway(t)}
	t.Setenv("FETTLE_TRAINING_SPARK_URL", cluster.URL)
	t.Setenv("FETTLE_TRAINING_SPARK_TOKEN", sparkToken)
	t.Setenv("FETTLE_TRAINING_SPARK_FETTLE_URL", s.door.url())
	t.Setenv("FETTLE_TRAINING_SPARK_PARALLEL", "4")
	t.Setenv("FETTLE_FORECAST_FORECASTERS", "[]")
	s.fill()
	s.serve()
	for _, scene := range []struct {
		name string
		play func(*sparkStory)
	}{
		{"wrong token", (*sparkStory).wrongToken},
		{"same bytes", (*sparkStory).sameBytes},
		{"every month", (*sparkStory).everyMonth},
		{"bad data", (*sparkStory).badData},
		{"fifty machines", (*sparkStory).fiftyMachines},
		{"cancelled", (*sparkStory).cancelled},
		{"fettle killed", (*sparkStory).fettleKilled},
		{"worker killed", (*sparkStory).workerKilled},
		{"Connect server killed", (*sparkStory).connectKilled},
	} {
		if !t.Run(scene.name, func(t *testing.T) {
			s.T = t
			began := time.Now()
			scene.play(s)
			t.Logf("took %s", time.Since(began).Round(time.Millisecond))
		}) {
			break // the rest stands on it
		}
	}
	if peak, err := s.server.PeakBytes(); err == nil {
		t.Logf("fettle's own memory: %d MiB at most", peak>>20)
	}
}

// fill stores the readings of all machines: three of a plant, one that cannot be
// trained, and fifty small ones.
func (s *sparkStory) fill() {
	s.Helper()
	store, err := db.Open(config.Data{Dir: s.folder}.Store(), db.Options{})
	s.must(err)
	rows, err := readings.Open(store, s.folder, nil)
	s.must(err)
	begin := time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)
	fill := func(machine string, n int, at func(i int) time.Duration) {
		history := make([]fettle.Reading, n)
		a, b := 0.3, 0.41
		for i := range history {
			a, b = 3.7*a*(1-a), 3.7*b*(1-b) // the logistic map, which no ridge can follow
			history[i] = fettle.Reading{Machine: machine, Time: begin.Add(at(i)), Values: []fettle.Value{{Sensor: "a", Value: a}, {Sensor: "b", Value: b}}}
		}
		_, err := rows.Append(history)
		s.must(err)
	}
	even := func(i int) time.Duration { return time.Duration(i) * time.Second }
	for _, machine := range plantMachines {
		fill(machine, 2000, even)
	}
	// Islands of eighteen readings: no window of twenty is in any of them.
	fill("islands", 2000, func(i int) time.Duration { return time.Duration(i)*time.Second + time.Duration(i/18)*time.Hour })
	for i := range 50 {
		fill(fmt.Sprintf("small-%02d", i), 300, even)
	}
	s.must(store.Close())
}

var plantMachines = []string{"cnc-mill-5-axis", "injection-molder", "lathe-1-spindle"}

// serve starts fettle, and leads the cluster to it.
func (s *sparkStory) serve() {
	s.Helper()
	server, err := process.Start(s.whole.Context(), s.binary, s.folder)
	s.must(err)
	s.server = server
	s.door.to.Store(server.HTTP)
	s.whole.Cleanup(server.Kill)
}

// until waits for something, longer than anything takes here.
func (s *sparkStory) until(what string, holds func() (bool, error)) error {
	for end := time.Now().Add(15 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, err := holds()
		switch {
		case ok || err != nil:
			return err
		case time.Now().After(end):
			return fmt.Errorf("waited in vain for %s", what)
		}
	}
}

func (s *sparkStory) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// train asks for one run of each machine, on the cluster unless it says where.
func (s *sparkStory) train(epochs int, on string, machines ...string) []fettle.Training {
	s.Helper()
	var answer api.TrainingStarted
	s.must(remoteOf(s.T, s.folder).call(s.Context(), http.MethodPost, "/api/v1/training",
		api.TrainingRequest{Machines: machines, Forecaster: fettle.ShortForecaster, Preset: small(epochs), On: on}, &answer))
	if len(answer.Trainings) != len(machines) {
		s.Fatalf("%d of %d runs: %+v", len(answer.Trainings), len(machines), answer.Refused)
	}
	return answer.Trainings
}

// await waits until a run is as wanted; longer than anything takes.
func (s *sparkStory) await(id uint64, what string, wanted func(fettle.Training) bool) fettle.Training {
	s.Helper()
	var run fettle.Training
	err := s.until(fmt.Sprintf("run %d to be %s", id, what), func() (bool, error) {
		err := s.server.Get(s.Context(), "/api/v1/training/"+strconv.FormatUint(id, 10), &run)
		return err == nil && wanted(run), err
	})
	if err != nil {
		s.Fatalf("%v: %+v\n%s", err, run, s.server.Log())
	}
	return run
}

func (s *sparkStory) awaitEnd(id uint64) fettle.Training {
	s.Helper()
	return s.await(id, "over", func(t fettle.Training) bool { return t.State.Over() })
}

func (s *sparkStory) awaitSuccess(id uint64) fettle.Training {
	s.Helper()
	run := s.awaitEnd(id)
	if run.State != fettle.TrainingSucceeded {
		s.Fatalf("%+v", run)
	}
	return run
}

// inMidTraining waits until a run's worker has told of its third epoch.
func (s *sparkStory) inMidTraining(id uint64) {
	s.Helper()
	run := s.await(id, "in its third epoch", func(t fettle.Training) bool { return t.Progress.Epoch >= 3 || t.State.Over() })
	if run.State.Over() {
		s.Fatalf("%+v", run)
	}
}

func (s *sparkStory) weights(model string) []byte {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "models", model, "model.safetensors"))
	s.must(err)
	return text
}

// wrongToken: the run fails at once, and says what is wrong, but not the token.
func (s *sparkStory) wrongToken() {
	run := s.awaitEnd(s.train(quick, s.cluster.URL+"/;token=guessed", plantMachines[0])[0].ID)
	text, err := json.Marshal(run)
	s.must(err)
	if run.State != fettle.TrainingFailed || !strings.Contains(run.Reason, "does not take this token") || bytes.Contains(text, []byte("guessed")) {
		s.Errorf("%s", text)
	}
}

// sameBytes: what the cluster makes is what this computer makes.
func (s *sparkStory) sameBytes() {
	here := s.awaitSuccess(s.train(quick, "local", plantMachines[0])[0].ID)
	there := s.awaitSuccess(s.train(quick, "spark", plantMachines[0])[0].ID)
	if here.On != "" || there.On != s.cluster.URL || !bytes.Equal(s.weights(here.Model), s.weights(there.Model)) {
		s.Errorf("%+v\n%+v", here, there)
	}
}

// everyMonth: the schedule trains all three machines on the cluster; the new
// models serve.
func (s *sparkStory) everyMonth() {
	s.server.Stop()
	s.Setenv("FETTLE_TRAINING_ENGINE", "spark")
	s.Setenv("FETTLE_TRAINING_SCHEDULE", "* * * * *") // it does not wait for the first of a month
	s.Setenv("FETTLE_TRAINING_STAGGER", "0s")
	s.Setenv("FETTLE_TRAINING_PRESET", s.presetFile())
	s.serve()
	for _, machine := range plantMachines[1:] { // the first has a model already
		var done fettle.Training
		err := s.until("the schedule to train "+machine, func() (bool, error) {
			var list api.TrainingList
			err := s.server.Get(s.Context(), "/api/v1/training?state=succeeded&limit=1000&machine="+machine, &list)
			if len(list.Trainings) > 0 {
				done = list.Trainings[len(list.Trainings)-1]
			}
			return len(list.Trainings) > 0, err
		})
		s.must(err)
		if done.Trigger != "schedule" || done.On != s.cluster.URL || !done.Promoted {
			s.Errorf("%+v", done)
		}
		if _, err := os.Stat(filepath.Join(s.folder, "models", done.Model)); err != nil || !strings.HasPrefix(done.Model, "model_"+machine+"_20") {
			s.Errorf("%s: %v", done.Model, err)
		}
		var m fettle.Machine
		s.must(s.server.Get(s.Context(), "/api/v1/machines/"+machine, &m))
		if m.Model == "" {
			s.Errorf("%s has no model", machine)
		}
	}
	s.server.Stop()
	s.Setenv("FETTLE_TRAINING_SCHEDULE", "")
	s.Setenv("FETTLE_TRAINING_PRESET", "deployed")
	s.serve()
	s.cancelAll()
}

func (s *sparkStory) presetFile() string {
	path := filepath.Join(s.TempDir(), "preset.json")
	s.must(os.WriteFile(path, []byte(small(enough)), 0o600))
	return path
}

// cancelAll ends what a schedule of every minute has left.
func (s *sparkStory) cancelAll() {
	var list api.TrainingList
	s.must(s.server.Get(s.Context(), "/api/v1/training?limit=1000", &list))
	for _, run := range list.Trainings {
		if !run.State.Over() {
			_ = remoteOf(s.T, s.folder).call(s.Context(), http.MethodPost, fmt.Sprintf("/api/v1/training/%d/cancel", run.ID), nil, &run) // it may have ended
			s.awaitEnd(run.ID)
		}
	}
}

// badData: a machine that cannot be trained fails with its reason, and no other
// does.
func (s *sparkStory) badData() {
	runs := s.train(quick, "spark", plantMachines[0], "islands", plantMachines[1])
	if bad := s.awaitEnd(runs[1].ID); bad.State != fettle.TrainingFailed || !strings.Contains(bad.Reason, "no window of 20 rows without a gap") {
		s.Errorf("%+v", bad)
	}
	s.awaitSuccess(runs[0].ID)
	s.awaitSuccess(runs[2].ID)
}

// fiftyMachines: each is trained once, none is lost.
func (s *sparkStory) fiftyMachines() {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("small-%02d", i))
	}
	for _, run := range s.train(quick, "spark", names...) {
		if run = s.awaitSuccess(run.ID); run.Attempts != 1 {
			s.Errorf("%+v", run)
		}
		s.publishedOnce(run)
	}
}

// publishedOnce: one model came of a run, the one that its record names.
func (s *sparkStory) publishedOnce(run fettle.Training) {
	s.Helper()
	cards, err := filepath.Glob(filepath.Join(s.folder, "models", "model_"+run.Machine+"_*", "fettle.json"))
	s.must(err)
	var made []string
	for _, card := range cards {
		text, err := os.ReadFile(card)
		s.must(err)
		if bytes.Contains(text, []byte(fmt.Sprintf(`"fettle train, run %d"`, run.ID))) {
			made = append(made, filepath.Base(filepath.Dir(card)))
		}
	}
	if len(made) != 1 || made[0] != run.Model {
		s.Errorf("run %d has made %q, and names %q", run.ID, made, run.Model)
	}
}

// workers are the processes of trainings on the cluster.
func (s *sparkStory) workers() []int {
	s.Helper()
	folders, err := os.ReadDir("/proc")
	s.must(err)
	var pids []int
	for _, folder := range folders {
		pid, err := strconv.Atoi(folder.Name())
		if err != nil {
			continue
		}
		command, _ := os.ReadFile(filepath.Join("/proc", folder.Name(), "cmdline")) // it may be gone
		at, _ := os.Readlink(filepath.Join("/proc", folder.Name(), "cwd"))
		if bytes.HasSuffix(bytes.TrimRight(command, "\x00"), []byte("train-worker")) && strings.HasPrefix(at, s.cluster.Folder) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cancelled: the training ends on the executor.
func (s *sparkStory) cancelled() {
	run := s.train(endless, "spark", plantMachines[0])[0]
	s.inMidTraining(run.ID)
	if len(s.workers()) == 0 {
		s.Fatal("nobody trains")
	}
	began := time.Now()
	s.must(remoteOf(s.T, s.folder).call(s.Context(), http.MethodPost, fmt.Sprintf("/api/v1/training/%d/cancel", run.ID), nil, &run))
	s.must(s.until("the worker to end", func() (bool, error) { return len(s.workers()) == 0, nil }))
	s.Logf("the worker was gone after %s", time.Since(began).Round(time.Millisecond))
	if run := s.awaitEnd(run.ID); run.State != fettle.TrainingCancelled {
		s.Errorf("%+v", run)
	}
}

// fettleKilled: the next fettle finds the training again; nothing is done twice.
func (s *sparkStory) fettleKilled() {
	run := s.train(lasting, "spark", plantMachines[0])[0]
	s.inMidTraining(run.ID)
	at := s.workers()
	s.server.Kill()
	s.serve()
	again := s.awaitSuccess(run.ID)
	if again.Attempts != 1 || len(at) != 1 {
		s.Errorf("%d trained; %+v", len(at), again)
	}
	s.publishedOnce(again)
}

// workerKilled: Spark has the training done by another worker.
func (s *sparkStory) workerKilled() {
	run := s.train(lasting, "spark", plantMachines[1])[0]
	s.inMidTraining(run.ID)
	pids := s.workers()
	if len(pids) != 1 {
		s.Fatalf("%d trainings", len(pids))
	}
	at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pids[0]))
	s.must(err)
	for number := range 2 {
		if strings.HasPrefix(at, s.cluster.WorkerFolder(number)+"/") {
			s.cluster.KillWorker(number)
		}
	}
	if run = s.awaitSuccess(run.ID); run.Attempts != 1 {
		s.Errorf("%+v", run)
	}
	s.publishedOnce(run)
	s.cluster.AddWorker()
}

// connectKilled: the run says so, and is submitted again once there is a server.
func (s *sparkStory) connectKilled() {
	run := s.train(lasting, "spark", plantMachines[2])[0]
	s.inMidTraining(run.ID)
	s.cluster.KillConnect()
	waiting := s.await(run.ID, "waiting for the Connect server", func(t fettle.Training) bool { return t.Reason != "" || t.State.Over() })
	if waiting.State != fettle.TrainingQueued || !strings.Contains(waiting.Reason, "no Spark Connect server runs at") {
		s.Fatalf("%+v", waiting)
	}
	s.must(s.cluster.StartConnect(s.Context()))
	if run = s.awaitSuccess(run.ID); run.Attempts != 2 {
		s.Errorf("%+v", run)
	}
	s.publishedOnce(run)
}

// A doorway is one address that leads to whichever fettle runs.
type doorway struct {
	listener net.Listener
	to       atomic.Value // string: host:port
}

func newDoorway(t *testing.T) *doorway {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &doorway{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			visitor, err := listener.Accept()
			if err != nil {
				return
			}
			go d.lead(visitor)
		}
	}()
	return d
}

func (d *doorway) url() string { return "http://" + d.listener.Addr().String() }

func (d *doorway) lead(visitor net.Conn) {
	defer visitor.Close()
	to, _ := d.to.Load().(string)
	host, err := net.Dial("tcp", to)
	if err != nil {
		return // nobody is at home
	}
	defer host.Close()
	go func() {
		_, _ = io.Copy(host, visitor)
		_ = host.Close()
	}()
	_, _ = io.Copy(visitor, host)
}
