package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/patchtst"
)

// A Version is one usable version of a machine's model.
type Version struct {
	fettle.Model
	Dir    string  // its folder, with ridge.json, or config.json and model.safetensors
	Scaler *Scaler // PatchTST's; nil for ridge, which scales by itself

	Source   string    // where it came from, for people
	SHA256   string    // of the weights, in hex; "" if its card does not say
	Training *Training // how it came about; nil if its card does not say

	// Fingerprint changes whenever the version's files do, so that what was
	// loaded from them may be kept under (Name, Fingerprint).
	Fingerprint string

	enters string // how it joined the others, as in its card
}

// oldSensors are the channels of every model that the old system trained.
func oldSensors() []string {
	return []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}
}

// A reading says how closely a folder is looked at.
type reading int

const (
	whole    reading = iota // all of it
	outlined                // but for numbers that a hash in the card vouches for: whoever loads them checks it
)

// readVersion checks a folder and says which version it holds. name is the
// version's name, which a folder still being made does not bear yet; beside is
// where an old deployment has the scaler, "" if there is no such place.
func readVersion(dir, name, beside string, how reading) (Version, error) {
	machine, stamp, ok := parseName(name)
	if !ok {
		return Version{}, fettle.Errorf(fettle.Invalid, "the folder's name is not model_<machine>_<YYYYMMDD_HHMMSS>; rename it, or use fettle model import")
	}
	if err := checkFolder(dir); err != nil {
		return Version{}, err
	}
	c, err := readCard(dir)
	if err != nil {
		return Version{}, err
	}
	if c.Machine != "" && c.Machine != machine {
		return Version{}, fettle.BadField("bad model card", "machine", c.Machine, machine+", as in the folder's name")
	}
	v := Version{Dir: dir, Source: c.Source, SHA256: c.SHA256, Training: c.Training, enters: c.Enters, Model: fettle.Model{
		Name: name, Machine: machine, Forecaster: cmp.Or(c.Forecaster, fettle.ShortForecaster), Family: c.Family, Created: stamp,
		Sensors: c.Sensors, Context: c.Context, Horizon: c.Horizon,
		StepSeconds: c.StepSeconds, Parameters: c.Parameters, TrainedRows: c.TrainedRows,
	}}
	if v.Family == "" {
		if v.Family, err = findFamily(dir); err != nil {
			return Version{}, err
		}
	}
	if c.SHA256 == "" {
		how = whole
	}
	if v.Family == Ridge {
		err = v.completeRidge()
	} else {
		err = v.completePatchTST(beside, how)
	}
	if err == nil && how == whole {
		err = v.CheckWeights()
	}
	return v, err
}

// CheckWeights compares the weights with their hash in the card, if there is
// one. Of versions that were there when the folder was opened nobody has.
func (v Version) CheckWeights() error {
	return checkHash(filepath.Join(v.Dir, weightsOf(v.Family)), v.SHA256)
}

// weightsOf is the file whose hash stands in the card.
func weightsOf(family string) string {
	if family == Ridge {
		return ridgeFile
	}
	return weightsFile
}

// checkFolder refuses folders with entries that are no plain files of a
// bearable size. Folders inside are left alone.
func checkFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > maxEntries {
		return fettle.Errorf(fettle.Invalid, "%s has %d entries; at most %d are looked at", dir, len(entries), maxEntries)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		if err := checkFile(filepath.Join(dir, entry.Name()), limitOf(entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// findFamily tells a folder's family by the files in it.
func findFamily(dir string) (string, error) {
	switch {
	case exists(filepath.Join(dir, configFile)):
		return PatchTST, nil
	case exists(filepath.Join(dir, ridgeFile)):
		return Ridge, nil
	default:
		return "", fettle.Errorf(fettle.Invalid, "the folder holds neither %s nor %s", configFile, ridgeFile)
	}
}

// completeRidge checks what the card says; the rest of ridge.json is read by
// the package that wrote it.
func (v *Version) completeRidge() error {
	if err := checkFile(filepath.Join(v.Dir, ridgeFile), limitOf(ridgeFile)); err != nil {
		return err
	}
	if len(v.Sensors) == 0 || v.Context == 0 || v.Horizon == 0 {
		return fettle.Errorf(fettle.Invalid, "%s of a ridge model lacks sensors, context or horizon", cardFile)
	}
	return nil
}

// completePatchTST checks the model, reads its scaler, and fills in what the card
// left out.
func (v *Version) completePatchTST(beside string, how reading) error {
	config, parameters, err := patchtst.Inspect(v.Dir)
	if err == nil && how == whole {
		_, err = patchtst.Load(v.Dir)
	}
	if err != nil {
		return fettle.Errorf(fettle.Invalid, "%w", err)
	}
	for _, n := range []struct {
		field string
		card  *int
		net   int
	}{
		{"context", &v.Context, config.ContextLength},
		{"horizon", &v.Horizon, config.PredictionLength},
		{"parameters", &v.Parameters, parameters},
	} {
		if *n.card != 0 && *n.card != n.net {
			return fettle.BadField("bad model card", n.field, fmt.Sprint(*n.card), fmt.Sprintf("%d, as in %s", n.net, configFile))
		}
		*n.card = n.net
	}
	if v.Scaler, err = findScaler(v.Dir, beside); err != nil {
		return err
	}
	if v.Scaler.Width() != config.Channels {
		return fettle.Errorf(fettle.Invalid, "the scaler has %d channels; the model has %d", v.Scaler.Width(), config.Channels)
	}
	return v.nameSensors(config.Channels)
}

// nameSensors makes sure that every channel has a sensor: by the card, else as
// the scaler was fitted, else as the old system trained.
func (v *Version) nameSensors(channels int) error {
	switch {
	case len(v.Sensors) > 0:
	case len(v.Scaler.FeatureNames) > 0:
		v.Sensors = v.Scaler.FeatureNames
	case channels == len(oldSensors()):
		v.Sensors = oldSensors()
	default:
		return fettle.Errorf(fettle.Invalid, `nothing names the model's %d sensors: give them in the channels' order, by --sensors while importing, or as {"sensors": ["...", ...]} in the folder's %s`, channels, cardFile)
	}
	if len(v.Sensors) != channels {
		return fettle.Errorf(fettle.Invalid, "%d sensors are named (%s); the model has %d channels", len(v.Sensors), strings.Join(v.Sensors[:min(10, len(v.Sensors))], ", "), channels)
	}
	return card{Sensors: v.Sensors}.check()
}

// findScaler reads the scaler inside a folder, or the one beside it.
func findScaler(dir, beside string) (*Scaler, error) {
	path := scalerOf(dir, beside)
	if path == "" {
		missing := fmt.Sprintf("there is no scaler: neither %s nor %s in the folder", scalerJSON, scalerPickle)
		if beside != "" {
			missing += fmt.Sprintf(", nor %s beside it", filepath.Base(beside))
		}
		return nil, fettle.Errorf(fettle.Invalid, "%s", missing)
	}
	s, err := ReadScaler(path)
	return &s, err
}

// scalerOf is the path of a folder's scaler, "" if it has none.
func scalerOf(dir, beside string) string {
	paths := []string{filepath.Join(dir, scalerJSON), filepath.Join(dir, scalerPickle), beside}
	if i := slices.IndexFunc(paths, func(path string) bool { return path != "" && exists(path) }); i >= 0 {
		return paths[i]
	}
	return ""
}

// checkHash compares the weights with the card's hash, if it has one.
func checkHash(path, want string) error {
	if want == "" {
		return nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return err
	}
	if !strings.EqualFold(sum, want) {
		return fettle.Errorf(fettle.Invalid, "%s has SHA-256 %s; its card says %s: the file is damaged, or still being copied", filepath.Base(path), sum, fettle.Shorten(want))
	}
	return nil
}

// fingerprintOf sums up what a folder's files look like from outside: enough
// to see that one of them was replaced, without reading them.
func fingerprintOf(dir, beside string) string {
	var b strings.Builder
	look := func(path string) {
		info, err := os.Lstat(path)
		if err != nil {
			return
		}
		fmt.Fprintf(&b, "%s %v %d %s\n", filepath.Base(path), info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > maxEntries {
		look(dir)
		return b.String()
	}
	for _, entry := range entries {
		look(filepath.Join(dir, entry.Name()))
	}
	look(beside)
	sum := sha256.Sum256([]byte(b.String())) // a tenth of the text, which every version keeps
	return hex.EncodeToString(sum[:16])
}
