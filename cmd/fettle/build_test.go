//go:build browser || peers_light || peers

package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// buildFettle builds the program as it is shipped, without C.
func buildFettle(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "fettle")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
