package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"fettle"
)

// executors do jobs as processes of this computer, and forget nothing when the
// server does that gave them: what a cluster is to a Manager. The real one is
// among the peers.
type executors struct {
	worker []string

	mu       sync.Mutex
	away     bool
	sessions int
	alive    map[string]bool // sessions
	jobs     map[string]*executed
	started  []string // lines
	ended    int      // operations that were interrupted
	released int
}

type executed struct {
	cmd    *exec.Cmd
	line   string
	answer bytes.Buffer
	done   chan struct{}
	err    error
}

func newExecutors(worker ...string) *executors {
	if len(worker) == 0 {
		worker = []string{"train-worker"}
	}
	return &executors{worker: worker, alive: map[string]bool{}, jobs: map[string]*executed{}}
}

var errGone = fettle.Errorf(fettle.NotFound, "it is not known any more")

func (e *executors) Name(url string) (string, error) {
	name, _, _ := strings.Cut(url, "/;")
	if !strings.HasPrefix(name, "sc://") {
		return "", fettle.BadField("bad address", "url", url, "sc://host:port")
	}
	return name, nil
}

func (e *executors) Dial(context.Context, Place) (Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return nil, fettle.Errorf(fettle.Unavailable, "nobody answers at sc://here")
	}
	e.sessions++
	id := fmt.Sprintf("session %d", e.sessions)
	e.alive[id] = true
	return &executorSession{e, id}, nil
}

func (e *executors) Resume(_ context.Context, _ Place, id string) (Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.away:
		return nil, fettle.Errorf(fettle.Unavailable, "nobody answers at sc://here")
	case !e.alive[id]:
		return nil, errGone
	}
	return &executorSession{e, id}, nil
}

// restart forgets all, as a Connect server does that is killed, whose executors
// end with it.
func (e *executors) restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, job := range e.jobs {
		job.err = errGone
		_ = job.cmd.Process.Kill()
	}
	clear(e.jobs)
	clear(e.alive)
}

func (e *executors) setAway(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
}

// count is how many jobs were started, and how many operations interrupted.
func (e *executors) count() (started, ended int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.started), e.ended
}

// lines are those of all jobs so far.
func (e *executors) lines() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string{}, e.started...)
}

type executorSession struct {
	*executors
	id string
}

func (s *executorSession) ID() string { return s.id }

func (s *executorSession) Start(_ context.Context, operation, line string) (Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alive[s.id] {
		return nil, errGone
	}
	job := &executed{line: line, done: make(chan struct{})}
	job.cmd = exec.Command(os.Args[0], s.worker...)
	job.cmd.Stdin, job.cmd.Stdout = strings.NewReader(line), &job.answer
	if err := job.cmd.Start(); err != nil {
		return nil, err
	}
	s.jobs[operation] = job
	s.started = append(s.started, line)
	go func() {
		err := job.cmd.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && job.err == nil {
			job.err = fmt.Errorf("the task failed four times: %w", err)
		}
		close(job.done)
	}()
	return &executorOperation{s, operation, job}, nil
}

func (s *executorSession) Reattach(_ context.Context, operation string) (Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if job := s.jobs[operation]; job != nil {
		return &executorOperation{s, operation, job}, nil
	}
	return nil, errGone
}

type executorOperation struct {
	*executorSession
	name string
	job  *executed
}

func (o *executorOperation) Result(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-o.job.done:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.job.answer.String()), o.job.err
}

func (o *executorOperation) Interrupt(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended++
	o.job.err = errors.New("interrupted")
	return o.job.cmd.Process.Kill()
}

func (o *executorOperation) Release(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released++
	delete(o.jobs, o.name)
	return nil
}
