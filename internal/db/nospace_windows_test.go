package db

import (
	"fmt"
	"testing"

	"golang.org/x/sys/windows"
)

// A full disk is known by both of Windows' names for it.
func TestNoSpaceOnWindows(t *testing.T) {
	for err, want := range map[error]bool{windows.ERROR_DISK_FULL: true, windows.ERROR_HANDLE_DISK_FULL: true, windows.ERROR_ACCESS_DENIED: false} {
		if got := NoSpace(fmt.Errorf("write: %w", err)); got != want || noRoom(err) != want {
			t.Errorf("%v: %v, %v; expected %v", err, got, noRoom(err), want)
		}
	}
}
