package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"fettle"
)

// Children run jobs as processes of this computer, each at the lowest priority
// and in a group of its own, so that nothing of one is left when it is killed.
type Children struct {
	Command []string      // the worker; empty: this program's own train-worker
	Quiet   time.Duration // without a line of progress for so long it counts as hanging
}

// Causes for which the context of a run ends.
var (
	errPaused    = errors.New("paused")    // the worker may write down where it is
	errCancelled = errors.New("cancelled") // it is killed
	errHanging   = errors.New("hanging")
)

// gentle is how long a worker has to write down where it is.
const gentle = 10 * time.Second

// A lostError says that a worker ended without a result.
type lostError struct {
	reason, advice string
	again          bool   // it may be started again
	next           string // what becomes of it then; "": it goes on from its checkpoint
}

func (e *lostError) Error() string { return e.reason }

// Run starts a worker with a job's file and returns the line that it answered.
func (c Children) Run(ctx context.Context, job string, told func(Progress)) ([]byte, error) {
	command, err := c.command()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(job)
	if err != nil {
		return nil, fmt.Errorf("open job: %w", err)
	}
	defer file.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stdin = environment(), file
	var answer limited
	said := &listener{told: told, heard: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = &answer, said
	cmd.WaitDelay = time.Second // for pipes that something else holds open
	process, err := startLow(cmd)
	if err != nil {
		return nil, fmt.Errorf("start the worker %s: %w", command[0], err)
	}
	defer process.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = c.wait(ctx, cancel, process, said.heard, ended)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errHanging) {
		return nil, cause
	}
	return answer.text.Bytes(), c.verdict(ctx, err, cmd, &answer, said)
}

// wait waits for a worker's end, and hastens it when the context ends or
// nothing is heard any more.
func (c Children) wait(ctx context.Context, hang context.CancelCauseFunc, process low, heard <-chan struct{}, ended <-chan error) error {
	quiet := time.NewTimer(c.Quiet)
	defer quiet.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-heard:
			quiet.Reset(c.Quiet)
		case <-quiet.C:
			hang(errHanging)
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errPaused) && process.ask() {
				select {
				case err := <-ended:
					return err
				case <-time.After(gentle):
				}
			}
			process.Kill()
			return <-ended
		}
	}
}

// verdict says what a worker's end means, if it is not a result.
func (c Children) verdict(ctx context.Context, err error, cmd *exec.Cmd, answer *limited, said *listener) error {
	last := said.tail()
	if last != "" {
		last = "; it said: " + last
	}
	switch {
	case context.Cause(ctx) != nil:
		return &lostError{reason: fmt.Sprintf("the worker made no progress for %s and was killed%s", c.Quiet, last), advice: "see what else the computer does; then train again", again: true}
	case answer.over:
		return &lostError{reason: fmt.Sprintf("the worker answered more than %d bytes%s", maxResult, last), advice: "use the same fettle as the server's for the worker"}
	case err != nil && killed(cmd.ProcessState):
		return &lostError{reason: fmt.Sprintf("the worker was killed (%s)%s", cmd.ProcessState, last), advice: "if nobody did it, the system ran out of memory: lower training.memory, or take a smaller preset or a shorter history", again: true}
	case err != nil:
		return &lostError{reason: fmt.Sprintf("the worker failed (%s)%s", cmd.ProcessState, last), advice: "see the log; then train again"}
	case len(bytes.TrimSpace(answer.text.Bytes())) == 0:
		return &lostError{reason: "the worker ended without a result" + last, advice: "see the log; then train again"}
	default:
		return nil
	}
}

func (c Children) command() ([]string, error) {
	if len(c.Command) > 0 {
		return c.Command, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program itself: %w", err)
	}
	return []string{self, "train-worker"}, nil
}

// environment is the server's without its settings, which may hold secrets.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(strings.ToUpper(variable), "FETTLE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// limited keeps what a worker answers, up to the limit.
type limited struct {
	text bytes.Buffer
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > maxResult {
		l.over = true
		return 0, fettle.Errorf(fettle.Invalid, "an answer has at most %d bytes", maxResult)
	}
	return l.text.Write(p)
}

// A listener reads a worker's standard error: lines of progress, and whatever
// else it says, of which the end is kept.
type listener struct {
	told  func(Progress)
	heard chan struct{}

	mu   sync.Mutex
	line []byte
	rest []string
}

const (
	maxLine = 16 << 10 // of one line
	maxRest = 20       // lines kept
)

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := bufio.NewReader(bytes.NewReader(p))
	for {
		part, err := in.ReadBytes('\n')
		if l.line = append(l.line, part...); len(l.line) > maxLine {
			l.line = l.line[:maxLine]
		}
		if err == io.EOF {
			return len(p), nil
		}
		l.take(bytes.TrimSpace(l.line))
		l.line = l.line[:0]
	}
}

// take understands a line. The mutex is held.
func (l *listener) take(line []byte) {
	var p Progress
	if json.Unmarshal(line, &p) == nil && p.Version == wireVersion {
		select {
		case l.heard <- struct{}{}:
		default: // it was just heard
		}
		l.told(p)
		return
	}
	if l.rest = append(l.rest, string(line)); len(l.rest) > maxRest {
		l.rest = l.rest[1:]
	}
}

// tail is the end of what a worker said besides its progress.
func (l *listener) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(append(l.rest, string(l.line)), " | ")
	const shown = 500
	if len(text) > shown {
		text = "…" + text[len(text)-shown:]
	}
	return strings.Trim(text, " |")
}
