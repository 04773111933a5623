//go:build unix

package child

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Group is a process and all that it starts.
type Group struct{ pid int }

// Start starts a process in a group of its own; cmd.Wait waits for it.
func Start(cmd *exec.Cmd) (Group, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return Group{}, err
	}
	return Group{cmd.Process.Pid}, nil
}

// Ask asks it to stop; true if it could be asked.
func (g Group) Ask() bool { return unix.Kill(-g.pid, unix.SIGTERM) == nil }

// Kill ends all that is left; it may be gone already.
func (g Group) Kill() { _ = unix.Kill(-g.pid, unix.SIGKILL) }

// Close lets go of it.
func (Group) Close() {}
