package app

import (
	"context"
	"fmt"
	"os"
	"testing"

	"fettle/internal/train"
	"fettle/internal/tunnel/fake"
)

// TestMain lets the test binary be the worker that trains and cloudflared, too.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(fake.Mode) != "":
		fake.Main()
	case len(os.Args) > 1 && os.Args[1] == "train-worker":
		if err := train.Work(context.Background(), os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}
