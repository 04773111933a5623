package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"time"

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
	return c, c.check()
}

// check refuses values that could be true of no model.
func (c card) check() error {
	if c.Family != "" && c.Family != Ridge && c.Family != PatchTST {
		return fettle.BadField("bad model card", "family", c.Family, "ridge or patchtst")
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

// encode writes the card as a person would like to read it.
func (c card) encode() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(c)
	return text.Bytes(), err
}
