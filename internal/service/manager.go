package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fettle"
)

// A Manager is what keeps services on this operating system. Where one asks for
// more rights than this process has, its methods return an error of kind
// Forbidden that says how to get them.
type Manager interface {
	// Usual is where things are, unless somebody wants them elsewhere.
	Usual() Spec
	// Installed is what was installed; NotFound if nothing was.
	Installed() (Spec, error)
	// Preview is what Install would write, as text.
	Preview(Spec) string
	// Install copies the running program to its place, makes what the service
	// needs and is not there, and starts the service, anew if it runs. It returns
	// once the service is ready. Doing it again is an update.
	Install(context.Context, Spec) error
	// Uninstall stops the service and takes it away, but for data, settings and
	// program.
	Uninstall(context.Context) error
	Start(context.Context) error   // returns once it is ready
	Stop(context.Context) error    // returns once it has ended
	Restart(context.Context) error // both
	Status(context.Context) (Status, error)
}

// Status is how a service is doing, as its manager sees it.
type Status struct {
	State    string    `json:"state" doc:"In the manager's own words"`
	Running  bool      `json:"running"`
	Enabled  bool      `json:"enabled" doc:"Whether it starts with the computer"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts" doc:"How often it was started again because it died or hung"`
	Says     string    `json:"says,omitempty" doc:"What it said of itself last"`
	Memory   int64     `json:"memory_bytes,omitempty" doc:"With all that it has started"`
	Program  string    `json:"program"`
	Config   string    `json:"config"`
	Data     string    `json:"data"`
	Where    string    `json:"where" doc:"Where the service itself stands"`
}

// Say tells a person what was done.
type Say func(format string, args ...any)

// notInstalled is the error of whoever needs a service and finds none.
func notInstalled() error {
	return fettle.Errorf(fettle.NotFound, "fettle is not installed as a service here; `fettle service install` does it")
}

// copyProgram puts the running program where the service is to find it, unless
// it is there. What is there is replaced whole or not at all.
func copyProgram(to string, say Say) error {
	from, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if there, err := os.Stat(to); err == nil {
		if here, err := os.Stat(from); err == nil && os.SameFile(there, here) {
			return nil
		}
	}
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	defer source.Close()
	if err := writeWhole(to, 0o755, source); err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	say("copied this program to %s", to)
	return nil
}

// writeWhole makes a file of what it reads, and its folder.
func writeWhole(path string, mode fs.FileMode, from io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".fettle-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name()) // gone, if all went well
	_, err = io.Copy(draft, from)
	err = errors.Join(err, draft.Chmod(mode), draft.Sync(), draft.Close())
	if err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}

// exists tells whether there is something of a name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
