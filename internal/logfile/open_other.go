//go:build !windows

package logfile

import "os"

func open(path string) (*os.File, error) { return os.Open(path) }
