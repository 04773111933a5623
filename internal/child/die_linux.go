package child

import "syscall"

// dieTogether has the kernel kill the process when this program is killed.
func dieTogether(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
