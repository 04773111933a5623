package app

import (
	"time"

	"golang.org/x/sys/windows"
)

// processorTime is the time the process has spent on processors so far.
func processorTime() time.Duration {
	var created, ended, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &ended, &kernel, &user) != nil {
		return 0
	}
	return spent(kernel) + spent(user)
}

// spent reads a Filetime that holds a duration, in units of 100 ns.
func spent(t windows.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}

// residentBytes is the memory the process holds, as far as Go knows.
func residentBytes() int64 { return heldByGo() }
