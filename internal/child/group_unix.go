//go:build unix

package child

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A group is a process and all that it starts.
type group struct{ pid int }

func start(cmd *exec.Cmd) (group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieTogether(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return group{}, err
	}
	return group{cmd.Process.Pid}, nil
}

// ask asks it to stop; true if it could be asked.
func (g group) ask() bool { return unix.Kill(-g.pid, unix.SIGTERM) == nil }

// kill ends all that is left; it may be gone already.
func (g group) kill() { _ = unix.Kill(-g.pid, unix.SIGKILL) }

func (group) close() {}
