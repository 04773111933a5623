//go:build peers

package spark_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/spark"
)

// A gate is a command that says on which executor it is, and waits.
func (c cluster) gate(name string) (command string) {
	at := filepath.Join(c.scratch, name)
	return fmt.Sprintf("%s; until [ -e %s-open ]; do sleep 0.1; done; cat", c.visit(name), at)
}

// visit is a command that leaves word of itself at a gate.
func (c cluster) visit(name string) string {
	at := filepath.Join(c.scratch, name)
	return fmt.Sprintf("echo $(pwd) $$ > %[1]s-$$ && mv %[1]s-$$ %[1]s.$$", at)
}

func (c cluster) open(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.scratch, name+"-open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// waiting waits until somebody new stands at a gate: on which executor, as which
// process.
func (c cluster) waiting(t *testing.T, name string, visits int) (folder string, pid int) {
	t.Helper()
	eventually(t, "the task to begin", func() bool {
		files, err := filepath.Glob(filepath.Join(c.scratch, name+".[0-9]*"))
		if err != nil || len(files) < visits {
			return false
		}
		newest := time.Time{}
		for _, file := range files {
			info, err := os.Stat(file)
			text, err2 := os.ReadFile(file)
			if err != nil || err2 != nil || info.ModTime().Before(newest) {
				continue
			}
			newest = info.ModTime()
			fmt.Sscan(string(text), &folder, &pid)
		}
		return pid != 0
	})
	return folder, pid
}

// eventually is as patient as a busy machine needs.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// gone waits until a process has ended.
func gone(t *testing.T, what string, pid int) {
	t.Helper()
	eventually(t, what+" to be gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		return errors.Is(err, os.ErrNotExist)
	})
}

// cutOff: connections break while a statement runs, and nothing is lost or done
// twice; so while nothing runs.
func cutOff(t *testing.T, c cluster) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := forward(listener, c)
	defer f.close()
	s, err := spark.Dial(t.Context(), spark.Config{URL: "sc://" + f.Addr().String(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	f.cut()
	op := start(t, s, c.gate("gate"), "whole")
	seen := 0
	rows, err := op.Result(t.Context(), func(spark.Progress) {
		if seen++; seen <= 3 {
			f.cut()
		}
		if seen == 5 {
			c.waiting(t, "gate", 1)
			c.open(t, "gate")
		}
	})
	if err != nil || len(rows) != 1 || rows[0] != "whole" {
		t.Errorf("%q, %v", rows, err)
	}
	if visits, _ := filepath.Glob(filepath.Join(c.scratch, "gate.*")); len(visits) != 1 {
		t.Errorf("it has run %d times", len(visits))
	}
	f.cut()
	if err := errors.Join(op.Release(t.Context()), s.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// resumed: a client is gone; another finds its session, its upload and its
// statement, which has run once.
func resumed(t *testing.T, c cluster) {
	gone := c.dial(t)
	op := start(t, gone, c.gate("gate"), "once")
	ctx, stop := context.WithCancel(t.Context())
	_, err := op.Result(ctx, func(spark.Progress) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	gone.Leave()

	s, err := spark.Resume(t.Context(), c.config(), gone.ID())
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Reattach(t.Context(), op.ID())
	if err != nil {
		t.Fatal(err)
	}
	c.waiting(t, "gate", 1)
	c.open(t, "gate")
	if rows, err := again.Result(t.Context(), nil); err != nil || len(rows) != 1 || rows[0] != "once" {
		t.Errorf("%q, %v", rows, err)
	}
	if visits, _ := filepath.Glob(filepath.Join(c.scratch, "gate.*")); len(visits) != 1 {
		t.Errorf("it has run %d times", len(visits))
	}
	if s.Version() != gone.Version() || s.ServerSideID() != gone.ServerSideID() {
		t.Errorf("another session: %q, %q", s.ServerSideID(), gone.ServerSideID())
	}
	// What has been released, and what never was, is lost.
	if err := again.Release(t.Context()); err != nil {
		t.Error(err)
	}
	for _, id := range []string{op.ID(), spark.NewID()} {
		if _, err := s.Reattach(t.Context(), id); !errors.Is(err, spark.ErrLost) {
			t.Errorf("reattached to nothing: %v", err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, id := range []string{gone.ID(), spark.NewID()} {
		if _, err := spark.Resume(t.Context(), c.config(), id); !errors.Is(err, spark.ErrLost) || fettle.KindOf(err) != fettle.NotFound {
			t.Errorf("resumed nothing: %v", err)
		}
	}
}

// interrupted: a program that ends with its parent, as the trainer does, is gone
// soon; that which Spark cannot end itself, ends with its executor. Others go on.
func interrupted(t *testing.T, c cluster) {
	s := c.dial(t)
	// Field 4 of the status is the parent, which changes when it dies.
	op := start(t, s, c.visit("gate")+`; while [ "$(cut -d" " -f4 /proc/$$/stat)" = $PPID ]; do sleep 0.2; done`, "x")
	_, pid := c.waiting(t, "gate", 1)
	began := time.Now()
	if err := op.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, err := op.Result(t.Context(), nil); !errors.Is(err, spark.ErrInterrupted) {
		t.Errorf("%q, %v", rows, err)
	}
	gone(t, "the interrupted process", pid)
	t.Logf("gone %s after it was interrupted", time.Since(began).Round(100*time.Millisecond))
	if err := op.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := op.Interrupt(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if rows, err := run(t, s, "cat", "goes on"); err != nil || len(rows) != 1 {
		t.Errorf("%q, %v", rows, err)
	}
}

// workerKilled: the computer of a task is gone; the task is done on another.
func workerKilled(t *testing.T, c cluster) {
	s := c.dial(t)
	op := start(t, s, c.gate("gate"), "all the same")
	folder, pid := c.waiting(t, "gate", 1)
	for number := range 2 {
		if strings.HasPrefix(folder, c.WorkerFolder(number)) {
			c.KillWorker(number)
		}
	}
	gone(t, "the task's process, with its worker", pid)
	again, _ := c.waiting(t, "gate", 2)
	c.open(t, "gate")
	if rows, err := op.Result(t.Context(), nil); err != nil || len(rows) != 1 || rows[0] != "all the same" {
		t.Errorf("%q, %v", rows, err)
	}
	if filepath.Dir(filepath.Dir(again)) == filepath.Dir(filepath.Dir(folder)) {
		t.Errorf("it ran in %s again", again)
	}
	c.AddWorker()
}

// serverKilled: whoever waits is told; the new server knows nothing of the old
// one's sessions.
func serverKilled(t *testing.T, c cluster) {
	s := c.dial(t)
	op := start(t, s, c.gate("gate"), "x")
	c.waiting(t, "gate", 1)
	c.KillConnect()
	if rows, err := op.Result(t.Context(), nil); fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), "no Spark Connect server runs at") {
		t.Errorf("%q, %v", rows, err)
	}
	if _, err := spark.Dial(t.Context(), c.config()); fettle.KindOf(err) != fettle.Unavailable {
		t.Errorf("dialled nobody: %v", err)
	}
	if err := c.StartConnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := spark.Resume(t.Context(), c.config(), s.ID()); !errors.Is(err, spark.ErrLost) {
		t.Errorf("resumed a session of the killed server: %v", err)
	}
	if rows, err := run(t, c.dial(t), "cat", "anew"); err != nil || len(rows) != 1 {
		t.Errorf("%q, %v", rows, err)
	}
}
