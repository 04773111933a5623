package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/patchtst"
)

// A Champion is the version that serves so far, as its folder has it: a new
// model has to beat it on the same windows.
type Champion struct {
	Name    string   `json:"name"`
	Family  string   `json:"family"`
	Sensors []string `json:"sensors"`
	Files   []File   `json:"files"`

	dir string // where Files were written to
}

// champion makes a contender of the version that serves. It must forecast the
// same sensors over the same horizon.
func (s *Set) champion(c *Champion, size Size) (contender, error) {
	if c.Family == model.Ridge {
		return contender{}, errors.New("a ridge is fitted anew every day, so the one fitted to the rows before stands for it")
	}
	network, err := patchtst.Load(c.dir)
	if err != nil {
		return contender{}, err
	}
	scaler, err := readScaler(c.dir)
	if err != nil {
		return contender{}, err
	}
	config := network.Config()
	places, same := s.placesOf(c.Sensors)
	switch {
	case !same:
		return contender{}, errors.New(otherSensors(c.Sensors, s.Sensors))
	case config.Channels != s.Channels(), scaler.Width() != s.Channels():
		return contender{}, fmt.Errorf("it forecasts the sensors %q, not %q", c.Sensors, s.Sensors)
	case config.ContextLength > size.Context || config.PredictionLength < size.Horizon:
		return contender{}, fmt.Errorf("it looks back %d rows and ahead %d, not %d and %d", config.ContextLength, config.PredictionLength, size.Context, size.Horizon)
	}
	return contender{ChampionName, s.translated(network, scaler, places, size)}, nil
}

// otherSensors says how a champion's sensors differ from those of its challenger.
func otherSensors(theirs, ours []string) string {
	without := func(list, other []string) string {
		var rest []string
		for _, sensor := range list {
			if !slices.Contains(other, sensor) {
				rest = append(rest, sensor)
			}
		}
		if len(rest) > 5 {
			rest = append(rest[:5], fmt.Sprintf("%d more", len(rest)-5))
		}
		return strings.Join(rest, ", ")
	}
	lacks, has := without(ours, theirs), without(theirs, ours)
	switch {
	case lacks != "" && has != "":
		return "it forecasts other sensors: " + has + ", but not " + lacks
	case lacks != "":
		return "it does not forecast " + lacks
	case has != "":
		return "it also forecasts " + has
	default:
		return "it forecasts a sensor twice"
	}
}

// placesOf is where each of a model's sensors is among the set's, if they are
// the same ones: a model of the old system has an order of its own.
func (s *Set) placesOf(sensors []string) (places []int, same bool) {
	for _, sensor := range sensors {
		places = append(places, slices.Index(s.Sensors, sensor))
	}
	return places, len(sensors) == s.Channels() && !slices.Contains(places, -1)
}

func readScaler(dir string) (model.Scaler, error) {
	for _, name := range []string{"scaler.json", "scaler.pkl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return model.ReadScaler(filepath.Join(dir, name))
		}
	}
	return model.Scaler{}, errors.New("it has no scaler")
}

// translated forecasts with a network that was trained in other units than the
// set's, and has the set's sensors at other places.
func (s *Set) translated(network *patchtst.Model, scaler model.Scaler, places []int, size Size) func(ahead, window []float32, observed []bool) {
	channels, skip := s.Channels(), size.Context-network.Config().ContextLength
	return func(ahead, window []float32, observed []bool) {
		theirs := make([]float32, len(window)-skip*channels)
		var seen []bool
		if observed != nil {
			seen = make([]bool, len(theirs))
		}
		for i := range theirs {
			theirChannel := i % channels
			ours := places[theirChannel]
			at := (skip+i/channels)*channels + ours
			scaled := scaler.Transform(theirChannel, s.Scaler.Inverse(ours, float64(window[at])))
			if !scaler.Unclipped {
				scaled = max(0, min(1, scaled))
			}
			theirs[i] = float32(scaled)
			if seen != nil {
				seen[i] = observed[at]
			}
		}
		for i, v := range network.ForwardBatch(nil, theirs, seen)[:len(ahead)] {
			theirChannel := i % channels
			ours := places[theirChannel]
			ahead[i-theirChannel+ours] = float32(s.Scaler.Transform(ours, scaler.Inverse(theirChannel, float64(v))))
		}
	}
}

// readingsOf yields the whole lines of a series as readings, in scaled units,
// which are valid during the call only: what a ridge is fitted to. Gaps are far
// apart in time.
func (s *Set) readingsOf(part patchtst.Series) forecast.Rows {
	channels := s.Channels()
	return func(from time.Time, yield func(fettle.Reading) error) error {
		var values []fettle.Value
		at := s.From
		for line := range len(part.Values) / channels {
			at = at.Add(s.Step)
			values = values[:0]
			for c, v := range part.Values[line*channels : (line+1)*channels] {
				if !math.IsNaN(float64(v)) {
					values = append(values, fettle.Value{Sensor: s.Sensors[c], Value: float64(v)})
				}
			}
			if len(values) == 0 {
				at = at.Add(10 * s.Step)
				continue
			}
			if at.Before(from) {
				continue
			}
			if err := yield(fettle.Reading{Machine: s.Machine, Time: at, Values: values}); err != nil {
				return err
			}
		}
		return nil
	}
}
