//go:build !amd64

package kernel

// vectorised are the implementations in assembly: none on this processor.
func vectorised() []*Kernels { return nil }

// pause could tell the processor that its thread is waiting for another one.
func pause() {}
