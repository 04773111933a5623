//go:build !linux

package doctor

// clockIsKept is true where the system is not asked.
func clockIsKept() bool { return true }
