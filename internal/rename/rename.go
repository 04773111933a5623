// Package rename puts files and folders in place. Their old and new names come
// in, and what went wrong goes out. Windows moves nothing that another program
// holds open, as a virus scanner, a search index or a reader does for a moment;
// so there it is tried again for a while. It never copies and never deletes.
package rename

import (
	"os"
	"time"
)

const (
	within = 2 * time.Second // how long something may be held
	again  = 20 * time.Millisecond
)

// To renames as os.Rename does.
func To(from, to string) error {
	err := os.Rename(from, to)
	for end := time.Now().Add(within); held(err) && time.Now().Before(end); {
		time.Sleep(again)
		err = os.Rename(from, to)
	}
	return err
}
