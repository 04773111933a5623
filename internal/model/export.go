package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fettle"
	"fettle/internal/rename"
)

// ExportOptions say what an exported folder is for.
type ExportOptions struct {
	Sklearn string // version of scikit-learn that will read the scaler; "": SklearnVersion
}

// Export copies a version to a new folder for others to use, whole or not at
// all: config.json and model.safetensors as transformers reads them, the scaler
// as a pickle that scikit-learn reads (scaler.pkl) and as JSON (scaler.json),
// and the card. A ridge is ridge.json and its card. The folder can be imported
// again, anywhere.
func (f *Folder) Export(name, dir string, o ExportOptions) (string, error) {
	dir, err := f.export(name, dir, o)
	if err != nil {
		return "", fmt.Errorf("export model %s: %w", name, err)
	}
	return dir, nil
}

func (f *Folder) export(name, dir string, o ExportOptions) (_ string, err error) {
	v, found := f.Get(name)
	if !found {
		return "", fettle.Errorf(fettle.NotFound, "there is no such version")
	}
	if dir == "" {
		dir = name
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if filepath.Dir(dir) == f.dir {
		return "", fettle.Errorf(fettle.Invalid, "%s is in the folder of models; export to somewhere else", dir)
	}
	if err := Free(dir); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), temporaryPrefix)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }() // after the rename there is nothing left
	if err := errors.Join(os.Chmod(made, 0o755), v.copyTo(made, o), syncTree(made)); err != nil {
		return "", err
	}
	if err := rename.To(made, dir); err != nil {
		return "", err
	}
	return dir, syncFolder(filepath.Dir(dir))
}

// copyTo writes a version's files into an empty folder.
func (v Version) copyTo(dir string, o ExportOptions) error {
	c, err := readCard(v.Dir)
	if err != nil {
		return err
	}
	// What the folder that it comes from had to guess, its card says.
	c.Machine, c.Family, c.Sensors, c.Created = v.Machine, v.Family, v.Sensors, v.Created
	c.Context, c.Horizon, c.Parameters, c.Enters = v.Context, v.Horizon, v.Parameters, ""
	if c.SHA256 == "" {
		if c.SHA256, err = hashFile(filepath.Join(v.Dir, weightsOf(v.Family))); err != nil {
			return err
		}
	}
	if err := writeCard(dir, c); err != nil {
		return err
	}
	if v.Family == Ridge {
		return copyFile(filepath.Join(dir, ridgeFile), filepath.Join(v.Dir, ridgeFile), limitOf(ridgeFile))
	}
	for _, name := range []string{configFile, weightsFile, generationFile} {
		err := copyFile(filepath.Join(dir, name), filepath.Join(v.Dir, name), limitOf(name))
		if err != nil && !(name == generationFile && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	text, err := encodeJSON(v.Scaler)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, scalerJSON), text, 0o644),
		os.WriteFile(filepath.Join(dir, scalerPickle), v.Scaler.Pickle(o.Sklearn), 0o644))
}

// Details are all that is known of a version.
type Details struct {
	fettle.Model
	Source   string    `json:"source,omitempty" doc:"Where it came from"`
	SHA256   string    `json:"sha256,omitempty" doc:"Of its weights"`
	Training *Training `json:"training,omitempty" doc:"How it came about, if its card says so"`
	Files    []string  `json:"files" doc:"Files of its folder"`
	History  []Decided `json:"history" doc:"What was decided about it, oldest first"`
}

// Details of a usable version.
func (f *Folder) Details(name string) (Details, error) {
	v, found := f.Get(name)
	if !found {
		f.mu.RLock()
		e, known := f.entries[name]
		f.mu.RUnlock()
		if known {
			return Details{}, fettle.Errorf(fettle.Conflict, "model %s cannot be used: %w", name, e.err)
		}
		return Details{}, fettle.Errorf(fettle.NotFound, "there is no model %s", name)
	}
	d := Details{Model: v.Model, Source: v.Source, SHA256: v.SHA256, Training: v.Training, Files: []string{}, History: []Decided{}}
	entries, err := os.ReadDir(v.Dir)
	if err != nil {
		return Details{}, fmt.Errorf("look at model %s: %w", name, err)
	}
	for _, entry := range entries {
		d.Files = append(d.Files, entry.Name())
	}
	for _, one := range f.History(v.Machine) {
		if one.Model == name || one.Before == name {
			d.History = append(d.History, one)
		}
	}
	return d, nil
}
