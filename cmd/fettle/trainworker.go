package main

import (
	"context"
	"io"
	"os"

	"fettle/internal/train"
)

// trainWorkerCmd is what a server and a cluster start, not a person.
type trainWorkerCmd struct{}

func (trainWorkerCmd) Help() string {
	return "Reads one job, a line of JSON, from standard input, tells its progress on standard error, and answers with one line: the model's folder, or what is wrong. FORMAT.md has both lines. Started by the server (fettle train), or by Spark on its executors." + exitCodes
}

func (trainWorkerCmd) Run(ctx context.Context, out io.Writer) error {
	go train.ExitWithParent(ctx)
	return train.Work(ctx, os.Stdin, out, os.Stderr)
}
