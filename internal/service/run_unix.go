//go:build unix

package service

import (
	"context"
	"os"
)

// Run opens a program and runs it until the context ends or it ends by itself.
// If systemd has started this process, which it says itself, it is told how the
// program is doing.
func Run(ctx context.Context, _ bool, open func() (Program, error)) error {
	systemd, err := takeNotifier(os.Getpid())
	if err != nil {
		return err
	}
	defer systemd.close()
	systemd.tell("STATUS=opening the data folder")
	p, err := open()
	if err != nil {
		systemd.tell("STATUS=" + line(err.Error()))
		return err
	}
	err = run(ctx, p, systemd)
	if err != nil {
		systemd.tell("STATUS=" + line(err.Error()))
	}
	return err
}
