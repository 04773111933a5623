package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// LogFile is the name of cloudflared's log in the tunnel's folder. Older parts
// have .1 and .2 behind it.
const LogFile = "cloudflared.log"

const (
	maxLog    = 1 << 20 // bytes, before a new one is begun
	olderLogs = 2
	maxShown  = 300 // bytes of the last line that are shown
)

// A logFile keeps what cloudflared says, and never more than three files of it.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	line []byte // the beginning of the line that is being written
	last string // the last whole line
}

func openLog(path string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the tunnel's folder: %w", err)
	}
	l := &logFile{path: path}
	return l, l.open()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open cloudflared's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open cloudflared's log: %w", err), file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write keeps a piece of the log. A full disk must not stop cloudflared, so
// what cannot be written is lost.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(p)
	if l.size+int64(len(p)) > maxLog && l.size > 0 {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// rotate begins a new file. The mutex is held.
func (l *logFile) rotate() {
	if l.file != nil {
		_ = l.file.Close() // nothing more can be done for it
		l.file = nil
	}
	for i := olderLogs; i > 0; i-- {
		from := l.path
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		if err := os.Rename(from, l.path+"."+strconv.Itoa(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(from) // rather lost than without a bound
		}
	}
	_ = l.open() // without it the rest is lost
}

// remember keeps the last line, for messages. The mutex is held.
func (l *logFile) remember(p []byte) {
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxShown - len(l.line); room > 0 {
			l.line = append(l.line, part[:min(room, len(part))]...)
		}
		if p = rest; whole {
			if text := tidy(string(l.line)); text != "" {
				l.last = text
			}
			l.line = l.line[:0]
		}
	}
}

// lastLine is the last thing that was said.
func (l *logFile) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := tidy(string(l.line)); text != "" {
		return text
	}
	if l.last == "" {
		return "nothing"
	}
	return l.last
}

// tidy makes a line fit for a terminal and a page.
func tidy(line string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "")))
}

// Close closes the file.
func (l *logFile) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // it is a log
		l.file = nil
	}
}
