package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fettle"
)

// ImportOptions say what a folder to import does not.
type ImportOptions struct {
	Machine string   // "" takes it from the folder's name
	Sensors []string // nil takes them from the card, the scaler, or the old system's six
	Scaler  string   // path; "" finds it inside the folder or, as the old system left it, beside

	Forecaster string // "" takes it from the card, else fettle.ShortForecaster
	Challenger bool   // it waits to be promoted, instead of serving at once
}

// Import copies a version from elsewhere: a folder that transformers wrote with
// its scaler, or one of another fettle. It appears once it has been copied and
// checked whole; if anything fails nothing of it stays. A folder named
// model_<machine>_<YYYYMMDD_HHMMSS> keeps machine and stamp; the stamp moves to
// the next second that is free. Links are not followed, and files other than a
// model's own stay where they are.
func (f *Folder) Import(src string, o ImportOptions) (fettle.Model, error) {
	m, err := f.importFolder(src, o)
	if err != nil {
		return fettle.Model{}, fmt.Errorf("import %s: %w", src, err)
	}
	return m, nil
}

func (f *Folder) importFolder(src string, o ImportOptions) (m fettle.Model, err error) {
	src, err = filepath.Abs(src)
	if err != nil {
		return m, err
	}
	info, err := os.Stat(src)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, fettle.Errorf(fettle.NotFound, "there is no such folder")
	case err != nil:
		return m, err
	case !info.IsDir():
		return m, fettle.Errorf(fettle.Invalid, "it is no folder; expected one with %s and %s", configFile, weightsFile)
	case filepath.Dir(src) == f.dir:
		return m, fettle.Errorf(fettle.Conflict, "it is in the folder of models already")
	}
	c, err := readCard(src)
	if err != nil {
		return m, err
	}
	machine, stamp, named := parseName(filepath.Base(src))
	if !named {
		stamp = f.now()
	}
	switch {
	case o.Machine != "":
		c.Machine = o.Machine
	case named:
		c.Machine = machine
	case c.Machine == "":
		return m, fettle.Errorf(fettle.Invalid, "the folder's name is not model_<machine>_<YYYYMMDD_HHMMSS>, and nothing else names the machine: give it (--machine)")
	}
	if len(o.Sensors) > 0 {
		c.Sensors = o.Sensors
	}
	if o.Forecaster != "" {
		c.Forecaster = o.Forecaster
	}
	if c.Enters = ""; o.Challenger {
		c.Enters = entersChallenger
	}
	if c.Source == "" {
		c.Source = "imported from " + filepath.Base(src)
	}
	return f.add(c, stamp, func(dir string) error { return copyVersion(dir, src, c, o.Scaler) })
}

// copyVersion copies a version's own files out of a folder.
func copyVersion(dir, src string, c card, scaler string) error {
	if c.Family == "" {
		family, err := findFamily(src)
		if err != nil {
			return err
		}
		c.Family = family
	}
	if c.Family == Ridge {
		return copyFile(filepath.Join(dir, ridgeFile), filepath.Join(src, ridgeFile), limitOf(ridgeFile))
	}
	// generation_config.json belongs to what transformers saves, but not every
	// version of it writes one.
	for _, name := range []string{configFile, weightsFile, generationFile} {
		err := copyFile(filepath.Join(dir, name), filepath.Join(src, name), limitOf(name))
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == weightsFile:
			return fettle.Errorf(fettle.Invalid, "the folder holds no %s; weights in other formats are not read: save the model anew with save_pretrained(safe_serialization=True)", weightsFile)
		case errors.Is(err, fs.ErrNotExist) && name != configFile:
		case err != nil:
			return err
		}
	}
	return copyScaler(dir, src, scaler)
}

// copyScaler copies the scaler given, else the one that belongs to the folder.
func copyScaler(dir, src, given string) error {
	from := given
	if from == "" {
		beside := filepath.Join(filepath.Dir(src), scalerBeside(filepath.Base(src)))
		if from = scalerOf(src, beside); from == "" {
			return fettle.Errorf(fettle.Invalid, "there is no scaler: neither %s nor %s in the folder, nor %s beside it; give its path (--scaler)", scalerJSON, scalerPickle, filepath.Base(beside))
		}
	}
	to := scalerPickle
	if strings.EqualFold(filepath.Ext(from), ".json") {
		to = scalerJSON
	}
	return copyFile(filepath.Join(dir, to), from, maxScaler)
}
