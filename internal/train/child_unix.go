//go:build unix

package train

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fettle/internal/child"
)

// A low is a process that gets what others leave.
type low struct{ child.Group }

// startLow starts a process in a group of its own, at nice 19.
func startLow(cmd *exec.Cmd) (low, error) {
	group, err := child.Start(cmd)
	if err != nil {
		return low{}, err
	}
	// A group, so that all its threads are meant. It trains as well if this fails.
	_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, 19)
	return low{group}, nil
}

// ask asks it to end; true if it can be asked.
func (l low) ask() bool { return l.Ask() }

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
