//go:build unix && !linux

package child

import "syscall"

// dieTogether can do nothing here: these kernels know no such signal.
func dieTogether(*syscall.SysProcAttr) {}
