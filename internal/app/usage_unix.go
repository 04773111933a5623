//go:build unix

package app

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is the time the process has spent on processors so far.
func processorTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// residentBytes is the memory the process holds: the second field of statm
// counts its pages (proc(5)). Elsewhere it is what Go itself holds.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return heldByGo()
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return heldByGo()
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return heldByGo()
	}
	return pages * int64(os.Getpagesize())
}
