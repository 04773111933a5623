package train

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/model"
)

func TestJudgeTrial(t *testing.T) {
	began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	trial := func(hours int, ticks int64, own, theirs forecast.TrialError) forecast.Trial {
		return forecast.Trial{Champion: "old", Began: began, Until: began.Add(time.Duration(hours) * time.Hour), Ticks: ticks, Own: own, Champions: theirs, Missed: 7, Trouble: "no sensor"}
	}
	good, bad := forecast.TrialError{MSE: 0.4, MAE: 0.5}, forecast.TrialError{MSE: 0.5, MAE: 0.6}
	for _, c := range []struct {
		what          string
		trial         forecast.Trial
		over, promote bool
		want          string
	}{
		{"too soon", trial(23, 999, good, bad), false, false, ""},
		{"too few forecasts", trial(24, 29, good, bad), false, false, ""},
		{"better", trial(24, 30, good, bad), true, true, "better in the shadow, too: on 30 forecasts in 24h0m0s MSE 0.4, MAE 0.5, 20.0 % lower than old (MSE 0.5, MAE 0.6)"},
		{"worse", trial(25, 30, bad, good), true, false, "not better in the shadow, kept old: on 30 forecasts in 25h0m0s MSE 0.5, MAE 0.6, 25.0 % higher than old (MSE 0.4, MAE 0.5)"},
		{"much worse", trial(25, 30, forecast.TrialError{MSE: 5, MAE: 1}, bad), true, false, "10 times old"},
		{"by too little", trial(24, 30, forecast.TrialError{MSE: 0.498, MAE: 0.5}, bad), true, false, "0.4 % lower than old (MSE 0.5, MAE 0.6); the margin is 1.0 %"},
		{"worse in absolute errors", trial(24, 30, forecast.TrialError{MSE: 0.1, MAE: 0.7}, bad), true, false, "but in absolute errors it is worse"},
		{"both perfect", trial(24, 30, forecast.TrialError{}, forecast.TrialError{}), true, false, "as much as old"},
		{"never enough", trial(96, 29, good, bad), true, false, "not judged in the shadow: 29 forecasts beside old in 96h0m0s, it takes 30; it gave none 7 times: no sensor"},
	} {
		got := judgeTrial(c.trial, 24*time.Hour, 0.01)
		if got.over != c.over || got.promote != c.promote || !strings.Contains(got.reason, c.want) {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
	if got := judgeTrial(trial(0, 0, good, bad), 0, 0.01); !got.over || !got.promote {
		t.Errorf("with the shadow switched off: %+v", got)
	}
}

// praising has a worker do the job, and says that the model beats all others: on
// readings as regular as the tests', nothing beats a ridge.
type praising struct{ Runner }

func (p praising) Run(ctx context.Context, job string, told func(Progress)) ([]byte, error) {
	line, err := p.Runner.Run(ctx, job, told)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	for i := range r.Judgement.Duels {
		r.Judgement.Duels[i].Gain, r.Judgement.Duels[i].Sure = 0.5, 1
		r.Judgement.Scores[i+1].MAE = 2 * r.Judgement.Scores[0].MAE
	}
	return json.Marshal(r)
}

// mustTellTrial wants how a version does in the shadow to be told with its run.
func (w *works) mustTellTrial(run fettle.Training, beside string) {
	w.t.Helper()
	if run.Shadow != nil {
		w.t.Errorf("before its first forecast: %+v", run.Shadow)
	}
	w.Manager.Trial = func(machine, forecaster string) (forecast.Trial, bool) {
		return forecast.Trial{
			Machine: machine, Forecaster: forecaster, Model: run.Model, Champion: beside, Began: time.Unix(0, 0), Ticks: 12,
			Own: forecast.TrialError{MSE: 1, MAE: 2}, Champions: forecast.TrialError{MSE: 3, MAE: 4},
		}, true
	}
	defer func() { w.Manager.Trial = nil }()
	told, err := w.Get(run.ID)
	want := fettle.TrainingShadow{Beside: beside, Began: time.Unix(0, 0), EndsAt: time.Unix(3600, 0), Forecasts: 12, Needed: 30, MSE: 1, MAE: 2, BesideMSE: 3, BesideMAE: 4}
	if err != nil || told.Shadow == nil || *told.Shadow != want {
		w.t.Errorf("in the shadow: %+v, %v", told.Shadow, err)
	}
	if listed := w.List(Filter{}); listed[0].Shadow == nil || listed[1].Shadow != nil {
		w.t.Errorf("listed with %+v and %+v", listed[0].Shadow, listed[1].Shadow)
	}
}

// A model that is better waits in the shadow; what becomes of it there, or by
// hand, or while no server ran, is written into its run.
func TestShadow(t *testing.T) {
	w := newWorks(t, 600)
	var later atomic.Int64
	w.cfg.Shadow, w.deps.Runner = time.Hour, praising{w.deps.Runner}
	w.deps.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	w.open()
	w.run()
	first := w.awaitEnd(w.start().ID)
	if !first.Promoted || first.Waits {
		t.Fatalf("the first one serves at once: %+v", first)
	}
	better := func() fettle.Training {
		t.Helper()
		run := w.awaitEnd(w.start().ID)
		if run.State != fettle.TrainingSucceeded || run.Promoted || !run.Waits || !strings.HasPrefix(run.Reason, "waits in the shadow of what serves for 1h0m0s; better on 117 held-out windows") {
			t.Fatalf("%+v", run)
		}
		return run
	}
	serves := func(what string, run fettle.Training, reason string) {
		t.Helper()
		after, err := w.Get(run.ID)
		champion, _ := w.Models.Champion("m", fettle.ShortForecaster)
		if err != nil || after.Waits || after.Promoted != (champion.Name == run.Model) || !strings.Contains(after.Reason, reason) {
			t.Errorf("%s: %+v, %s serves", what, after, champion.Name)
		}
	}
	trial := func(run fettle.Training, own, theirs float64) {
		t.Helper()
		now := time.Now()
		w.check(w.Tried(forecast.Trial{
			Machine: "m", Forecaster: fettle.ShortForecaster, Model: run.Model, Champion: first.Model, Began: now.Add(-time.Hour), Until: now, Ticks: 30,
			Own: forecast.TrialError{MSE: own, MAE: own}, Champions: forecast.TrialError{MSE: theirs, MAE: theirs},
		}))
		v, _ := w.Models.Get(run.Model)
		w.Decided([]fettle.Model{v.Model})
	}
	refused := better()
	w.mustTellTrial(refused, first.Model)
	trial(refused, 2, 1)
	serves("refused", refused, "not better in the shadow, kept "+first.Model)
	trial(refused, 1, 2) // too late
	serves("judged twice", refused, "not better in the shadow, kept "+first.Model)

	replaced := better()
	later.Store(int64(48 * time.Hour))
	w.Drifted("m", fettle.ShortForecaster, "error doubled")
	if n := len(w.List(Filter{})); n != 3 {
		t.Errorf("%d runs, want none of a drift while a challenger waits", n)
	}
	promoted := better()
	w.catchUp()
	serves("replaced", replaced, promoted.Model+" waits in the shadow instead")

	_, err := w.Models.Promote(promoted.Model, model.Decision{Reason: "the shift wants it", By: "Ada"})
	w.check(err)
	w.cancel()
	w.open()
	serves("promoted by hand while no server ran", promoted, "the shift wants it")
	if champion, _ := w.Models.Champion("m", fettle.ShortForecaster); champion.Name != promoted.Model {
		t.Errorf("%s serves", champion.Name)
	}
}
