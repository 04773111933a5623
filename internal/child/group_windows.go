package child

import (
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"runtime"
	"syscall"

	"golang.org/x/sys/windows"
)

// A Group is a process in a job object, by which all that it starts can be
// ended with it.
type Group struct {
	job windows.Handle
	pid uint32
}

// Start starts a process in a group of its own; cmd.Wait waits for it. It runs
// only once it is in its job, so that nothing it starts is outside of it.
func Start(cmd *exec.Cmd) (Group, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED
	job, err := newJob()
	if err != nil {
		return Group{}, err
	}
	if err := cmd.Start(); err != nil {
		return Group{}, errors.Join(err, windows.CloseHandle(job))
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err == nil {
		err = errors.Join(windows.AssignProcessToJobObject(job, process), windows.CloseHandle(process))
	}
	if err == nil {
		err = resume(uint32(cmd.Process.Pid))
	}
	if err != nil {
		return Group{}, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), windows.CloseHandle(job))
	}
	return Group{job, uint32(cmd.Process.Pid)}, nil
}

// resume lets a process run that was started suspended. It has one thread, which
// os/exec does not tell.
func resume(pid uint32) (err error) {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	defer func() { err = errors.Join(err, windows.CloseHandle(snapshot)) }()
	var entry windows.ThreadEntry32
	entry.Size = uint32(reflect.TypeOf(entry).Size())
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return fmt.Errorf("open its thread: %w", err)
		}
		_, err = windows.ResumeThread(thread)
		return errors.Join(err, windows.CloseHandle(thread))
	}
	return fmt.Errorf("find its thread: %w", err)
}

// newJob makes a job object whose processes end with its last handle, which is
// ours: so they end when this program is killed.
func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, err
	}
	limits := &windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	value := reflect.ValueOf(limits)
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, value.Pointer(), uint32(value.Elem().Type().Size()))
	runtime.KeepAlive(limits)
	if err != nil {
		return 0, errors.Join(err, windows.CloseHandle(job))
	}
	return job, nil
}

// Ask asks it to stop, as Ctrl-Break does; true if it could be asked. A service
// shares no console with its children, and cannot.
func (g Group) Ask() bool {
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, g.pid) == nil
}

// KillCode is the exit code of what Kill has ended.
const KillCode = 1

// Kill ends all that is left; it may be gone already.
func (g Group) Kill() { _ = windows.TerminateJobObject(g.job, KillCode) }

// Close lets go of it, which also ends what is left.
func (g Group) Close() { _ = windows.CloseHandle(g.job) }
