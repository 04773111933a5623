package train

import (
	"fmt"
	"slices"
	"strings"

	"fettle"
)

// sureEnough is on how many of the resampled stretches a new model has to be
// better.
const sureEnough = 0.95

// Decide says whether a model is to serve, and why, in words. It has to beat
// what serves and the ridge that every machine has, on the same held-out windows:
// by the margin in the mean squared error, on 95 % of the resampled stretches,
// and without a higher mean absolute error. If neither could be judged it has to
// beat the last value. What needs no model is never left unsaid. kept is the
// family of what serves, "" if nothing does.
func Decide(j Judgement, kept string, margin float64) (promote bool, reason string) {
	if len(j.Scores) == 0 {
		return false, "not promoted: " + j.Missing
	}
	model := j.Scores[0]
	rivals := among(j, ChampionName, RidgeName)
	if len(rivals) == 0 {
		rivals = among(j, LastName)
	}
	if len(rivals) == 0 {
		return false, "not promoted: nothing to compare with; " + j.Missing
	}
	var why []string
	promote = true
	for _, r := range rivals {
		better := r.duel.Gain >= margin && r.duel.Sure >= sureEnough && model.MAE <= r.MAE
		promote = promote && better
		why = append(why, r.words(model))
	}
	verdict := fmt.Sprintf("better on %d held-out windows", model.Windows)
	if !promote {
		verdict = fmt.Sprintf("not better on %d held-out windows", model.Windows)
		if kept != "" {
			verdict = fmt.Sprintf("not better, kept %s; on %d held-out windows", kept, model.Windows)
		}
	}
	reason = fmt.Sprintf("%s: MSE %.4g, MAE %.4g, %s", verdict, model.MSE, model.MAE, strings.Join(why, ", "))
	return promote, reason + remarks(j, model, rivals)
}

// A rival is a score with the duel that was lost or won against it.
type rival struct {
	fettle.TrainingScore
	duel Duel
}

// among are the rivals of these names that were judged.
func among(j Judgement, names ...string) []rival {
	var list []rival
	for i, d := range j.Duels {
		if slices.Contains(names, d.Other) {
			list = append(list, rival{j.Scores[i+1], d})
		}
	}
	return list
}

// words compare a model with a rival.
func (r rival) words(model Score) string {
	name := r.Name
	if name == ChampionName || name == RidgeName {
		name = "the " + name
	}
	compared := fmt.Sprintf("%.1f %% lower than", 100*r.duel.Gain)
	switch {
	case r.duel.Gain < -1:
		compared = fmt.Sprintf("%.3g times", 1-r.duel.Gain)
	case r.duel.Gain == 0 && model.MSE > r.MSE: // theirs is 0
		compared = "higher than"
	case r.duel.Gain < 0:
		compared = fmt.Sprintf("%.1f %% higher than", -100*r.duel.Gain)
	}
	text := fmt.Sprintf("%s %s (MSE %.4g, MAE %.4g; lower on %.0f %% of resampled stretches)", compared, name, r.MSE, r.MAE, 100*r.duel.Sure)
	if model.MAE > r.MAE && r.duel.Gain > 0 {
		text += ", but in absolute errors it is worse"
	}
	return text
}

// remarks tell of forecasts without a model that are better than the model, and
// of what could not be compared.
func remarks(j Judgement, model Score, rivals []rival) string {
	var text strings.Builder
	for _, s := range j.Scores[1:] {
		judged := slices.ContainsFunc(rivals, func(r rival) bool { return r.Name == s.Name })
		if !judged && s.MSE < model.MSE {
			fmt.Fprintf(&text, "; %s, which needs no model, is better than it (MSE %.4g)", s.Name, s.MSE)
		}
	}
	if j.Missing != "" {
		text.WriteString("; not compared: " + strings.TrimSuffix(j.Missing, "; "))
	}
	return text.String()
}
