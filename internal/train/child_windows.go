package train

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// A low is a process that gets what others leave, in a job object by which all
// that it starts can be ended with it.
type low struct{ job windows.Handle }

// startLow starts a process below the normal priority.
func startLow(cmd *exec.Cmd) (low, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.BELOW_NORMAL_PRIORITY_CLASS | windows.CREATE_NEW_PROCESS_GROUP}
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return low{}, err
	}
	if err := cmd.Start(); err != nil {
		return low{}, errors.Join(err, windows.CloseHandle(job))
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err == nil {
		err = errors.Join(windows.AssignProcessToJobObject(job, process), windows.CloseHandle(process))
	}
	if err != nil {
		return low{}, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), windows.CloseHandle(job))
	}
	return low{job}, nil
}

// ask cannot be done here: a paused worker goes on from its last checkpoint.
func (low) ask() bool { return false }

// killCode is the exit code of a worker that was killed, here or by the task
// manager.
const killCode = 1

// kill ends it and all that it started.
func (l low) kill() { _ = windows.TerminateJobObject(l.job, killCode) } // it may be gone already

func (l low) close() { _ = windows.CloseHandle(l.job) }

// killed cannot be told from a failure here, but by its code.
func killed(state *os.ProcessState) bool { return state.ExitCode() == killCode }

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
			os.Exit(killCode)
		}
	}
}
