package train

import (
	"slices"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	score := func(name string, mse, mae float64) Score { return Score{Name: name, MSE: mse, MAE: mae, Windows: 100} }
	j := func(mse, mae float64, ridge Duel) Judgement {
		return Judgement{
			Scores: []Score{score("patchtst", mse, mae), score("ridge", 1, 1), score("last value", 0.5, 1)}, Duels: []Duel{ridge, {"last value", 0, 0}},
		}
	}
	for _, c := range []struct {
		what    string
		j       Judgement
		kept    string
		promote bool
		want    string
	}{
		{"better", j(0.4, 0.6, Duel{"ridge", 0.6, 1}), "ridge", true, "better on 100 held-out windows: MSE 0.4, MAE 0.6, 60.0 % lower than the ridge (MSE 1, MAE 1; lower on 100 % of resampled stretches)"},
		{"worse", j(1.2, 1.1, Duel{"ridge", -0.2, 0}), "ridge", false, "not better, kept ridge; on 100 held-out windows: MSE 1.2, MAE 1.1, 20.0 % higher than the ridge"},
		{"perhaps luck", j(0.9, 0.9, Duel{"ridge", 0.1, 0.8}), "ridge", false, "lower on 80 % of resampled stretches"},
		{"by too little", j(0.995, 0.9, Duel{"ridge", 0.005, 1}), "ridge", false, "not better"},
		{"worse in absolute errors", j(0.9, 1.1, Duel{"ridge", 0.1, 1}), "ridge", false, "but in absolute errors it is worse"},
		{"a yardstick wins", j(0.8, 0.9, Duel{"ridge", 0.2, 1}), "ridge", true, "last value, which needs no model, is better than it (MSE 0.5)"},
		{"beside no error at all", Judgement{Scores: []Score{score("patchtst", 0.001, 0.01), score("ridge", 0, 0)}, Duels: []Duel{{"ridge", 0, 0}}}, "ridge", false, "MAE 0.01, higher than the ridge (MSE 0, "},
		{"nothing serves", j(1.2, 1.1, Duel{"ridge", -0.2, 0}), "", false, "not better on 100 held-out windows: MSE 1.2"},
		{"nothing to judge by", Judgement{Missing: "no window"}, "ridge", false, "not promoted: no window"},
	} {
		promote, reason := Decide(c.j, c.kept, 0.01)
		if promote != c.promote || !strings.Contains(reason, c.want) {
			t.Errorf("%s: %v, %s", c.what, promote, reason)
		}
	}
}

// A duel is sure about what is better everywhere, and not about what is as
// often better as worse.
func TestDuel(t *testing.T) {
	model, worse, same := make([]float64, 400), make([]float64, 400), make([]float64, 400)
	for i := range model {
		model[i], worse[i], same[i] = 1, 1.5, 1+0.5*float64(1-i/20%2*2)
	}
	if d := duel("x", model, worse, 10); d.Gain < 0.33 || d.Gain > 0.34 || d.Sure != 1 {
		t.Errorf("%+v", d)
	}
	if d := duel("x", model, same, 10); d.Sure < 0.2 || d.Sure > 0.8 {
		t.Errorf("%+v", d)
	}
	if a, b := duel("x", model, same, 10), duel("x", slices.Clone(model), same, 10); a != b {
		t.Error("the same windows gave another answer")
	}
}
