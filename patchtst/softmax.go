package patchtst

import "math"

// softmax turns each row of scores into shares that sum to 1:
//
//	x[i] = exp(scale x[i]) / sum over j of exp(scale x[j])
//
// The largest score is taken off first, so that no exponential overflows.
func softmax(scores matrix, scale float32) {
	for r := range scores.rows {
		row := scores.row(r)
		largest := row[0]
		for _, s := range row {
			largest = max(largest, s)
		}
		var sum float32
		for i, s := range row {
			e := float32(math.Exp(float64(scale * (s - largest))))
			row[i] = e
			sum += e
		}
		for i := range row {
			row[i] /= sum
		}
	}
}

// softmaxBackward turns the gradient of the shares into that of the scores:
//
//	g[i] = scale y[i] (g[i] - sum over j of g[j] y[j])
func softmaxBackward(gradient, shares matrix, scale float32) {
	for r := range shares.rows {
		g, y := gradient.row(r), shares.row(r)
		mean := dot(g, y)
		for i, share := range y {
			g[i] = scale * share * (g[i] - mean)
		}
	}
}
