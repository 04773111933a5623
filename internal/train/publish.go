package train

import (
	"fmt"
	"slices"
	"strings"

	"fettle"
	"fettle/internal/model"
)

// publish makes a version of what a worker answered, and lets it serve if it is
// better than what does.
func (m *Manager) publish(t fettle.Training, job *Job, r *Result) error {
	champion, serves := m.Models.Champion(t.Machine, t.Forecaster)
	published, before := m.publishedBefore(t, r)
	if before && published.State != fettle.ModelChallenger {
		m.note(t.ID, r, published)
		return nil
	}
	var err error
	if !before {
		if published, err = m.Models.Publish(r.publication(t, job), func(dir string) error { return WriteFiles(dir, r.Files) }); err != nil {
			return err
		}
	}
	promote, reason := Decide(r.Judgement, champion.Family, m.cfg.Margin)
	if serves && job.overtaken(champion) {
		promote, reason = false, fmt.Sprintf("not promoted: %s has come to serve meanwhile, with which it was not compared; train again", champion.Name)
	}
	if r.Stopped == "budget" {
		reason += fmt.Sprintf("; its time of %s was up in epoch %d of %d", m.cfg.Budget, len(r.Epochs)+1, job.Training.Epochs)
	}
	decision := model.Decision{Reason: shorten(reason, longestReason), By: "fettle train"}
	waits := promote && m.cfg.Shadow > 0 && m.servesBeside(published)
	switch {
	case waits:
		promote = false
		reason = fmt.Sprintf("waits in the shadow of what serves for %s; %s", m.cfg.Shadow, reason)
		_, err = m.Models.Wait(published.Name, model.Decision{Reason: shorten(reason, longestReason), By: "fettle train"})
	case promote:
		_, err = m.Models.Promote(published.Name, decision)
	case serves:
		_, err = m.Models.Refuse(published.Name, decision)
	default:
		promote = true // the first one serves, however good it is
		reason = "the first model; " + reason
	}
	if err != nil {
		return fmt.Errorf("decide on %s: %w", published.Name, err)
	}
	published.State, published.Reason = fettle.ModelRefused, reason
	if promote {
		published.State = fettle.ModelChampion
	} else if waits {
		published.State = fettle.ModelChallenger
	}
	m.forgetRefused(t.Machine, t.Forecaster) // before the run is said to be over: then nothing of it is to come any more
	m.note(t.ID, r, published)
	if waits { // somebody may have decided meanwhile
		m.catchUp()
	}
	m.log.Info("training done", "machine", t.Machine, "forecaster", t.Forecaster, "run", t.ID, "model", published.Name, "promoted", promote, "waits", waits,
		"reason", reason, "seconds", int(r.Seconds), "worker_peak", mebibytes(r.PeakBytes))
	return nil
}

// note writes into a run's record what came of it.
func (m *Manager) note(id uint64, r *Result, made fettle.Model) {
	m.change(id, func(t *fettle.Training) {
		now := m.Now().UTC()
		t.State, t.EndedAt = fettle.TrainingSucceeded, &now
		t.Rows, t.From, t.To, t.Scores, t.Seconds = r.Rows, &r.From, &r.To, r.Judgement.Scores, r.Seconds
		t.Model, t.Reason, t.Advice = made.Name, made.Reason, ""
		t.Promoted, t.Waits = made.State == fettle.ModelChampion, made.State == fettle.ModelChallenger
		t.Progress.SecondsLeft = 0
	})
}

// publishedBefore finds the version of a server that was killed when it had
// published it and not yet noted so: the run's, with the very same weights.
func (m *Manager) publishedBefore(t fettle.Training, r *Result) (fettle.Model, bool) {
	for _, v := range m.Models.Versions(t.Machine) {
		if v.Forecaster != t.Forecaster || v.Source != madeHere+r.ID || v.SHA256 == "" {
			continue
		}
		for _, f := range r.Files {
			if f.SHA256 == v.SHA256 {
				return v.Model, true
			}
		}
	}
	return fettle.Model{}, false
}

// refusedKept is how many refused models of a machine's forecaster stay to be
// looked at.
const refusedKept = 5

// forgetRefused deletes the oldest refused models that were made here: a year of
// schedules and drifts makes many.
func (m *Manager) forgetRefused(machine, forecaster string) {
	refused := slices.DeleteFunc(m.Models.Versions(machine), func(v model.Version) bool {
		return v.Forecaster != forecaster || v.State != fettle.ModelRefused || !strings.HasPrefix(v.Source, madeHere)
	})
	for _, v := range refused[:max(0, len(refused)-refusedKept)] {
		if err := m.Models.Delete(v.Name); err != nil {
			m.log.Warn("cannot delete an old refused model", "machine", machine, "model", v.Name, "err", err)
		}
	}
}

// madeHere begins what a card calls the source of a model that was trained here.
const madeHere = "fettle train, run "

// overtaken tells whether a version serves that the worker could not judge: one
// that came after the job was written. Of ridges the worker fits one itself.
func (j *Job) overtaken(serving model.Version) bool {
	return serving.Family != model.Ridge && (j.Champion == nil || j.Champion.Name != serving.Name)
}

// longestReason is what a decision holds, in bytes.
const longestReason = 480

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// publication is what the model's card has to say.
func (r *Result) publication(t fettle.Training, job *Job) model.Publication {
	how := model.Training{
		From: r.From, Until: r.To, LeftOut: job.Quarantined, Preset: t.Preset, Settings: job.Training, Seed: job.Seed, StartedBy: strings.TrimSpace(t.Trigger + " " + t.By),
		Seconds: r.Seconds, Engine: r.Kernels, Scaling: string(job.Scaler),
		ScoredFrom: r.ScoredFrom,
	}
	if job.Champion != nil {
		how.Parent = job.Champion.Name
	}
	for _, s := range r.Judgement.Scores {
		how.Scores = append(how.Scores, model.Score{Name: s.Name, MSE: s.MSE, MAE: s.MAE, Windows: s.Windows})
	}
	return model.Publication{
		Machine: r.Machine, Forecaster: r.Forecaster, Family: model.PatchTST, Sensors: r.Sensors, Context: r.Context, Horizon: r.Horizon,
		StepSeconds: r.StepSeconds, TrainedRows: int64(r.TrainedRows), Parameters: r.Parameters, Source: madeHere + r.ID, Training: &how,
	}
}
