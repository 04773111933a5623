package child

import (
	"os/exec"
	"syscall"
)

// dieTogether has the kernel kill a command when the thread that starts it is
// gone, with this program say.
func dieTogether(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
