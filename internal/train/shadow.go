package train

import (
	"fmt"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/model"
)

const (
	// trialTicks is the least number of forecasts that a challenger is judged by.
	trialTicks = 30
	// trialPatience is after how many times the shadow's time a challenger is
	// refused that could not be judged until then.
	trialPatience = 4
)

// servesBeside tells whether another version serves where a new one would.
func (m *Manager) servesBeside(published fettle.Model) bool {
	champion, found := m.Models.Champion(published.Machine, published.Forecaster)
	return found && champion.Name != published.Name
}

// Tried decides on a challenger in the shadow, once its time there is over, and
// does nothing before. It is asked after every forecast.
func (m *Manager) Tried(t forecast.Trial) error {
	v := judgeTrial(t, m.cfg.Shadow, m.cfg.Margin)
	if !v.over {
		return nil
	}
	decision := model.Decision{Reason: shorten(v.reason, longestReason), By: "fettle train"}
	_, err := m.Models.Judge(t.Model, v.promote, decision)
	if fettle.KindOf(err) == fettle.Conflict {
		return nil // somebody else decided meanwhile
	}
	if err != nil {
		return err
	}
	m.log.Info("challenger judged in the shadow", "machine", t.Machine, "forecaster", t.Forecaster, "model", t.Model, "promoted", v.promote, "reason", v.reason)
	return nil
}

// addShadow tells with a run how its version does in the shadow.
func (m *Manager) addShadow(t *fettle.Training) {
	if !t.Waits || m.Trial == nil {
		return
	}
	trial, found := m.Trial(t.Machine, t.Forecaster)
	if !found || trial.Model != t.Model {
		return
	}
	t.Shadow = &fettle.TrainingShadow{
		Beside: trial.Champion, Began: trial.Began, Until: trial.Until, EndsAt: trial.Began.Add(m.cfg.Shadow),
		Forecasts: trial.Ticks, Needed: trialTicks, Missed: trial.Missed, Trouble: trial.Trouble,
		MSE: trial.Own.MSE, MAE: trial.Own.MAE, BesideMSE: trial.Champions.MSE, BesideMAE: trial.Champions.MAE,
	}
}

// A trialVerdict says what is to become of a challenger, and why.
type trialVerdict struct {
	over, promote bool
	reason        string
}

// judgeTrial compares a challenger with what served in the shadow's time. It has
// to be better by the margin in the mean squared error, and no worse in the mean
// absolute one.
func judgeTrial(t forecast.Trial, shadow time.Duration, margin float64) trialVerdict {
	lasted := t.Until.Sub(t.Began)
	enough := t.Ticks >= trialTicks
	if lasted < shadow || !enough && lasted < trialPatience*shadow {
		return trialVerdict{}
	}
	if shadow <= 0 {
		return trialVerdict{true, true, "better on held-out windows; waits in the shadow no longer, as training.shadow is off"}
	}
	if !enough {
		reason := fmt.Sprintf("not judged in the shadow: %d forecasts beside %s in %s, it takes %d", t.Ticks, t.Champion, lasted, trialTicks)
		if t.Trouble != "" {
			reason += fmt.Sprintf("; it gave none %d times: %s", t.Missed, t.Trouble)
		}
		return trialVerdict{over: true, reason: reason}
	}
	own, theirs := t.Own, t.Champions
	promote := own.MSE < theirs.MSE && own.MSE <= (1-margin)*theirs.MSE && own.MAE <= theirs.MAE
	verdict := "better in the shadow, too"
	if !promote {
		verdict = "not better in the shadow, kept " + t.Champion
	}
	reason := fmt.Sprintf("%s: on %d forecasts in %s MSE %.4g, MAE %.4g, %s %s (MSE %.4g, MAE %.4g)",
		verdict, t.Ticks, lasted, own.MSE, own.MAE, compared(own.MSE, theirs.MSE), t.Champion, theirs.MSE, theirs.MAE)
	if own.MAE > theirs.MAE && own.MSE < theirs.MSE {
		reason += ", but in absolute errors it is worse"
	} else if !promote && own.MSE < theirs.MSE {
		reason += fmt.Sprintf("; the margin is %.1f %%", 100*margin)
	}
	return trialVerdict{true, promote, reason}
}

// compared says how an error differs from another.
func compared(own, theirs float64) string {
	switch {
	case own == theirs:
		return "as much as"
	case own < theirs:
		return fmt.Sprintf("%.1f %% lower than", 100*(1-own/theirs))
	case own > 2*theirs:
		return fmt.Sprintf("%.3g times", own/theirs)
	default:
		return fmt.Sprintf("%.1f %% higher than", 100*(own/theirs-1))
	}
}

// Decided is told of versions that are not what they were: what became of one
// that waited in the shadow is written into its run, whoever decided.
func (m *Manager) Decided(models []fettle.Model) {
	for _, v := range models {
		if v.State == fettle.ModelChallenger {
			continue
		}
		if id, found := m.waitingRun(v.Name); found {
			m.settle(id, v)
		}
	}
}

// waitingRun is the run whose version waits in the shadow.
func (m *Manager) waitingRun(name string) (id uint64, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, t := range m.runs {
		if t.Waits && t.Model == name {
			return id, true
		}
	}
	return 0, false
}

// catchUp looks for runs whose version was decided on while nobody told.
func (m *Manager) catchUp() {
	for _, t := range m.List(Filter{}) {
		if !t.Waits {
			continue
		}
		v, found := m.Models.Get(t.Model)
		if !found {
			v.Reason = "its version is gone"
		}
		if v.State != fettle.ModelChallenger {
			m.settle(t.ID, v.Model)
		}
	}
}

// settle writes what became of a run's version.
func (m *Manager) settle(id uint64, v fettle.Model) {
	m.change(id, func(t *fettle.Training) {
		t.Waits, t.Promoted, t.Reason = false, v.State == fettle.ModelChampion, v.Reason
	})
}
