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
		r.file = nil
		if err := r.read(numbered(r.path, i), yield); err != nil {
			return err
		}
	}
	return nil
}

// more reads what has come since: on in the file that was read last, which may
// have been renamed meanwhile, and then in each that came after it.
func (r *reader) more(yield func(string) error) error {
	if r.file == nil {
		return r.old(yield) // there was none yet; by now there may be several
	}
	for {
		i, found := r.find()
		if !found {
			r.file = nil // it is gone, with what was not read of it
			return r.read(r.path, yield)
		}
		if err := r.read(numbered(r.path, i), yield); err != nil || i == 0 {
			return err
		}
		next, err := os.Stat(numbered(r.path, i-1))
		if err != nil {
			return nil // between two files
		}
		// The oldest is renamed first. So this is the one that came after it, if
		// it has its own name still.
		os.SameFile(next, next) // Windows looks only now which file it is
		if again, err := os.Stat(numbered(r.path, i)); err == nil && os.SameFile(again, r.file) {
			r.file, r.offset = next, 0
		}
	}
}

// find finds the file that was read last.
func (r *reader) find() (i int, found bool) {
	for ; ; i++ {
		is, err := os.Stat(numbered(r.path, i))
		if err != nil && i > 0 {
			return 0, false
		}
		if err == nil && os.SameFile(is, r.file) {
			return i, true
		}
	}
}

// read gives the whole lines of the file that was read last from the offset on,
// or, if there is none, of the one at path.
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
	switch {
	case r.file == nil || info.Size() < r.offset && os.SameFile(info, r.file):
		r.file, r.offset = info, 0 // the first, or begun anew in its place
	case !os.SameFile(info, r.file):
		return nil // renamed this moment; the next look finds it
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
