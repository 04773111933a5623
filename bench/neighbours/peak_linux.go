package main

import (
	"os/exec"
	"syscall"
)

// peakMB is the memory of a command that has ended, at its most, in MB.
func peakMB(command *exec.Cmd) float64 {
	usage, known := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !known {
		return 0
	}
	return float64(usage.Maxrss) * 1024 / 1e6 // it is in KiB
}
