package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/patchtst"
)

// The same job makes the same files, on any number of threads; and they are a
// model that can be loaded, judged beside all yardsticks.
func TestWorkerMakesAModel(t *testing.T) {
	job, packed := jobOf(t, tiny, waves("m", 600))
	first := do(t, lineOf(t, job, packed))
	if first.Error != nil {
		t.Fatal(first.Error.Message)
	}
	job.Limits.Threads = 3
	if again := do(t, lineOf(t, job, packed)); !reflect.DeepEqual(first.Files, again.Files) || !reflect.DeepEqual(first.Judgement, again.Judgement) {
		t.Error("the same job made another result")
	}
	var files, scores []string
	for _, f := range first.Files {
		files = append(files, f.Name)
	}
	for _, s := range first.Judgement.Scores {
		scores = append(scores, s.Name)
		if s.Windows != 120-4+1 || !(s.MSE > 0 && s.MAE > 0) {
			t.Errorf("score %+v", s)
		}
	}
	if got := strings.Join(files, " "); got != "config.json model.safetensors scaler.json" {
		t.Errorf("files are %s", got)
	}
	if got := strings.Join(scores, ", "); !strings.HasPrefix(got, "patchtst, ridge, ") || !strings.HasSuffix(got, ", last value") {
		t.Errorf("scores are of %s", got)
	}
	if first.Rows != 600 || first.TrainedRows != 420 || first.Context != 16 || first.Horizon != 4 || first.StepSeconds != 2 || len(first.Epochs) != 4 || first.Kernels == "" {
		t.Errorf("%d rows, %d trained, %d/%d, step %v, %d epochs, kernels %q", first.Rows, first.TrainedRows, first.Context, first.Horizon, first.StepSeconds, len(first.Epochs), first.Kernels)
	}
	if want := start.Add(480 * 2 * time.Second); !first.ScoredFrom.Equal(want) {
		t.Errorf("judged from %v, not %v", first.ScoredFrom, want)
	}
}

// The champion is judged on the same windows, in the set's units whatever its
// own are.
func TestChampionIsJudgedToo(t *testing.T) {
	job, packed := jobOf(t, tiny, waves("m", 600))
	job.Scaler = MinMax
	old := do(t, lineOf(t, job, packed))
	job.Scaler = Robust
	job.Champion = &Champion{Name: "old", Family: "patchtst", Sensors: old.Sensors, Files: old.Files}
	r := do(t, lineOf(t, job, packed))
	if r.Error != nil || len(r.Judgement.Scores) < 2 || r.Judgement.Scores[1].Name != ChampionName || r.Judgement.Missing != "" {
		t.Fatalf("%+v, %s", r.Error, r.Judgement.Missing)
	}
	job.Champion.Files = r.Files
	if same := do(t, lineOf(t, job, packed)).Judgement; same.Duels[0].Gain != 0 || same.Scores[1].MSE-same.Scores[0].MSE > 1e-9 {
		t.Errorf("a model beside itself: %+v", same.Duels[0])
	}
	job.Champion.Sensors = []string{"x", "y"}
	if j := do(t, lineOf(t, job, packed)).Judgement; !strings.Contains(j.Missing, "it forecasts other sensors: ") {
		t.Errorf("missing: %s", j.Missing)
	}
}

// A model of the old system has its sensors in an order of its own: it is as
// good whatever the order of the set's.
func TestChampionInAnotherOrder(t *testing.T) {
	a, b := wave(400, 20), wave(400, 31)
	for i := range b {
		b[i] = 50 + 9*b[i]
	}
	prepared := func(kind Scaling, first, second string, columns ...[]float64) *Set {
		w := rows(columns...)
		w.Sensors = []string{first, second}
		s, err := Prepare(TableOf(w), Division{Validation: 0.1, Test: 0.2, Scaler: kind})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	recipe, err := FindRecipe(tiny)
	if err != nil {
		t.Fatal(err)
	}
	recipe.Network.Channels = 2
	old := prepared(MinMax, "b", "a", b, a)
	m, _, err := old.Fit(t.Context(), recipe.Network, recipe.Options)
	if err != nil {
		t.Fatal(err)
	}
	champion := &Champion{Name: "old", Family: "patchtst", Sensors: old.Sensors, dir: t.TempDir()}
	if err := old.Save(champion.dir, m); err != nil {
		t.Fatal(err)
	}
	judged := func(s *Set) Score {
		j, err := s.Judge(t.Context(), nil, champion, Size{16, 4}, recipe.Options)
		if err != nil || j.Missing != "" || j.Scores[0].Name != ChampionName {
			t.Fatalf("%+v, %v", j, err)
		}
		return j.Scores[0]
	}
	same, other := judged(prepared(Robust, "b", "a", b, a)), judged(prepared(Robust, "a", "b", a, b))
	if math.Abs(same.MSE-other.MSE) > 1e-6 || math.Abs(same.MAE-other.MAE) > 1e-6 || same.Windows != other.Windows {
		t.Errorf("%+v in its order, %+v in another", same, other)
	}
}

// Rows in quarantine are in no window, and no scaler sees them.
func TestQuarantineIsLeftOut(t *testing.T) {
	rows := waves("m", 600)
	for i := 100; i < 120; i++ {
		rows[i].Values[0].Value = 1e6
	}
	job, packed := jobOf(t, tiny, rows)
	job.Scaler = MinMax
	job.Quarantined = []fettle.Interval{{From: rows[100].Time, To: rows[119].Time.Add(time.Microsecond)}}
	clean := do(t, lineOf(t, job, packed))
	if clean.Error != nil || clean.LeftOut != 20 {
		t.Fatalf("%+v, %d left out", clean.Error, clean.LeftOut)
	}
	for i := 100; i < 120; i++ {
		rows[i].Values[0].Value = -1e6
	}
	other, packed := jobOf(t, tiny, rows)
	other.Scaler, other.Quarantined = job.Scaler, job.Quarantined
	if again := do(t, lineOf(t, other, packed)); !reflect.DeepEqual(again.Files, clean.Files) {
		t.Error("what was in quarantine changed the model")
	}
}

// A worker that has to fetch its readings shows its key, and posts its progress;
// it stops when the other side does not want it any more.
func TestWorkerByHTTP(t *testing.T) {
	job, packed := jobOf(t, tiny, waves("m", 600))
	var posts, unwanted atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") != "secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.URL.Path == "/rows" {
			_, _ = w.Write(packed)
			return
		}
		var p Progress
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.ID != "17" {
			t.Errorf("progress %+v, %v", p, err)
		}
		posts.Add(1)
		if unwanted.Load() > 0 {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer server.Close()
	inline := do(t, lineOf(t, job, packed))
	job.Data.Access = Access{server.URL + "/rows", "secret"}
	job.Report = &Access{server.URL + "/progress", "secret"}
	if r := do(t, lineOf(t, job, nil)); r.Error != nil || !reflect.DeepEqual(r.Files, inline.Files) || posts.Load() == 0 {
		t.Errorf("%+v after %d posts", r.Error, posts.Load())
	}
	unwanted.Store(1)
	if r := do(t, lineOf(t, job, nil)); r.Error == nil || !strings.Contains(r.Error.Message, ErrUnwanted.Error()) {
		t.Errorf("%+v", r.Error)
	}
	job.Data.Key = "wrong"
	if r := do(t, lineOf(t, job, nil)); r.Error == nil || !strings.Contains(r.Error.Message, "403") {
		t.Errorf("%+v", r.Error)
	}
}

// A training whose time is up answers with what it has learned; one that has
// learned nothing yet says what would help.
func TestBudget(t *testing.T) {
	endless := strings.Replace(tiny, `"epochs":4`, `"epochs":1000000,"patience":0`, 1)
	job, packed := jobOf(t, endless, waves("m", 600))
	job.Limits.Seconds = 3
	r := do(t, lineOf(t, job, packed))
	if r.Error != nil && !strings.Contains(r.Error.Message, "time for one epoch at least") || r.Error == nil && (r.Stopped != "budget" || r.Best == 0) {
		t.Errorf("%+v, stopped by %s", r.Error, r.Stopped)
	}
}

// What is told to be left is never more than the budget leaves.
func TestNoMoreLeftThanTheBudget(t *testing.T) {
	var told bytes.Buffer
	r := newReporter(&Job{Limits: Limits{Seconds: 3}}, &told)
	r.began = time.Now().Add(-time.Second)
	r.step(patchtst.Progress{Epoch: 1, Epochs: 20, Step: 1, Steps: 25_000})
	var p Progress
	if err := json.Unmarshal(told.Bytes(), &p); err != nil || p.SecondsLeft > 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A worker that was stopped in mid-training goes on to the same bytes.
func TestWorkerGoesOn(t *testing.T) {
	job, packed := jobOf(t, tiny, waves("m", 600))
	whole := do(t, lineOf(t, job, packed))
	job.Checkpoint = t.TempDir()
	line := lineOf(t, job, packed)
	ctx, cancel := context.WithCancel(t.Context())
	stopper := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte(`"epoch":2`)) {
			cancel()
		}
		return len(p), nil
	})
	var answer bytes.Buffer
	if err := Work(ctx, bytes.NewReader(line), &answer, stopper); err != nil || !strings.Contains(answer.String(), context.Canceled.Error()) {
		t.Fatalf("%v: %s", err, answer.String())
	}
	if r := do(t, line); r.Error != nil || !reflect.DeepEqual(r.Files, whole.Files) {
		t.Errorf("%+v; the model is another", r.Error)
	}
	// A damaged checkpoint is no reason to fail.
	if err := os.WriteFile(job.Checkpoint+"/training.safetensors", []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := do(t, line); r.Error != nil || !reflect.DeepEqual(r.Files, whole.Files) {
		t.Errorf("%+v; the model is another", r.Error)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// An answer that nobody takes is an error.
func TestNobodyListens(t *testing.T) {
	deaf := writerFunc(func([]byte) (int, error) { return 0, errors.New("broken pipe") })
	if err := Work(t.Context(), strings.NewReader("{}"), deaf, deaf); err == nil {
		t.Error("no error")
	}
}
