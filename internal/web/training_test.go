package web

import (
	"strings"
	"testing"
	"time"

	"fettle"
)

// The panel about training says where the run stands, and offers what can be
// done about it.
func TestTrainingPanel(t *testing.T) {
	later := noon.Add(3 * time.Hour)
	for _, c := range []struct {
		what    string
		run     fettle.Training
		want    []string
		without string
	}{
		{"no run yet", fettle.Training{}, []string{"No model was trained here yet", `data-train="/api/v1/training" data-machine="press"`}, "<progress"},
		{"under way", fettle.Training{ID: 7, State: fettle.TrainingRunning, Progress: fettle.TrainingProgress{Epoch: 2, Epochs: 20, Step: 30, Steps: 100, SecondsLeft: 90}},
			[]string{`<progress max="100" value="30"`, "Epoch 2 of 20 at most", `data-train="/api/v1/training/7/cancel"`}, ">Train<"},
		{"waits for its time", fettle.Training{ID: 7, State: fettle.TrainingQueued, NotBefore: &later}, []string{"It begins at", "Cancel"}, ">Train<"},
		{"waits", fettle.Training{ID: 7, State: fettle.TrainingSucceeded, Waits: true, Reason: "waits in the shadow of what serves for 24h0m0s; better"},
			[]string{"in the shadow", "for 24h0m0s; better", ">Train<"}, "refused"},
		{"does well in the shadow", fettle.Training{ID: 7, State: fettle.TrainingSucceeded, Waits: true, Shadow: &fettle.TrainingShadow{Beside: "model_a", EndsAt: noon.Add(time.Hour), Forecasts: 12, Needed: 30, MSE: 0.5, BesideMSE: 0.75}},
			[]string{"in the shadow", "forecast beside model_a", "if there are 30 forecasts", "so far 12, with MSE 0.5 beside 0.75"}, "refused"},
		{"refused", fettle.Training{ID: 7, State: fettle.TrainingSucceeded, Reason: "not better, kept ridge", Scores: []fettle.TrainingScore{{Name: "ridge", MSE: 0.01234567, MAE: 0.1}}},
			[]string{"refused", "not better, kept ridge", "0.01235", ">Train<"}, "<progress"},
		{"failed", fettle.Training{ID: 7, State: fettle.TrainingFailed, Reason: "the worker was killed", Advice: "lower training.memory"},
			[]string{"failed", "the worker was killed", "lower training.memory", ">Train<"}, "<progress"},
	} {
		site := siteOf(t, []fettle.Machine{{Name: "press", State: fettle.StateNormal, Last: noon, First: noon}})
		site.deps.Training = func(string) (fettle.Training, bool) { return c.run, c.run.ID > 0 }
		c.run.Forecaster = fettle.ShortForecaster
		page := body(t, get(t, site, "/m/press"))
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", c.what, want)
			}
		}
		if strings.Contains(page, c.without) {
			t.Errorf("%s: the page says %q", c.what, c.without)
		}
	}
}
