package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"fettle"
)

// A Scaler maps each channel between its own unit and the range that its model
// was trained on, as scikit-learn's MinMaxScaler does. All lists are
// (channels).
type Scaler struct {
	DataMin      []float64 `json:"data_min"` // smallest and largest value seen while fitting, own unit
	DataMax      []float64 `json:"data_max"`
	Scale        []float64 `json:"scale"` // scaled = value * Scale + Min
	Min          []float64 `json:"min"`
	FeatureNames []string  `json:"feature_names,omitempty"` // the channels' names, if the fit knew them

	// Unclipped tells that the model was trained on what left the range of the
	// fit, too. The old system's models were not, and see it cut to 0..1.
	Unclipped bool `json:"unclipped,omitempty"`
}

// Width counts the channels.
func (s *Scaler) Width() int { return len(s.Scale) }

// Transform scales a value of a channel; values that the fit never saw leave
// the range, they are not clipped. The product is rounded before the sum, as
// numpy does it: (value-min)/range would differ in the last bit, and so would
// a fused multiply-add.
func (s *Scaler) Transform(channel int, value float64) float64 {
	return float64(value*s.Scale[channel]) + s.Min[channel]
}

// Inverse turns a scaled value of a channel back into the channel's unit.
func (s *Scaler) Inverse(channel int, scaled float64) float64 {
	return (scaled - s.Min[channel]) / s.Scale[channel]
}

// maxScaler is the most of a scaler's file that is read, in bytes.
const maxScaler = 1 << 20

// ReadScaler reads a fitted MinMaxScaler: scikit-learn's own pickle, by
// pickle or joblib, or JSON with the keys of Scaler. Nothing in a pickle is executed, and one that names
// anything but a MinMaxScaler of numpy arrays is refused with that name.
func ReadScaler(path string) (Scaler, error) {
	data, err := readFile(path, maxScaler)
	if err != nil {
		return Scaler{}, fmt.Errorf("read scaler: %w", err)
	}
	s, err := parseScaler(data)
	if err != nil {
		return Scaler{}, fettle.Errorf(fettle.Invalid, "read scaler %s: %w", path, err)
	}
	return s, nil
}

func parseScaler(data []byte) (s Scaler, err error) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		err = json.Unmarshal(data, &s)
	} else {
		err = s.unpickle(data)
	}
	if err != nil {
		return Scaler{}, err
	}
	return s, s.check()
}

// check refuses a scaler that cannot map every channel there and back.
func (s *Scaler) check() error {
	width := len(s.Scale)
	if width == 0 || width > fettle.MaxSensors {
		return fmt.Errorf("scale has %d channels; expected 1 to %d", width, fettle.MaxSensors)
	}
	for _, list := range []struct {
		name   string
		values []float64
	}{{"scale", s.Scale}, {"min", s.Min}, {"data_min", s.DataMin}, {"data_max", s.DataMax}} {
		if len(list.values) != width {
			return fmt.Errorf("%s has %d channels; scale has %d", list.name, len(list.values), width)
		}
		for i, v := range list.values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%s of channel %d is %v; expected a number", list.name, i, v)
			}
		}
	}
	for i, v := range s.Scale {
		if v == 0 {
			return fmt.Errorf("scale of channel %d is 0; it could not be undone", i)
		}
	}
	if n := len(s.FeatureNames); n != 0 && n != width {
		return fmt.Errorf("feature_names has %d names; scale has %d channels", n, width)
	}
	return nil
}
