package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"fettle"
)

// The files of a version.
const (
	cardFile     = "fettle.json"
	configFile   = "config.json"
	weightsFile  = "model.safetensors"
	ridgeFile    = "ridge.json"
	scalerJSON   = "scaler.json"
	scalerPickle = "scaler.pkl"

	generationFile = "generation_config.json"
)

// The families of models.
const (
	Ridge    = "ridge"
	PatchTST = "patchtst"
)

// maxCard is the most of a card that is read, in bytes.
const maxCard = 4 << 20

// A card is fettle.json: what a version's other files do not say. Whatever is
// absent is taken from them; whatever is there must agree with them. Keys that
// this version does not know are left alone: a newer fettle may have written
// them.
type card struct {
	Machine     string    `json:"machine,omitempty"`
	Forecaster  string    `json:"forecaster,omitempty"` // absent: fettle.ShortForecaster
	Family      string    `json:"family,omitempty"`
	Created     time.Time `json:"created,omitzero"` // for people; the name's stamp is what counts
	Sensors     []string  `json:"sensors,omitempty"`
	Context     int       `json:"context,omitempty"`
	Horizon     int       `json:"horizon,omitempty"`
	StepSeconds float64   `json:"step_seconds,omitempty"`
	TrainedRows int64     `json:"trained_rows,omitempty"`
	Parameters  int       `json:"parameters,omitempty"`
	Source      string    `json:"source,omitempty"` // where it came from, for people
	SHA256      string    `json:"sha256,omitempty"` // of the weights, in hex
	Enters      string    `json:"enters,omitempty"` // how it joins those that are there; absent: it serves at once
	Training    *Training `json:"training,omitempty"`

	others map[string]json.RawMessage // keys that a newer version wrote
}

// The ways in which a version joins those of its machine and forecaster. One
// that says nothing was put there by somebody who wants it to serve.
const (
	entersChallenger = "challenger" // waits to be promoted
	entersRefit      = "refit"      // follows a ridge, never a PatchTST
)

// Training says how a version came about.
type Training struct {
	From       time.Time         `json:"from" doc:"Event time of the first reading that it learned from"`
	Until      time.Time         `json:"until" doc:"Event time of the last one"`
	Preset     string            `json:"preset,omitempty" doc:"Name of its configuration, if it has one"`
	Settings   any               `json:"settings,omitempty" doc:"What it was trained with: rate, batch, epochs"`
	Seed       uint64            `json:"seed,omitempty"`
	LeftOut    []fettle.Interval `json:"left_out,omitempty" doc:"Stretches of event time that were in quarantine: alarms, silences, faulty sensors"`
	Parent     string            `json:"parent,omitempty" doc:"Version that it started from, or was to beat"`
	StartedBy  string            `json:"started_by,omitempty" doc:"Schedule, drift, or who asked for it"`
	Seconds    float64           `json:"seconds,omitempty" doc:"How long it took, by the wall clock"`
	Engine     string            `json:"engine,omitempty" doc:"What it was computed with: version and kernels"`
	Scaling    string            `json:"scaling,omitempty" doc:"Unit of the scores, such as minmax or robust"`
	Scores     []Score           `json:"scores,omitempty" doc:"Its errors beside the yardsticks', on the same windows that it did not learn from"`
	ScoredFrom time.Time         `json:"scored_from,omitzero" doc:"Event time of the first of those readings"`
}

// A Score is the error of one forecaster on held-out windows, in scaled units.
type Score struct {
	Name    string  `json:"name" doc:"patchtst or ridge, and the yardsticks: ridge, seasonal naive, last value"`
	MSE     float64 `json:"mse"`
	MAE     float64 `json:"mae"`
	Windows int     `json:"windows"`
}

// readCard reads a folder's card; a folder without one has an empty card.
func readCard(dir string) (card, error) {
	path := filepath.Join(dir, cardFile)
	data, err := readFile(path, maxCard)
	if errors.Is(err, fs.ErrNotExist) {
		return card{}, nil
	}
	if err != nil {
		return card{}, fmt.Errorf("read card: %w", err)
	}
	c, err := parseCard(data)
	if err != nil {
		return card{}, fettle.Errorf(fettle.Invalid, "read card %s: %w", path, err)
	}
	return c, nil
}

func parseCard(data []byte) (card, error) {
	var c card
	if err := json.Unmarshal(data, &c); err != nil {
		return card{}, err
	}
	if err := json.Unmarshal(data, &c.others); err != nil {
		return card{}, err
	}
	for _, known := range cardKeys() {
		delete(c.others, known)
	}
	return c, c.check()
}

// check refuses values that could be true of no model.
func (c card) check() error {
	if c.Family != "" && c.Family != Ridge && c.Family != PatchTST {
		return fettle.BadField("bad model card", "family", c.Family, "ridge or patchtst")
	}
	if c.Enters != "" && c.Enters != entersChallenger && c.Enters != entersRefit {
		return fettle.BadField("bad model card", "enters", c.Enters, "challenger, refit or nothing")
	}
	if len(c.Forecaster) > fettle.MaxName || strings.ContainsFunc(c.Forecaster, unicode.IsControl) {
		return fettle.BadField("bad model card", "forecaster", c.Forecaster, fmt.Sprintf("at most %d bytes without control characters", fettle.MaxName))
	}
	if len(c.Sensors) > fettle.MaxSensors {
		return fettle.BadField("bad model card", "sensors", fmt.Sprint(len(c.Sensors), " names"), fmt.Sprint("at most ", fettle.MaxSensors))
	}
	for i, sensor := range c.Sensors {
		field := fmt.Sprintf("sensors[%d]", i)
		if sensor == "" || len(sensor) > fettle.MaxName {
			return fettle.BadField("bad model card", field, sensor, fmt.Sprintf("1 to %d bytes", fettle.MaxName))
		}
		if slices.Contains(c.Sensors[:i], sensor) {
			return fettle.BadField("bad model card", field, sensor, "each sensor once")
		}
	}
	for _, n := range []struct {
		field string
		value float64
	}{
		{"context", float64(c.Context)}, {"horizon", float64(c.Horizon)}, {"step_seconds", c.StepSeconds},
		{"trained_rows", float64(c.TrainedRows)}, {"parameters", float64(c.Parameters)},
	} {
		if n.value < 0 || math.IsInf(n.value, 0) || math.IsNaN(n.value) {
			return fettle.BadField("bad model card", n.field, fmt.Sprint(n.value), "a number that is not negative")
		}
	}
	return nil
}

// cardKeys are the keys that this version knows.
func cardKeys() []string {
	t := reflect.TypeFor[card]()
	var keys []string
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// encode writes the card as a person would like to read it, with the keys of a
// newer version behind its own.
func (c card) encode() ([]byte, error) {
	text, err := encodeJSON(c)
	if err != nil || len(c.others) == 0 {
		return text, err
	}
	others, err := encodeJSON(c.others)
	if err != nil {
		return nil, err
	}
	own, rest := bytes.TrimSpace(text), bytes.TrimSpace(others)
	joined := append(own[:len(own)-1:len(own)-1], ',')
	if len(own) == len("{}") {
		joined = joined[:len(joined)-1]
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, append(joined, rest[1:]...), "", "  ")
	return append(indented.Bytes(), '\n'), err
}

// encodeJSON writes a file for people, too.
func encodeJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return text.Bytes(), err
}
