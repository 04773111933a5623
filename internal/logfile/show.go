package logfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// What Show shows.
type What struct {
	Last   int               // so many lines at most, of those that are there
	Wanted func(string) bool // which lines; nil: all
	Follow bool              // go on with lines to come, until the context ends
}

// lookEvery is the time between two looks at a log that is followed.
const lookEvery = 200 * time.Millisecond

// maxLine bounds a line that is read, in bytes; what is longer comes in pieces.
const maxLine = 1 << 20

// Show gives the lines of the log at path to yield, without their ends. A log
// that is not there has no lines, and may come to be while it is followed.
func Show(ctx context.Context, path string, what What, yield func(line string) error) error {
	if what.Wanted == nil {
		what.Wanted = func(string) bool { return true }
	}
	r := &reader{path: path}
	var last []string
	err := r.old(func(line string) error {
		if what.Wanted(line) {
			last = append(last, line)
			last = last[max(0, len(last)-what.Last):]
		}
		return nil
	})
	for _, line := range last {
		if err == nil {
			err = yield(line)
		}
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for err == nil && what.Follow {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		err = r.more(func(line string) error {
			if !what.Wanted(line) {
				return nil
			}
			return yield(line)
		})
	}
	return err
}

// A reader knows up to where a log was read. It holds no file open.
type reader struct {
	path   string
	file   os.FileInfo // the file that was read last; nil before the first
	offset int64       // in it, behind the last whole line that was read
}

// old reads everything, the oldest file first.
func (r *reader) old(yield func(string) error) error {
	count := 0
	for {
		if _, err := os.Stat(numbered(r.path, count+1)); err != nil {
			break
		}
		count++
	}
	for i := count; i >= 0; i-- {
		if err := r.read(numbered(r.path, i), yield); err != nil {
			return err
		}
	}
	return nil
}

// more reads what has come since, first in the file that was read last, which
// may have been renamed meanwhile.
func (r *reader) more(yield func(string) error) error {
	now, err := os.Stat(r.path)
	switch {
	case err != nil:
		return nil // between two files
	case r.file == nil:
		return r.old(yield) // there was none yet; by now there may be several
	case !os.SameFile(now, r.file):
		if err := r.behind(yield); err != nil {
			return err
		}
	case now.Size() < r.offset:
		r.offset = 0 // begun anew in its place
	}
	return r.read(r.path, yield)
}

// behind reads on in older files, from the one that was read last.
func (r *reader) behind(yield func(string) error) error {
	for i := 1; ; i++ {
		older, err := os.Stat(numbered(r.path, i))
		if err != nil {
			return nil // it is gone, with what was not read of it
		}
		if !os.SameFile(older, r.file) {
			continue
		}
		for ; i > 0; i-- {
			if err := r.read(numbered(r.path, i), yield); err != nil {
				return err
			}
		}
		return nil
	}
}

// read gives the whole lines of a file: of the one that was read last from the
// offset on, of another from its beginning.
func (r *reader) read(path string, yield func(string) error) (err error) {
	file, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if r.file == nil || !os.SameFile(info, r.file) {
		r.file, r.offset = info, 0
	}
	if _, err := file.Seek(r.offset, io.SeekStart); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil // the end, or half a line, which is read when it is whole
		}
		r.offset += int64(len(line))
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if err := yield(string(line)); err != nil {
			return err
		}
	}
}
