package plant

import (
	"math"
	"testing"
	"time"
)

// columns runs one machine for n ticks and returns its sensors' values, (6, n).
func columns(t *testing.T, o Options, n int) [6][]float64 {
	t.Helper()
	var columns [6][]float64
	for _, m := range run(newPlant(t, o), n) {
		for i, sensor := range sensors {
			columns[i] = append(columns[i], valueOf(t, m.Reading, sensor))
		}
	}
	return columns
}

// There must be something to learn: a linear forecast of the next ten rows from
// the last fifty has to beat "all stays as it is" by far on every sensor.
func TestMachinesCanBeForecast(t *testing.T) {
	const train, rows = 8000, 10_000
	for _, name := range oldNames[:3] {
		for i, column := range columns(t, Options{Names: []string{name}}, rows) {
			forecast := fitForecast(column[:train])
			var linear, still float64
			for at := train; at+ahead <= rows; at++ {
				predicted := forecast.predict(column[at-back : at])
				for step, actual := range column[at : at+ahead] {
					linear += sq(actual - predicted[step])
					still += sq(actual - column[at-1])
				}
			}
			if linear > 0.6*still {
				t.Errorf("%s, %s: the linear forecast's error is %.0f %% of the last value's", name, sensors[i], 100*linear/still)
			}
		}
	}
}

// A healthy machine must be no surprise: a one-step linear prediction fitted on
// a day is never off in one direction for long, on the day that follows. The
// measure is a moving average of the residuals over about forty rows, in its
// own standard deviations. Overheating in turn must stand out.
func TestHealthyMachinesAreNoSurprise(t *testing.T) {
	const day = 43_200 // rows
	for _, name := range oldNames[:3] {
		healthy := residualDrift(columns(t, Options{Names: []string{name}}, 2*day), day)
		for i, drift := range healthy {
			if drift > 7 {
				t.Errorf("%s: %s of the healthy machine drifts by %.1f deviations", name, sensors[i], drift)
			}
		}
		fault := Fault{Kind: Overheating, After: 25 * time.Hour, For: 90 * time.Second}
		heated := residualDrift(columns(t, Options{Names: []string{name}, Faults: []Fault{fault}}, day+3600), day)
		if heated[tempA] < 15 || heated[tempB] < 10 {
			t.Errorf("%s: overheating drifts by %.1f and %.1f deviations only", name, heated[tempA], heated[tempB])
		}
		t.Logf("%s: healthy %.1f, overheating %.1f", name, healthy, heated)
	}
}

// residualDrift fits a prediction of all six sensors from the last two rows on
// the first fitted rows, and returns the largest moving average of its
// residuals on the rest, per sensor, in the average's standard deviations.
func residualDrift(columns [6][]float64, fitted int) [6]float64 {
	row := func(at int) []float64 {
		y := make([]float64, len(columns))
		for i := range columns {
			y[i] = columns[i][at]
		}
		return y
	}
	features := func(at int) []float64 { return append(append([]float64{1}, row(at-1)...), row(at-2)...) }
	var sum leastSquares
	for at := 2; at < fitted; at++ {
		sum.add(features(at), row(at))
	}
	weights := sum.solve(1e-3)
	var average, square, drift [6]float64
	for at := 2; at < len(columns[0]); at++ {
		x, y := features(at), row(at)
		for i := range y {
			residual := y[i] - dot(weights[i], x)
			average[i] += (residual - average[i]) / 20
			if at < fitted {
				square[i] += sq(residual) / float64(fitted) / 39 // of the average of such noise
				continue
			}
			drift[i] = max(drift[i], math.Abs(average[i])/math.Sqrt(square[i]))
		}
	}
	return drift
}

// The forecast's look-back and horizon, in rows.
const (
	back  = 50
	ahead = 10
)

// A linearForecast predicts what comes after a window, less the window's mean.
type linearForecast struct{ weights [][]float64 } // (ahead, back)

func fitForecast(column []float64) linearForecast {
	var sum leastSquares
	for at := back; at+ahead <= len(column); at++ {
		mean, x := centred(column[at-back : at])
		y := make([]float64, ahead)
		for step := range y {
			y[step] = column[at+step] - mean
		}
		sum.add(x, y)
	}
	return linearForecast{sum.solve(1e-3)}
}

func (f linearForecast) predict(window []float64) []float64 {
	mean, x := centred(window)
	y := make([]float64, ahead)
	for step := range y {
		y[step] = mean + dot(f.weights[step], x)
	}
	return y
}

func centred(window []float64) (mean float64, x []float64) {
	for _, v := range window {
		mean += v / float64(len(window))
	}
	for _, v := range window {
		x = append(x, v-mean)
	}
	return mean, x
}

// leastSquares gathers normal equations for many targets at once.
type leastSquares struct{ gram, target [][]float64 } // (k, k), (k, targets)

func (s *leastSquares) add(x, y []float64) {
	if s.gram == nil {
		for range x {
			s.gram = append(s.gram, make([]float64, len(x)))
			s.target = append(s.target, make([]float64, len(y)))
		}
	}
	for i, a := range x {
		for j, b := range x[:i+1] {
			s.gram[i][j] += a * b
		}
		for j, b := range y {
			s.target[i][j] += a * b
		}
	}
}

// solve returns the weights of each target, by Cholesky's decomposition.
func (s *leastSquares) solve(ridge float64) [][]float64 {
	k := len(s.gram)
	for i := range k {
		s.gram[i][i] += ridge
		for j := 0; j <= i; j++ {
			sum := s.gram[i][j] - dot(s.gram[i][:j], s.gram[j][:j])
			if i == j {
				s.gram[i][i] = math.Sqrt(sum)
			} else {
				s.gram[i][j] = sum / s.gram[j][j]
			}
		}
	}
	weights := make([][]float64, len(s.target[0]))
	for t := range weights {
		w := make([]float64, k)
		for i := range k {
			w[i] = (s.target[i][t] - dot(s.gram[i][:i], w[:i])) / s.gram[i][i]
		}
		for i := k - 1; i >= 0; i-- {
			for j := i + 1; j < k; j++ {
				w[i] -= s.gram[j][i] * w[j]
			}
			w[i] /= s.gram[i][i]
		}
		weights[t] = w
	}
	return weights
}

func dot(a, b []float64) float64 {
	var sum float64
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func sq(x float64) float64 { return x * x }
