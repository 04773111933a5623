package readings

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Copy makes a data folder of the store and the files of closed days, as they
// are at one moment; everything else that is in the store comes along. storeDir
// is where in it the store goes; it and what is beside it must not exist yet.
// Readings come in meanwhile; only sealing and removing files wait.
func (s *Store) Copy(ctx context.Context, dir, storeDir string) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	if err := s.files.MakeFolder(filepath.Dir(storeDir)); err != nil {
		return fmt.Errorf("copy readings: %w", err)
	}
	if err := s.db.Checkpoint(storeDir); err != nil {
		return fmt.Errorf("copy readings: %w", err)
	}
	there := &Store{dir: dir, foldsCase: s.foldsCase}
	for _, name := range s.names() {
		if err := s.copyDays(ctx, name, there); err != nil {
			return fmt.Errorf("copy readings of machine %q: %w", name, err)
		}
	}
	return nil
}

func (s *Store) copyDays(ctx context.Context, machine string, to *Store) error {
	folders := map[string]bool{}
	err := eachDay(s.db, machine, earliest, latest, func(d *day) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for k := range Kind(kinds) {
			if !d.has(k) {
				continue
			}
			folder := to.folderOf(k, machine)
			if err := s.files.MakeFolder(folder); err != nil {
				return err
			}
			folders[folder] = true
			err := s.files.Link(s.fileOf(k, machine, d.at), to.fileOf(k, machine, d.at))
			if errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("a file is missing, and not in the copy", "machine", machine, "file", s.fileOf(k, machine, d.at))
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for folder := range folders {
		if err == nil {
			err = s.files.SyncFolder(folder)
		}
	}
	return err
}
