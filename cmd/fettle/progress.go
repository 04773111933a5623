package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A progress tells how far a command is, on standard error: as a bar on a
// terminal, elsewhere as a line now and then.
type progress struct {
	bar   *progressbar.ProgressBar // nil: not a terminal
	noun  string
	total int64 // -1: nobody knows
	done  int64
	said  time.Time
}

// sayEvery is how often a line is written.
const sayEvery = 10 * time.Second

func newProgress(total int64, noun string) *progress {
	p := &progress{noun: noun, total: total, said: time.Now()}
	if isTerminal(os.Stderr) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(noun),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
	}
	return p
}

// step counts what is done, and up to which event time.
func (p *progress) step(n int, at time.Time) {
	p.tell(n, at.UTC().Format("2006-01-02 15:04:05"))
}

// tell counts what is done, and says where that is.
func (p *progress) tell(n int, where string) {
	p.done += int64(n)
	if p.bar != nil {
		p.bar.Describe(where)
		_ = p.bar.Add(n) // a bar that cannot be drawn stops nothing
		return
	}
	if time.Since(p.said) < sayEvery {
		return
	}
	p.said = time.Now()
	of := ""
	if p.total > 0 {
		of = fmt.Sprintf(" of %d (%d %%)", p.total, 100*p.done/p.total)
	}
	note("%d%s %s, at %s", p.done, of, p.noun, where)
}

// note writes a line above the bar.
func (p *progress) note(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	note(format, args...)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
