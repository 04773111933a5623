package patchtst

import "math"

// A window is the L rows that a forecast looks at: (L, C), oldest row first.
// observed, of the same shape, says which of the numbers were measured; nil
// means all.
type window struct {
	values   []float32
	observed []bool
}

// has says whether the number at is measured.
func (w window) has(at int) bool { return w.observed == nil || w.observed[at] }

// The smallest variance and the smallest mean that a scaler divides by; they
// are transformers' own.
const (
	smallestVariance = 1e-5
	smallestMean     = 1e-10
)

// scaleWindow finds the units in which the encoder sees each channel, and
// writes the window in them into scaled (L, C): (x - center) / scale. "none"
// leaves the units alone. "std" is instance normalisation, by the measured
// numbers of the window; "mean" divides by their mean absolute value, and
// where a channel has none of them by the fallback (C). Numbers that were not
// measured are scaled like the others. No gradient goes through here: the
// window is data.
func scaleWindow(scaled []float32, center, scale []float32, w window, scaling string, fallback []float64) {
	channels := len(center)
	for c := range channels {
		center[c], scale[c] = 0, 1
		switch scaling {
		case "std":
			center[c], scale[c] = standard(w, c, channels)
		case "mean":
			sum, count := absolute(w, c, channels)
			mean := sum / float64(count)
			if count == 0 {
				mean = fallback[c]
			}
			scale[c] = float32(max(mean, smallestMean))
		}
		for at := c; at < len(w.values); at += channels {
			scaled[at] = (w.values[at] - center[c]) / scale[c]
		}
	}
}

// standard is the mean of a channel's measured numbers, and their standard
// deviation.
func standard(w window, channel, channels int) (mean, deviation float32) {
	var sum, squares float64
	count := 0
	for at := channel; at < len(w.values); at += channels {
		if w.has(at) {
			sum += float64(w.values[at])
			count++
		}
	}
	n := float64(max(count, 1))
	center := sum / n
	for at := channel; at < len(w.values); at += channels {
		if w.has(at) {
			d := float64(w.values[at]) - center
			squares += d * d
		}
	}
	return float32(center), float32(math.Sqrt(squares/n + smallestVariance))
}

// absolute is the sum of the absolute values of a channel's measured numbers,
// and how many they are.
func absolute(w window, channel, channels int) (sum float64, count int) {
	for at := channel; at < len(w.values); at += channels {
		if w.has(at) {
			sum += math.Abs(float64(w.values[at]))
			count++
		}
	}
	return sum, count
}

// batchMeans is the fallback of the scaling "mean": each channel's mean
// absolute value over all windows of a batch. Only masks can make it needed.
func batchMeans(means []float64, windows int, at func(i int) window) {
	channels := len(means)
	for c := range means {
		total, seen := 0.0, 0
		for i := range windows {
			sum, count := absolute(at(i), c, channels)
			total, seen = total+sum, seen+count
		}
		means[c] = total / float64(max(seen, 1))
	}
}
