package train

import (
	"math"
	"math/rand/v2"
)

// A Duel compares a model with another forecaster on the same windows.
type Duel struct {
	Other string `json:"other"`
	// Gain is how much lower the model's mean squared error is, as a share of
	// the other's; negative if it is higher.
	Gain float64 `json:"gain"`
	// Sure is the share of resampled stretches of the held-out rows on which the
	// model's error is lower: 0.95 and more is hardly luck.
	Sure float64 `json:"sure"`
}

// resamples is how often the windows are drawn anew.
const resamples = 1000

// duel compares by a moving block bootstrap: neighbouring windows share rows,
// so not windows are drawn, but stretches of them, each at least as long as
// such a neighbourhood, and as the square root of their number.
func duel(other string, model, others []float64, overlap int) Duel {
	n := len(model)
	d := Duel{Other: other}
	sums := make([]float64, n+1) // of how much the other is worse, up to each window
	var total float64
	for i := range model {
		sums[i+1] = sums[i] + others[i] - model[i]
		total += others[i]
	}
	if total > 0 {
		d.Gain = sums[n] / total
	}
	block := min(n, max(overlap, int(math.Sqrt(float64(n)))))
	random := rand.New(rand.NewPCG(uint64(n), 1)) // the same windows always give the same answer
	for range resamples {
		var drawn float64
		for left := n; left > 0; left -= block {
			length := min(block, left)
			from := random.IntN(n - length + 1)
			drawn += sums[from+length] - sums[from]
		}
		if drawn > 0 {
			d.Sure++
		}
	}
	d.Sure /= resamples
	return d
}
