package forecast

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"fettle"
)

const (
	ridgeName   = "ridge.json"
	ridgeFormat = 1
	// maxRidge bounds ridge.json, in bytes: 256 sensors need 200 KB.
	maxRidge = 16 << 20
)

// A ridge is one matrix that forecasts every sensor of a machine, and what is
// known of each sensor: ridge.json in a model's folder.
type ridge struct {
	Format      int           `json:"format"`
	Context     int           `json:"context"`
	Horizon     int           `json:"horizon"`
	StepSeconds float64       `json:"step_seconds"`
	Penalty     float64       `json:"lambda"`
	Weights     [][]float64   `json:"weights"` // (horizon, context), on a window less its own mean
	Sensors     []ridgeSensor `json:"sensors"` // sorted by name

	StoredRows int64         `json:"stored_rows"` // rows of the machine when it was fitted; the next fit is due at twice as many
	FittedRows int64         `json:"fitted_rows"` // rows it was fitted to
	From       time.Time     `json:"from"`        // event times of the oldest and the newest of these
	Until      time.Time     `json:"until"`
	HeldOut    heldOutReport `json:"held_out"`
}

// A ridgeSensor is one sensor of a ridge. Median and Scale are those of the
// fit; a forecast needs neither.
type ridgeSensor struct {
	Name   string      `json:"name"`
	Median float64     `json:"median"`
	Scale  float64     `json:"iqr"`
	Span   fettle.Span `json:"span"`
	band
}

// A heldOutReport says how the weights fitted to the older 80 % of the rows did
// on the windows of the newest 20 %, in squares of scaled values.
type heldOutReport struct {
	Windows int     `json:"windows"`
	MSE     float64 `json:"mse"`
	yardsticks
}

// save writes ridge.json into a model's folder.
func (r *ridge) save(folder string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", ridgeName, err)
	}
	return os.WriteFile(filepath.Join(folder, ridgeName), append(data, '\n'), 0o644)
}

// openRidge reads ridge.json from a model's folder.
func openRidge(folder string) (*ridge, error) {
	file, err := os.Open(filepath.Join(folder, ridgeName))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := readRidge(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return r, nil
}

func readRidge(from io.Reader) (*ridge, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxRidge+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRidge {
		return nil, fettle.Errorf(fettle.Invalid, "file is larger than %d bytes", maxRidge)
	}
	r := new(ridge)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "%w", err)
	}
	return r, r.check()
}

// check refuses a ridge that could not forecast: folders of models are there to
// be copied and edited.
func (r *ridge) check() error {
	bad := func(field string, value any, expected string) error {
		return fettle.BadField("bad ridge", field, fmt.Sprint(value), expected)
	}
	switch {
	case r.Format != ridgeFormat:
		return bad("format", r.Format, fmt.Sprint(ridgeFormat))
	case r.Context < 2 || r.Context > maxContext:
		return bad("context", r.Context, fmt.Sprintf("2..%d rows", maxContext))
	case r.Horizon < 1 || r.Horizon > maxContext:
		return bad("horizon", r.Horizon, fmt.Sprintf("1..%d steps", maxContext))
	case !(r.StepSeconds > 0) || r.StepSeconds > maxStep.Seconds():
		return bad("step_seconds", r.StepSeconds, fmt.Sprintf("above 0, at most %.0f", maxStep.Seconds()))
	case len(r.Weights) != r.Horizon:
		return bad("weights", fmt.Sprintf("%d rows", len(r.Weights)), "one for each of the horizon's steps")
	case len(r.Sensors) == 0 || len(r.Sensors) > maxSensors:
		return bad("sensors", fmt.Sprintf("a list of %d", len(r.Sensors)), fmt.Sprintf("1..%d", maxSensors))
	}
	for h, row := range r.Weights {
		if len(row) != r.Context {
			return bad(fmt.Sprintf("weights[%d]", h), fmt.Sprintf("%d numbers", len(row)), "one for each row of the context")
		}
	}
	for i, s := range r.Sensors {
		if s.Name == "" || i > 0 && s.Name <= r.Sensors[i-1].Name {
			return bad(fmt.Sprintf("sensors[%d].name", i), s.Name, "names, sorted, each once")
		}
		if n := len(s.Below); n != len(s.Above) || n != 0 && n != r.Horizon {
			return bad(fmt.Sprintf("sensors[%d]", i), fmt.Sprintf("a band of %d and %d numbers", n, len(s.Above)), "two for each of the horizon's steps, or none")
		}
	}
	return nil
}

// names lists the sensors.
func (r *ridge) names() []string {
	names := make([]string, len(r.Sensors))
	for i, s := range r.Sensors {
		names[i] = s.Name
	}
	return names
}

// finite tells whether all values are numbers that JSON can carry.
func finite(values []float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
