package app

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/internal/train"
)

// A feeder fills a hopper at one of three speeds and empties it when it is full:
// nothing that a linear regression could know beforehand, and a small network
// can. It speaks every five minutes.
type feeder struct {
	at          time.Time
	noise       *rand.Rand
	full, speed float64
	level       float64
	speeds      []float64 // one of which it takes each time
}

const feederStep = 5 * time.Minute

var (
	usualSpeeds = []float64{0.025, 0.04, 0.08}
	otherSpeeds = []float64{0.15, 0.25, 0.35}
)

func (f *feeder) next() fettle.Reading {
	r := fettle.Reading{Machine: "feeder", Time: f.at, Values: []fettle.Value{{Sensor: "load", Value: f.level + 20 + 10*f.full + f.noise.NormFloat64()/10}}}
	f.at = f.at.Add(feederStep)
	if f.full += f.speed; f.full >= 1 {
		f.full, f.speed = 0, f.speeds[f.noise.IntN(len(f.speeds))]
	}
	return r
}

// fortnight is a server whose clock is the machine's.
type fortnight struct {
	*running
	*feeder
	t     *testing.T
	clock *eventClock
}

// newFortnight begins on a Sunday.
func newFortnight(t *testing.T, schedule string) *fortnight {
	t.Helper()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	cfg := settings(t.TempDir())
	cfg.Forecast.Forecasters = nil
	cfg.Training.Schedule, cfg.Training.Stagger, cfg.Training.Margin = schedule, 0, 0.3
	cfg.Training.Preset = `{"context":24,"horizon":10,"patch":4,"stride":4,"d_model":16,"heads":2,"layers":1,"ffn":32,"epochs":20,"batch":32,"learning_rate":0.01,"scaler":"robust"}`
	clock := &eventClock{}
	clock.set(begin)
	utc := func() time.Time { return clock.now().UTC() } // schedules are in local time
	a, err := newAt(utc, cfg, "test", slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		t.Fatal(err)
	}
	return &fortnight{running: runApp(t, a), feeder: &feeder{at: begin, noise: rand.New(rand.NewPCG(1, 2)), speed: 0.04, speeds: usualSpeeds}, t: t, clock: clock}
}

// live lets days pass: readings come, and what the clock starts is started.
func (f *fortnight) live(days int) {
	f.t.Helper()
	for end := f.at.AddDate(0, 0, days); f.at.Before(end); {
		f.liveRows(min(72, int(end.Sub(f.at)/feederStep)))
		f.training.LookAtSchedule()
		f.lookForDrift()
		f.waitFor("trainings to end", func() bool {
			waiting, running := f.training.Active()
			return waiting+running == 0
		})
	}
	f.mustForecast()
}

// liveRows sends readings and waits until they went all the way.
func (f *fortnight) liveRows(n int) {
	f.t.Helper()
	var rows []fettle.Reading
	for range n {
		rows = append(rows, f.next())
	}
	settled := rows[n-2].Time // the newest may still be added to
	f.clock.set(f.at.Add(15 * time.Minute))
	if err := f.Submit(f.t.Context(), rows); err != nil {
		f.t.Fatal(err)
	}
	f.waitFor("the readings to be judged", func() bool { return !f.flow.judge.Cursor("feeder").Before(settled) })
}

// waitFor waits for what the server's goroutines do in their own time.
func (f *fortnight) waitFor(what string, done func() bool) {
	f.t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 5*time.Minute {
			f.t.Fatalf("waited 5 minutes for %s", what)
		}
	}
}

// mustForecast wants every forecast of the last day, however models changed.
func (f *fortnight) mustForecast() {
	f.t.Helper()
	made, to := 0, f.flow.judge.Cursor("feeder")
	err := f.flow.forecasts.Kept("feeder", fettle.ShortForecaster, to.Add(-24*time.Hour), to, func(fettle.Forecast) error { made++; return nil })
	if want := int(24 * time.Hour / feederStep); err != nil || made != want {
		f.t.Errorf("%s: %d forecasts in a day, want %d; %v", f.at.Format(time.DateOnly), made, want, err)
	}
}

// ask calls the API as the commands beside the server do.
func (f *fortnight) ask(method, path, body string, into any) {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.Addresses().HTTP+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+f.web.token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode < 300 {
		err = json.Unmarshal(text, into)
	}
	if err != nil || response.StatusCode >= 300 {
		f.t.Fatalf("%s %s: %s %v %s", method, path, response.Status, err, text)
	}
}

// runs are the trainings of the short forecaster, oldest first.
func (f *fortnight) runs() []fettle.Training {
	var list struct{ Trainings []fettle.Training }
	f.ask("GET", "/api/v1/training", "", &list)
	slices.Reverse(list.Trainings)
	return list.Trainings
}

func (f *fortnight) newest(trigger string) fettle.Training {
	f.t.Helper()
	runs := f.runs()
	if len(runs) == 0 || runs[len(runs)-1].Trigger != trigger || runs[len(runs)-1].State != fettle.TrainingSucceeded {
		f.t.Fatalf("the newest training is not one by %s that succeeded: %+v", trigger, runs)
	}
	return runs[len(runs)-1]
}

func (f *fortnight) champion() string {
	v, _ := f.models.Champion("feeder", fettle.ShortForecaster)
	return v.Name
}

// mustAnswerOldClients wants the old routes to answer as they always did, from
// the model that serves now.
func (f *fortnight) mustAnswerOldClients() {
	f.t.Helper()
	var predicted struct {
		Status      string
		Workspace   string `json:"workspace_id"`
		Message     string
		Predictions struct {
			Timestamp    string
			AlertStatus  string `json:"alert_status"`
			AlertMessage string `json:"alert_message"`
			Predictions  map[string][]float64
			Horizon      int `json:"prediction_horizon"`
			Model        string
		}
	}
	f.ask("GET", "/predict/feeder", "", &predicted)
	if p := predicted.Predictions; predicted.Status != "success" || predicted.Workspace != "feeder" || predicted.Message == "" || len(p.Predictions["load"]) != 10 || p.Horizon != 10 ||
		p.Model != f.champion() || p.Timestamp == "" || p.AlertStatus == "" || p.AlertMessage == "" {
		f.t.Errorf("/predict with %s: %+v", f.champion(), predicted)
	}
	type validation struct {
		Status      string
		Workspace   string `json:"workspace_id"`
		Predictions map[string][]float64
		Actuals     map[string][]float64
		Metrics     map[string]map[string]float64
		Accuracy    *float64 `json:"overall_accuracy"`
	}
	var one validation
	var all map[string]validation
	f.ask("GET", "/validate/feeder", "", &one)
	f.ask("GET", "/validation", "", &all)
	for route, v := range map[string]validation{"/validate": one, "/validation": all["feeder"]} {
		if v.Status != "success" || v.Workspace != "feeder" || len(v.Predictions["load"]) != 10 || len(v.Actuals["load"]) != 10 || len(v.Metrics["load"]) != 3 || v.Accuracy == nil {
			f.t.Errorf("%s with %s: %+v", route, f.champion(), v)
		}
	}
	var status map[string]any
	f.ask("GET", "/inference/status", "", &status)
	if got := fmt.Sprintf("%v %v %v %v %v", status["status"], status["interval_seconds"], status["lookback_minutes"], status["available_models"], status["message"]); got != "success 60 10 [feeder] Inference running directly from stored readings" {
		f.t.Errorf("/inference/status: %v", status)
	}
}

// mustExplain wants the old routes to say what they always said when there is
// no forecast, and why.
func (f *fortnight) mustExplain(code string) {
	f.t.Helper()
	var answer struct{ Status, Message, Code, Why string }
	f.ask("GET", "/predict/feeder", "", &answer)
	if answer.Status != "error" || answer.Message != "No predictions available for feeder. Wait for inference cycle." || answer.Code != code || answer.Why == "" {
		f.t.Errorf("/predict without a model: %+v", answer)
	}
	f.ask("GET", "/validate/feeder", "", &answer)
	if answer.Status != "error" || answer.Message != "No model for feeder" {
		f.t.Errorf("/validate without a model: %+v", answer)
	}
}

// Two weeks of a machine go by as they do in a plant: a ridge from the first
// day, a model by schedule that is better and serves, one that is not better and
// is refused, one because the machine changed, a person who rolls back. Forecasts
// never stop, and the record tells it all.
func TestTwoWeeks(t *testing.T) {
	f := newFortnight(t, "0 12 * * 6") // Saturdays
	defer f.stop(t)

	f.mustExplain("unknown_workspace")
	f.liveRows(60)
	f.mustExplain("not_enough_data")
	f.live(6)
	f.mustAnswerOldClients()
	if slices.ContainsFunc(f.runs(), func(r fettle.Training) bool { return r.Trigger == train.BySchedule }) {
		t.Errorf("trained before it was time to: %+v", f.runs())
	}
	ridge := f.champion()

	f.live(1) // Saturday
	scheduled := f.newest(train.BySchedule)
	if !scheduled.Promoted || f.champion() != scheduled.Model {
		t.Fatalf("not better than the ridge: %s", scheduled.Reason)
	}
	f.mustAnswerOldClients()

	f.live(1)
	f.ask("POST", "/api/v1/training", `{"machines":["feeder"]}`, &struct{}{})
	f.waitFor("the training by hand", func() bool { waiting, running := f.training.Active(); return waiting+running == 0 })
	byHand := f.newest(train.ByHand)
	if byHand.Promoted || !strings.HasPrefix(byHand.Reason, "not better, kept patchtst") || f.champion() != scheduled.Model {
		t.Errorf("%s serves: %s", f.champion(), byHand.Reason)
	}

	changed := f.at
	f.speeds = otherSpeeds // another product
	f.live(3)
	if drifts := slices.DeleteFunc(f.runs(), func(r fettle.Training) bool { return r.Trigger != train.ByDrift || r.QueuedAt.Before(changed) }); len(drifts) == 0 {
		d, known := f.flow.forecasts.Drift("feeder", fettle.ShortForecaster)
		t.Fatalf("no drift was found: %+v, %v", d, known)
	}

	serving := f.champion()
	var back fettle.Model
	f.ask("POST", "/api/v1/machines/feeder/rollback", `{"reason":"the old product is back","by":"Ada"}`, &back)
	if back.Name == serving || f.champion() != back.Name {
		t.Errorf("%s serves after rolling back from %s", f.champion(), serving)
	}
	f.waitFor("a forecast of what serves now", func() bool {
		made, _ := f.flow.forecasts.Latest("feeder", fettle.ShortForecaster)
		return made.Model == back.Name
	})
	f.mustAnswerOldClients()
	f.speeds = usualSpeeds
	f.live(3)

	f.mustTell(ridge, scheduled, byHand, back)
}

// mustTell wants each decision in the record, and an event of each training.
func (f *fortnight) mustTell(ridge string, scheduled, byHand fettle.Training, back fettle.Model) {
	f.t.Helper()
	var list struct{ Decisions []model.Decided }
	f.ask("GET", "/api/v1/machines/feeder/decisions", "", &list)
	told := func(action model.Action, name, by string) bool {
		return slices.ContainsFunc(list.Decisions, func(d model.Decided) bool {
			return d.Action == action && d.Model == name && d.Reason != "" && (by == "" || d.By == by) && d.Time.Year() == f.at.Year()
		})
	}
	first := list.Decisions[0]
	if first.Action != model.First || !told(model.Promoted, scheduled.Model, "") || !told(model.Refused, byHand.Model, "") || !told(model.RolledBack, back.Name, "Ada") || ridge == "" {
		f.t.Errorf("the record says %+v", list.Decisions)
	}
	var answer struct{ Events []fettle.Event }
	f.ask("GET", "/api/v1/events?after=0&kinds=training", "", &answer)
	ended := map[uint64]bool{}
	for _, e := range answer.Events {
		var run fettle.Training
		if err := json.Unmarshal(e.Data, &run); err != nil {
			f.t.Error(err)
		}
		ended[run.ID] = ended[run.ID] || run.State.Over()
	}
	for _, run := range f.runs() {
		if !ended[run.ID] {
			f.t.Errorf("no event tells how run %d ended", run.ID)
		}
	}
}
