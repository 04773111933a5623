package db

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Files is the file system that the store lies on, for owners who keep files
// beside it: what a power cut does to the one, it does to the other.
type Files struct {
	disk vfs.FS
}

// Files of the disk that the store lies on.
func (d *DB) Files() Files { return Files{d.guard.FS} }

// MakeFolder makes a folder and those above it that are missing, for good.
func (f Files) MakeFolder(dir string) error {
	if _, err := f.disk.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := f.MakeFolder(parent); err != nil {
			return err
		}
	}
	if err := f.disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if parent == dir {
		return nil
	}
	return f.SyncFolder(parent)
}

// Draft writes a file and syncs it. It may be there in part if it fails half-way,
// and after a crash; so its name is one that nobody looks for, until Move.
func (f Files) Draft(name string, fill func(io.Writer) error) error {
	file, err := f.disk.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(file, 64<<10)
	if err = fill(buffer); err == nil {
		err = buffer.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = f.disk.Remove(name) // if it cannot go either, the next draft replaces it
	}
	return err
}

// Move renames a file, replacing what has the new name, for good.
func (f Files) Move(from, to string) error {
	if err := f.disk.Rename(from, to); err != nil {
		return err
	}
	return f.SyncFolder(filepath.Dir(to))
}

// Remove removes a file; one that is not there is no error. After a power cut
// it may be back.
func (f Files) Remove(name string) error {
	if err := f.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A ReadFile is a file opened for reading.
type ReadFile interface {
	io.ReaderAt
	io.ReadCloser
}

// Open opens a file for reading and tells its size in bytes.
func (f Files) Open(name string) (file ReadFile, size int64, err error) {
	opened, err := f.disk.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := opened.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, opened.Close())
	}
	return opened, info.Size(), nil
}

// List lists the names in a folder; one that is not there has none.
func (f Files) List(dir string) ([]string, error) {
	names, err := f.disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// Link gives a file that nobody changes a second name, or, where the disk
// cannot do that, copies it.
func (f Files) Link(from, to string) error { return vfs.LinkOrCopy(f.disk, from, to) }

// copy copies a file and syncs the copy.
func (f Files) copy(from, to string) error {
	source, _, err := f.Open(from)
	if err != nil {
		return err
	}
	err = f.Draft(to, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
	return errors.Join(err, source.Close())
}

// SyncFolder makes the names in a folder last.
func (f Files) SyncFolder(dir string) error {
	folder, err := f.disk.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
