package verdict

import (
	"math"
	"slices"
	"time"

	"fettle"
)

// lags is how many past rows the one-step prediction looks at.
const lags = 5

// MaxSensors bounds the sensors that are judged together. The arithmetic of a
// row grows with their square, that of a fit with their cube; 64 also lets one
// word tell which of them are silent.
const MaxSensors = 64

// A model is what a fit has learned about d sensors of one machine. It never
// changes once made, so it may be shared.
type model struct {
	sensors []string      // (d), ascending
	mean    []float64     // (d), in the sensor's unit
	scale   []float64     // (d), one standard deviation, in the sensor's unit
	weights []float64     // (d, 5d+1): the row of a sensor times the features predicts it, scaled
	inverse []float64     // (d, d): inverse covariance of the residuals times 39/d
	usual   []fettle.Span // (d): the range of nearly all readings fitted on
	habit   []int         // (d): rows that a sensor usually lets pass between two words, 1 = speaks in every row
	step    time.Duration // from row to row, usually
	gap     time.Duration // rows farther apart do not belong together
	rows    int           // rows fitted on
	caution float64       // by how much the model exaggerates, having seen so few rows; 1 or more
}

// A model is seasoned, and taken at its word, once it has been fitted on this
// many rows, and this many for each sensor that moves. One that has seen fewer
// takes everything that is slower than those rows for a change: of stretches
// without a fault, fitted on 120 rows, most exceed the limit within the next
// 120. And one of many sensors, which has five weights for each pair of them,
// has learned the rows by heart: 24 sensors that drift were in alarm for half
// an hour. So it is believed in proportion.
const (
	seasonedRows          = 400
	seasonedRowsPerSensor = 50
)

// beCautious sets the caution of a model that is complete otherwise.
func (m *model) beCautious() {
	moving := 0
	for _, usual := range m.usual {
		if usual.Low < usual.High {
			moving++
		}
	}
	m.caution = max(1, float64(max(seasonedRows, seasonedRowsPerSensor*moving))/float64(m.rows))
}

func (m *model) dims() int { return len(m.sensors) }

// features is the length of the feature vector of d sensors: the last rows, the
// newest first, and a constant.
func features(d int) int { return lags*d + 1 }

// index finds a sensor's place in the model.
func (m *model) index(sensor string) (int, bool) { return slices.BinarySearch(m.sensors, sensor) }

// knowsMoreThan tells whether the model has a sensor that another has not.
func (m *model) knowsMoreThan(other *model) bool {
	return slices.ContainsFunc(m.sensors, func(sensor string) bool {
		_, known := other.index(sensor)
		return !known
	})
}

// farthest bounds a scaled reading, in standard deviations. Nothing is learned
// from a number beyond it, and one absurd number (a unit that jumped, a broken
// converter) would otherwise be an alarm for hours.
const farthest = 100

// scaled is a sensor's reading in standard deviations from its mean.
func (m *model) scaled(j int, value float64) float64 {
	return min(max((value-m.mean[j])/m.scale[j], -farthest), farthest)
}

// unscaled is the way back.
func (m *model) unscaled(j int, z float64) float64 { return m.mean[j] + z*m.scale[j] }

// floorScale keeps a sensor that hardly moves from being judged in fractions of
// nothing.
func floorScale(deviation, largest float64) float64 {
	return max(deviation, 1e-3*largest, 1e-9)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
