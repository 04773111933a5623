package rename

import (
	"errors"

	"golang.org/x/sys/windows"
)

// held tells whether somebody has a file open, or may have: Windows refuses
// access to a name that stands until the last of its readers has gone.
func held(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}
