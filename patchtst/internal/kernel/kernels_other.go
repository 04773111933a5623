//go:build !amd64

package kernel

// vectorised are the implementations in assembly: none on this processor.
func vectorised() []*Kernels { return nil }
