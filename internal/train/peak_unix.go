//go:build unix

package train

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// peakBytes is the most memory that the process ever held. The unit of
// ru_maxrss is kilobytes, but on Darwin bytes (getrusage(2)).
func peakBytes() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(r.Maxrss)
	}
	return int64(r.Maxrss) << 10
}
