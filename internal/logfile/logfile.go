// Package logfile keeps a program's log in a bounded number of files, and reads
// it back.
//
// Lines come in through a Writer; Show gives them out again, the last ones and,
// if asked, those that follow, whatever file they are in by then. The newest
// lines are in the file of the given name, older ones in name.1, name.2 and so
// on. It never looks into what the lines say.
package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// A Writer appends to a log. Its methods may be called at the same time.
type Writer struct {
	path  string
	most  int64 // bytes of one file
	older int   // files beside the newest

	mu   sync.Mutex // guards what follows
	file *os.File   // nil while none can be opened
	size int64
}

// Open opens the log at path, readable by its owner only, and makes the folder
// if it is not there. A file holds most bytes, and older files are kept beside
// the newest.
func Open(path string, most int64, older int) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	w := &Writer{path: path, most: most, older: older}
	return w, w.open()
}

func (w *Writer) open() error {
	file, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), file.Close())
	}
	w.file, w.size = file, info.Size()
	return nil
}

// Write appends whole lines. What cannot be written is lost: a full disk must
// not stop the program that logs, nor keep the line from other places.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil || w.size > 0 && w.size+int64(len(lines)) > w.most {
		w.rotate()
	}
	if w.file != nil {
		n, _ := w.file.Write(lines)
		w.size += int64(n)
	}
	return len(lines), nil
}

// rotate begins a new file. The mutex is held.
func (w *Writer) rotate() {
	if w.file != nil {
		_ = w.file.Close() // it was written as far as it could be
		w.file = nil
	}
	if info, err := os.Stat(w.path); err == nil && info.Size() > 0 {
		for i := w.older; i > 0; i-- {
			_ = os.Rename(numbered(w.path, i-1), numbered(w.path, i)) // the one below may not be there
		}
		// Where a reader keeps the file from being renamed, as on Windows, or none
		// is to be kept, its lines are lost rather than the bound.
		if err := os.Truncate(w.path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	_ = w.open() // tried again with the next line
}

// numbered is the name of the i-th older file; 0 is the newest.
func numbered(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

// Close closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
