// Package child runs other programs so that nothing of them is left behind: a
// command comes in, and when its context ends it is asked to stop, then killed,
// with all that it has started itself. It knows nothing of what it runs.
//
// On Unix the command gets a process group of its own, on Windows a job object.
// When this program is itself killed, Windows ends the command with it, and so
// does Linux what Run runs.
package child

import (
	"context"
	"os/exec"
	"runtime"
	"time"
)

// pipesWithin is how long output may take to arrive after a command has ended:
// something else may hold its pipes open.
const pipesWithin = time.Second

// Run runs cmd, made by exec.Command, until it ends. When ctx ends first it asks
// cmd to stop, and kills it if it has not done so within grace. Whatever cmd has
// started and left running is killed too. started, which may be nil, hears the
// process id. The error is that of cmd, and nil if ctx ended it.
func Run(ctx context.Context, cmd *exec.Cmd, grace time.Duration, started func(pid int)) error {
	// Linux ends a child with the thread that started it, so this one must not
	// end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dieTogether(cmd)
	cmd.WaitDelay = pipesWithin
	group, err := Start(cmd)
	if err != nil {
		return err
	}
	defer group.Close()
	defer group.Kill()
	if started != nil {
		started(cmd.Process.Pid)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if group.Ask() {
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-ended:
			return nil
		case <-patience.C:
		}
	}
	group.Kill()
	<-ended
	return nil
}
