package db

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

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

// Draft writes files and syncs them. They may be there in part if it fails
// half-way, and after a crash; so their names are ones that nobody looks for,
// until Move.
func (f Files) Draft(names []string, fill func(outs []io.Writer) error) error {
	var files []vfs.File
	var buffers []*bufio.Writer
	var outs []io.Writer
	var err error
	for _, name := range names {
		var file vfs.File
		if file, err = f.disk.Create(name, vfs.WriteCategoryUnspecified); err != nil {
			break
		}
		files = append(files, file)
		buffer := bufio.NewWriterSize(file, 64<<10)
		buffers, outs = append(buffers, buffer), append(outs, buffer)
	}
	if err == nil {
		err = fill(outs)
	}
	for i := 0; i < len(buffers) && err == nil; i++ {
		err = buffers[i].Flush()
	}
	if err == nil {
		err = atOnce(files, vfs.File.Sync)
	}
	for _, file := range files {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		for _, name := range names {
			_ = f.disk.Remove(name) // if it cannot go either, the next draft replaces it
		}
	}
	return err
}

// atOnce does a thing to all of a list at once: syncs wait for the disk, and a
// disk takes what comes together in about the time of one.
func atOnce[T any](list []T, do func(T) error) error {
	errs := make([]error, len(list))
	var parts sync.WaitGroup
	for i, one := range list {
		parts.Go(func() { errs[i] = do(one) })
	}
	parts.Wait()
	return errors.Join(errs...)
}

// A Rename is a file's old name and its new one.
type Rename struct{ From, To string }

// Move renames files, each replacing what has its new name, for good. A failure
// may leave some of them moved.
func (f Files) Move(renames ...Rename) error {
	var folders []string
	for _, r := range renames {
		if err := f.disk.Rename(r.From, r.To); err != nil {
			return err
		}
		if folder := filepath.Dir(r.To); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return atOnce(folders, f.SyncFolder)
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
	err = f.Draft([]string{to}, func(w []io.Writer) error {
		_, err := io.Copy(w[0], source)
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
