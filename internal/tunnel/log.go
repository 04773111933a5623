package tunnel

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"fettle/internal/logfile"
)

// LogFile is the name of cloudflared's log in the tunnel's folder. Older parts
// have .1 and .2 behind it.
const LogFile = "cloudflared.log"

const (
	maxLog    = 1 << 20 // bytes, before a new one is begun
	olderLogs = 2
	maxShown  = 300 // bytes of the last line that are shown
)

// A logFile keeps what cloudflared says, and knows its last line.
type logFile struct {
	*logfile.Writer

	mu   sync.Mutex // guards what follows
	line []byte     // the beginning of the line that is being written
	last string     // the last whole line
}

func openLog(path string) (*logFile, error) {
	w, err := logfile.Open(path, maxLog, olderLogs)
	if err != nil {
		return nil, fmt.Errorf("keep what cloudflared says: %w", err)
	}
	return &logFile{Writer: w}, nil
}

// Write keeps a piece of the log. It never fails: a full disk must not stop
// cloudflared.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(p)
	return l.Writer.Write(p)
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
