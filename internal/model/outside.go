package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"fettle"
	"fettle/internal/rename"
)

// Write makes a version outside of the folder of models: to look at, to hand
// on, to import. Like Publish it is there whole or not at all. dir "" is the
// version's own name in the working directory, from the machine and now.
func Write(dir string, p Publication, now time.Time, write func(dir string) error) (v Version, err error) {
	c := p.card()
	name, err := versionName(c.Machine, now)
	if err != nil {
		return v, err
	}
	if dir == "" {
		dir = name
	}
	dir = filepath.Clean(dir)
	if err := Free(dir); err != nil {
		return v, err
	}
	if err := c.check(); err != nil {
		return v, err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), temporaryPrefix)
	if err != nil {
		return v, fmt.Errorf("write model: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }() // after the rename there is nothing left
	if err := errors.Join(os.Chmod(made, 0o755), write(made)); err != nil {
		return v, fmt.Errorf("write model: %w", err)
	}
	if err := finish(made, name, c); err != nil {
		return v, fmt.Errorf("write model: %w", err)
	}
	if err := rename.To(made, dir); err != nil {
		return v, fmt.Errorf("write model: %w", err)
	}
	v, err = readVersion(dir, name, "", whole)
	return v, errors.Join(err, syncFolder(filepath.Dir(dir)))
}

// Free tells whether Write may make a folder: nothing has its name, and it has
// a place. Ask before a long training.
func Free(dir string) error {
	if exists(dir) {
		return fettle.Errorf(fettle.Conflict, "%s is there already; name another folder", dir)
	}
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || !info.IsDir() {
		return fettle.Errorf(fettle.NotFound, "there is no folder %s to write %s into", filepath.Dir(dir), filepath.Base(dir))
	}
	return nil
}

// Read reads a version that lies anywhere, under any name. One that neither its
// name nor its card gives a machine has an empty one.
func Read(dir string) (Version, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return Version{}, fettle.Errorf(fettle.NotFound, "read model: there is no folder %s", dir)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return Version{}, fmt.Errorf("read model: %w", err)
	}
	name, beside := filepath.Base(absolute), ""
	c, err := readCard(dir)
	if err == nil {
		if _, _, named := parseName(name); named {
			beside = filepath.Join(filepath.Dir(absolute), scalerBeside(name))
		} else {
			name, err = versionName(orUnnamed(c.Machine), time.Unix(0, 0))
		}
	}
	if err != nil {
		return Version{}, fmt.Errorf("read model %s: %w", dir, err)
	}
	v, err := readVersion(dir, name, beside, whole)
	if err != nil {
		return Version{}, fmt.Errorf("read model %s: %w", dir, err)
	}
	v.Name, v.Machine = filepath.Base(absolute), c.Machine
	if v.Machine == "" {
		v.Machine, _, _ = parseName(filepath.Base(absolute))
	}
	return v, nil
}

func orUnnamed(machine string) string {
	if machine == "" {
		return "unnamed"
	}
	return machine
}
