package web

import (
	"fmt"
	"strconv"
	"time"

	"fettle"
)

// A trainingView is the panel about a machine's training: what runs, or what
// became of the last run.
type trainingView struct {
	ID      uint64
	Chip    string // where it stands
	Under   bool   // it is under way, or waits
	Percent int
	Text    string
	Advice  string
	Scores  []scoreRow
}

// A scoreRow is a forecaster's errors on the held-out readings.
type scoreRow struct{ Name, MSE, MAE string }

func (s *Site) trainingView(machine string, c clock) trainingView {
	t, found := s.deps.Training(machine)
	if !found {
		return trainingView{Text: "No model was trained here yet, beside the ridge that every machine has."}
	}
	v := trainingView{ID: t.ID, Chip: string(t.State), Under: !t.State.Over(), Text: t.Reason, Advice: t.Advice}
	v.Percent = int(100 * t.Progress.Share())
	switch {
	case t.State == fettle.TrainingRunning:
		v.Chip, v.Text = fmt.Sprintf("%d %%", v.Percent), progressText(t)
	case t.State == fettle.TrainingQueued && t.NotBefore != nil && t.NotBefore.After(c.now):
		v.Text = "It begins at " + c.at(*t.NotBefore).Text + "."
	case t.State == fettle.TrainingSucceeded:
		v.Chip = "refused"
		if t.Promoted {
			v.Chip = "promoted"
		} else if t.Waits {
			v.Chip = "in the shadow"
			v.Text = shadowText(t, c)
		}
	}
	if t.Forecaster != fettle.ShortForecaster {
		v.Chip += ", forecaster " + t.Forecaster
	}
	for _, score := range t.Scores {
		v.Scores = append(v.Scores, scoreRow{score.Name, significant(score.MSE), significant(score.MAE)})
	}
	return v
}

// shadowText says how a version does that waits in the shadow.
func shadowText(t fettle.Training, c clock) string {
	s := t.Shadow
	if s == nil {
		return t.Reason
	}
	text := fmt.Sprintf("It is forecast beside %s, which serves, and decided on at %s if there are %d forecasts of both by then: ", s.Beside, c.at(s.EndsAt).Text, s.Needed)
	switch {
	case s.Forecasts > 0:
		text += fmt.Sprintf("so far %d, with MSE %s beside %s.", s.Forecasts, significant(s.MSE), significant(s.BesideMSE))
	case s.Missed > 0:
		text += fmt.Sprintf("none so far, since it gave none: %s.", s.Trouble)
	default:
		text += "none so far."
	}
	return text
}

// progressText says how far a run is.
func progressText(t fettle.Training) string {
	p := t.Progress
	if p.Steps == 0 {
		return "The readings are being prepared."
	}
	return fmt.Sprintf("Epoch %d of %d at most, %s left at most.", p.Epoch, p.Epochs, Duration(time.Duration(p.SecondsLeft*float64(time.Second))))
}

func significant(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }
