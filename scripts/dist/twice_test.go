//go:build peers

package main

import (
	"io"
	"testing"
)

// The same sources in two folders make the same archive. make dist-check does
// it for all targets, and without Go's cache.
func TestTwice(t *testing.T) {
	r := release{version: "v1.2.3", date: date, source: "../..", out: t.TempDir()}
	first, err := r.build([]target{targets[0]}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.again(t.TempDir(), []target{targets[0]}, "")
	if err != nil {
		t.Fatal(err)
	}
	if again != first {
		t.Errorf("first:\n%s\nagain:\n%s", first, again)
	}
}
