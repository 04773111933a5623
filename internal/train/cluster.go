package train

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"fettle"
)

// ClusterConfig says how runs are done on a cluster.
type ClusterConfig struct {
	URL       string // of the configured one; "": none
	Parallel  int    // runs at once
	FettleURL string // where workers reach this server; "": they cannot
}

// Spark gets at clusters. Errors of its sessions are of these kinds: Unavailable
// or Busy when the other side cannot be reached, NotFound when it does not know
// the session or the operation any more. What is of another kind stays as it is.
type Spark interface {
	// Name is an address without its parameters, of which one may be a token;
	// an error if it is none.
	Name(url string) (string, error)
	// Dial opens a session that has the worker's program.
	Dial(ctx context.Context, p Place) (Session, error)
	// Resume takes up a session of before.
	Resume(ctx context.Context, p Place, session string) (Session, error)
}

// A Session is one at a cluster. All operations may share it.
type Session interface {
	ID() string
	// Start has a worker do the job of a line. The caller has named the
	// operation by a UUID, so that it can be found again whatever happens.
	Start(ctx context.Context, operation, line string) (Operation, error)
	Reattach(ctx context.Context, operation string) (Operation, error)
}

// An Operation is one job under way on a cluster.
type Operation interface {
	// Result waits for the result line, over interruptions of the network.
	Result(ctx context.Context) (string, error)
	Interrupt(ctx context.Context) error
	Release(ctx context.Context) error
}

// A cluster does jobs on Spark: one operation each, which is written down before
// it is started, so that a server that comes after this one finds it. All runs
// share one session for each place.
type cluster struct {
	cfg   ClusterConfig
	spark Spark
	log   *slog.Logger
	desk  *desk

	sending chan struct{} // a place for each job that may be in memory to be sent

	mu    sync.Mutex // guards links
	links map[string]*link
}

// sentAtOnce bounds the job lines in memory; each has at most maxInline of
// readings, and a champion.
const sentAtOnce = 1

// A link is a session that is shared, and dialled once.
type link struct {
	mu      sync.Mutex
	session Session
}

func newCluster(cfg ClusterConfig, spark Spark, log *slog.Logger) *cluster {
	return &cluster{cfg: cfg, spark: spark, log: log, desk: newDesk(), sending: make(chan struct{}, sentAtOnce), links: map[string]*link{}}
}

// An absentError says that a cluster cannot be reached: nothing has come of it
// yet, good or bad.
type absentError struct{ err error }

func (e *absentError) Error() string { return e.err.Error() }
func (e *absentError) Unwrap() error { return e.err }

// ready sees to it that the cluster of a run can be reached, before anything is
// made for it. underWay: its worker was started before.
func (c *cluster) ready(ctx context.Context, dir string) (underWay bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, resultFile)); err == nil {
		return true, nil
	}
	e, err := readErrand(dir)
	if err != nil {
		return false, err
	}
	_, err = c.session(ctx, e)
	return e.Operation != "", c.meaning(dir, err)
}

// session is the one of an errand: that of its operation, else the one that new
// operations of its place share.
func (c *cluster) session(ctx context.Context, e errand) (Session, error) {
	old := ""
	if e.Operation != "" {
		old = e.Session
	}
	c.mu.Lock()
	key := fmt.Sprintf("%q %q %s", e.URL, e.Confs, old)
	l := c.links[key]
	if l == nil {
		l = &link{}
		c.links[key] = l
	}
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		return l.session, nil
	}
	var err error
	if old != "" {
		l.session, err = c.spark.Resume(ctx, e.Place, old)
	} else {
		l.session, err = c.spark.Dial(ctx, e.Place)
	}
	return l.session, err
}

// drop forgets a session that the other side has forgotten.
func (c *cluster) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range c.links {
		if l.mu.TryLock() { // else it is being dialled, and new
			if l.session != nil && l.session.ID() == id {
				delete(c.links, key)
			}
			l.mu.Unlock()
		}
	}
}

// Run does a job on the cluster that its folder names, or takes up again what is
// under way there. When the server stops, the job goes on without it; when the
// run is stopped, so is the job.
func (c *cluster) Run(ctx context.Context, job string, _ func(Progress)) ([]byte, error) {
	dir := filepath.Dir(job)
	if line, err := os.ReadFile(filepath.Join(dir, resultFile)); err == nil {
		return line, nil
	}
	e, err := readErrand(dir)
	if err != nil {
		return nil, err
	}
	s, op, err := c.begin(ctx, &e, job)
	var line string
	if err == nil {
		line, err = op.Result(ctx)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCancelled), errors.Is(cause, errPaused):
		return nil, errors.Join(cause, c.end(ctx, s, dir, e))
	case cause != nil:
		return nil, cause
	case err != nil:
		return nil, c.meaning(dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, resultFile), []byte(line), 0o600); err != nil {
		return nil, fmt.Errorf("keep the result: %w", err)
	}
	if err := op.Release(ctx); err != nil { // it goes by itself, later
		c.log.Debug("cannot release an operation", "operation", e.Operation, "err", err)
	}
	return []byte(line), nil
}

// begin starts an errand's operation, or finds it again.
func (c *cluster) begin(ctx context.Context, e *errand, job string) (Session, Operation, error) {
	s, err := c.session(ctx, *e)
	if err != nil {
		return nil, nil, err
	}
	if e.Operation != "" {
		op, err := s.Reattach(ctx, e.Operation)
		return s, op, err
	}
	select {
	case c.sending <- struct{}{}:
		defer func() { <-c.sending }()
	case <-ctx.Done():
		return s, nil, ctx.Err()
	}
	op, err := c.send(ctx, s, e, job)
	if fettle.KindOf(err) == fettle.NotFound { // the session was too long without use
		c.drop(s.ID())
		if s, err = c.session(ctx, errand{Place: e.Place}); err == nil {
			op, err = c.send(ctx, s, e, job)
		}
	}
	return s, op, err
}

// send starts a new operation, with a key of its own for the worker.
func (c *cluster) send(ctx context.Context, s Session, e *errand, job string) (Operation, error) {
	dir := filepath.Dir(job)
	id, err := strconv.ParseUint(filepath.Base(dir), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("BUG: %s is no folder of a run", dir)
	}
	key, sum := newKey()
	e.Session, e.Operation = s.ID(), newUUID()
	e.Keys = append(e.Keys, sum)
	if err := e.write(dir); err != nil {
		return nil, err
	}
	c.desk.admit(id, *e)
	line, err := c.line(job, id, key)
	if err != nil {
		return nil, err
	}
	return s.Start(ctx, e.Operation, line)
}

// endWithin is how long a cluster may take to hear that a run is stopped.
const endWithin = 20 * time.Second

// end stops an errand's operation. Its worker hears of it from us, too, when it
// tells its progress.
func (c *cluster) end(ctx context.Context, s Session, dir string, e errand) error {
	if s == nil || e.Operation == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	op, err := s.Reattach(ctx, e.Operation)
	if err == nil {
		if err = op.Interrupt(ctx); err == nil {
			_ = op.Release(ctx) // it goes by itself, later
		}
	}
	if err != nil && fettle.KindOf(err) != fettle.NotFound {
		c.log.Warn("cannot stop a training on the cluster; its result will not be used", "run", filepath.Base(dir), "operation", e.Operation, "err", err)
	}
	return c.giveUp(dir)
}

// giveUp writes down that an errand's operation is no longer.
func (c *cluster) giveUp(dir string) error {
	e, err := readErrand(dir)
	if err != nil || e.Operation == "" {
		return err
	}
	e.Session, e.Operation = "", ""
	err = e.write(dir)
	if errors.Is(err, fs.ErrNotExist) { // the run was cancelled, and its folder is gone
		return nil
	}
	if id, parseErr := strconv.ParseUint(filepath.Base(dir), 10, 64); parseErr == nil && err == nil {
		c.desk.admit(id, e)
	}
	return err
}

// meaning says what a cluster's fault means for a run.
func (c *cluster) meaning(dir string, err error) error {
	if err == nil {
		return nil
	}
	switch fettle.KindOf(err) {
	case fettle.Unavailable, fettle.Busy:
		return &absentError{err}
	case fettle.NotFound:
		if e, readErr := readErrand(dir); readErr == nil {
			c.drop(e.Session)
		}
		if err := c.giveUp(dir); err != nil {
			return err
		}
		return &lostError{
			reason: fmt.Sprintf("the cluster does not know the training any more, as after a restart of its Connect server (%v)", err),
			advice: "see what ended the Connect server; then train again", again: true, next: "it is submitted again",
		}
	case fettle.Internal:
		return taskFault(err)
	default:
		return err
	}
}

// taskFault is what Spark says of a worker that failed on four executors,
// without the traces of Java's stack that follow.
func taskFault(err error) error {
	if lost := new(lostError); errors.As(err, &lost) {
		return err
	}
	text, _, _ := strings.Cut(err.Error(), "\n\tat ")
	fault := &lostError{reason: shorten(text, longestReason), advice: "see the executor's log in Spark's pages; then train again"}
	switch {
	case strings.Contains(text, "Exec format error"):
		fault.advice = "set training.spark.binary to a Linux build of fettle for the cluster's processors; fettle spark check looks at them"
	case strings.Contains(text, "status 137"):
		fault.advice = "if nobody killed it, memory ran out on the executor's computer: give it more beside Spark's, lower training.memory, or take a smaller preset"
	}
	return fault
}

// newUUID is a random one (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
