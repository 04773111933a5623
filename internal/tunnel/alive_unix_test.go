//go:build unix

package tunnel

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// alive tells whether a process runs. One that has ended and whose parent has
// not asked for how (in a container nobody may) does not.
func alive(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // only on Linux
	return syscall.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}
