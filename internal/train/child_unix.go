//go:build unix

package train

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A low is a process that gets what others leave.
type low struct{ pid int }

// startLow starts a process in a group of its own, at nice 19.
func startLow(cmd *exec.Cmd) (low, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return low{}, err
	}
	// A group, so that all its threads are meant. It trains as well if this fails.
	_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, 19)
	return low{cmd.Process.Pid}, nil
}

// ask asks it to end; true if it can be asked.
func (l low) ask() bool { return unix.Kill(-l.pid, unix.SIGTERM) == nil }

// kill ends it and all that it started.
func (l low) kill() { _ = unix.Kill(-l.pid, unix.SIGKILL) } // it may be gone already

func (low) close() {}

// killed tells whether a signal ended it, as the system does that runs out of
// memory.
func killed(state *os.ProcessState) bool {
	status, known := state.Sys().(syscall.WaitStatus)
	return known && status.Signaled()
}

// ExitWithParent ends this process when the one that started it is gone: a
// worker must not go on for a server that was killed. It returns when ctx ends.
func ExitWithParent(ctx context.Context) {
	const every = 500 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for parent := os.Getppid(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				os.Exit(1)
			}
		}
	}
}
