package train

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"

	"fettle/internal/child"
)

// A low is a process that gets what others leave.
type low struct{ child.Group }

// startLow starts a process below the normal priority.
func startLow(cmd *exec.Cmd) (low, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.BELOW_NORMAL_PRIORITY_CLASS}
	group, err := child.Start(cmd)
	return low{group}, err
}

// ask cannot be done here: a paused worker goes on from its last checkpoint.
func (low) ask() bool { return false }

// killed cannot be told from a failure here, but by its code.
func killed(state *os.ProcessState) bool { return state.ExitCode() == child.KillCode }

// ExitWithParent ends this process when the one that started it is gone: a
// worker must not go on for a server that was killed. It returns when ctx ends.
func ExitWithParent(ctx context.Context) {
	parent, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(os.Getppid()))
	if err != nil {
		return // nobody to watch
	}
	defer windows.CloseHandle(parent)
	const every = 500 // milliseconds
	for ctx.Err() == nil {
		if event, err := windows.WaitForSingleObject(parent, every); err != nil || event == windows.WAIT_OBJECT_0 {
			os.Exit(child.KillCode)
		}
	}
}
