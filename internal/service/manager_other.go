//go:build !linux && !windows

package service

import (
	"context"
	"path/filepath"
	"runtime"

	"fettle"
)

type nobody struct{}

// Here is the manager of this system. fettle knows none: it says what to do
// instead.
func Here(Say) Manager { return nobody{} }

func (nobody) refuse() error {
	return fettle.Errorf(fettle.Unavailable, "fettle cannot install itself as a service on %s; let what keeps its services (launchd, rc) run `fettle serve`. It ends by SIGTERM, and what was acknowledged is never lost", runtime.GOOS)
}

func (nobody) Usual() Spec {
	return Spec{Program: "/usr/local/bin/fettle", Config: "/usr/local/etc/fettle.yaml", Data: filepath.Join("/usr/local/var", Name)}
}
func (n nobody) Installed() (Spec, error)               { return Spec{}, notInstalled() }
func (n nobody) Preview(Spec) string                    { return n.refuse().Error() + "\n" }
func (n nobody) Install(context.Context, Spec) error    { return n.refuse() }
func (n nobody) Uninstall(context.Context) error        { return n.refuse() }
func (n nobody) Start(context.Context) error            { return n.refuse() }
func (n nobody) Stop(context.Context) error             { return n.refuse() }
func (n nobody) Restart(context.Context) error          { return n.refuse() }
func (n nobody) Status(context.Context) (Status, error) { return Status{}, notInstalled() }
