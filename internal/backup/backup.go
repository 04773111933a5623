// Package backup copies a data folder while it is in use, and back. A backup
// comes out as a folder that is a data folder itself: the store, the files of
// closed days and the models, with a note of what must be in it. A restored
// folder is compared with the note and checked before it gets its name. It
// never changes what it copies from.
//
//	backup.json   what is in it; written last
//	db/           the store, as of one moment
//	readings/, rollups/   files of closed days; links to the same files where the disk can do that
//	models/       model versions
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// A Note says what a backup holds.
type Note struct {
	Made     time.Time `json:"made"`
	Version  string    `json:"version" doc:"Of the fettle that made it"`
	Machines []Holding `json:"machines"`
	Models   int       `json:"models" doc:"Files of model versions"`
}

// A Holding is what a backup holds of one machine.
type Holding struct {
	Machine string    `json:"machine"`
	Rows    int64     `json:"rows"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// Rows counts the readings of all machines.
func (n Note) Rows() (rows int64) {
	for _, m := range n.Machines {
		rows += m.Rows
	}
	return rows
}

const (
	noteFile = "backup.json"
	// partial is added to a folder's name while it is filled.
	partial = ".partial"
)

// A Source is what a backup is made of.
type Source struct {
	Readings *readings.Store
	Store    string // name of the store's folder in a data folder
	Models   string // folder of models
	Dir      string // the data folder that all of it is in
	Version  string
}

// Make writes a backup into dir, which must not exist yet or be empty. It
// appears under its name when it is whole. Conflict: there is something.
func (s Source) Make(ctx context.Context, dir string, now time.Time) (Note, error) {
	if !filepath.IsAbs(dir) {
		return Note{}, fettle.BadField("relative folder", "dir", dir, "an absolute path")
	}
	if inside(s.Dir, dir) {
		return Note{}, fettle.BadField("folder inside data", "dir", dir, "a folder outside of the data folder "+s.Dir)
	}
	if err := mustBeFree(dir); err != nil {
		return Note{}, err
	}
	if err := os.MkdirAll(dir+partial, 0o700); err != nil {
		return Note{}, fettle.Errorf(fettle.Conflict, "back up to %s: %w; whoever makes the backup must be allowed to write there, and with a running server that is the server (a service: fettle service install --writes FOLDER)", dir, err)
	}
	note, err := s.fill(ctx, dir+partial, now)
	if err == nil {
		err = place(dir+partial, dir)
	}
	if err != nil {
		return Note{}, errors.Join(fmt.Errorf("back up to %s: %w", dir, err), os.RemoveAll(dir+partial))
	}
	return note, nil
}

// fill copies everything into a folder, and notes what it is.
func (s Source) fill(ctx context.Context, dir string, now time.Time) (Note, error) {
	if err := s.Readings.Copy(ctx, dir, filepath.Join(dir, s.Store)); err != nil {
		return Note{}, err
	}
	models, err := copyTree(ctx, s.Models, filepath.Join(dir, filepath.Base(s.Models)))
	if err != nil {
		return Note{}, fmt.Errorf("copy models: %w", err)
	}
	// What is in the copy, its own store says best.
	machines, err := look(dir, s.Store)
	if err != nil {
		return Note{}, err
	}
	note := Note{Made: now.UTC(), Version: s.Version, Machines: machines, Models: models}
	text, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return Note{}, err
	}
	return note, writeSynced(filepath.Join(dir, noteFile), append(text, '\n'))
}

// mustBeFree says that a folder can be made: there is nothing, or an empty one.
func mustBeFree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(dir); statErr != nil {
			err = nil // else it is a file, of which Windows says the same
		}
	}
	if err != nil {
		return fettle.Errorf(fettle.Conflict, "%s is no folder that can be filled: %w", dir, err)
	}
	if len(entries) > 0 {
		return fettle.Errorf(fettle.Conflict, "folder %s is not empty; name one that does not exist yet", dir)
	}
	if _, err := os.Stat(dir + partial); err == nil {
		return fettle.Errorf(fettle.Conflict, "folder %s is left over from a backup that was broken off, or one is being made; remove it, or name another folder", dir+partial)
	}
	return nil
}

// inside tells whether a path is a folder or something in it.
func inside(folder, path string) bool {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return false
	}
	rest, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rest)
}
