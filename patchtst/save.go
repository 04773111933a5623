package patchtst

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"fettle/patchtst/safetensors"
)

// Save writes the model into a folder that Load and transformers'
// from_pretrained read: config.json, with the keys that this package does not
// know as they were loaded, and model.safetensors. Load reads it back bit for
// bit. A folder that is not there yet appears whole or not at all; in one that
// is there each file is replaced whole, the weights first.
func (m *Model) Save(dir string) error {
	if err := m.save(dir); err != nil {
		return fmt.Errorf("patchtst: save model: %w", err)
	}
	return nil
}

func (m *Model) save(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return m.writeFiles(dir)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	// A name that starts with a dot: those who watch the parent pass it over.
	temporary, err := os.MkdirTemp(parent, ".saving-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) // what is left of a failure
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := m.writeFiles(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, dir); err != nil {
		return err
	}
	return syncFolder(parent)
}

// writeFiles puts the two files into a folder that is there.
func (m *Model) writeFiles(dir string) error {
	text, err := m.config.text(m.other)
	if err != nil {
		return err
	}
	var values []safetensors.Value
	for _, t := range m.named {
		v := safetensors.Value{Name: t.name, Shape: t.shape, Values: t.values}
		if t.role == counterRole {
			v.Values = []int64{*t.count}
		}
		values = append(values, v)
	}
	err = writeFile(filepath.Join(dir, weightsFile), func(w io.Writer) error {
		return safetensors.Write(w, values, map[string]string{"format": "pt"})
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, configFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// writeFile makes or replaces a file, whole or not at all, also when the power
// fails.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes new names in a folder outlast a power failure. Windows does
// that by itself, and refuses to be asked.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
