package doctor

import (
	"context"
	"fmt"
	"path/filepath"

	"fettle"
	"fettle/internal/service"
)

// kept tells whether the operating system keeps the server, so that it comes
// back with the computer.
func kept(_ context.Context, f *facts) []Finding {
	if f.Service == nil {
		return nil
	}
	s, err := f.keeper, f.keeperErr
	switch {
	case fettle.KindOf(err) == fettle.NotFound:
		return one("service", Off, "none: nobody starts the server with the computer", "`"+service.Sudo+"fettle service install`")
	case err != nil:
		return one("service", Warning, fmt.Sprintf("cannot tell: %v", err), "")
	case !f.isKept():
		return one("service", Off, "the service that is installed is for another data folder, "+s.Data, "--data "+s.Data+" looks that one over")
	case !s.Running:
		return one("service", Error, "it does not run: "+s.State, "`"+service.Sudo+"fettle service logs` may say why; `"+service.Sudo+"fettle service start` starts it")
	case !s.Enabled:
		return one("service", Warning, s.State+", but it does not start with the computer", "`"+service.Sudo+"fettle service install` again")
	case s.Restarts > 0:
		return one("service", Warning, fmt.Sprintf("%s; it was started again %d times because it died or hung", s.State, s.Restarts), "`"+service.Sudo+"fettle service logs` may say why")
	}
	return one("service", OK, s.State+", starts with the computer", "")
}

// isKept tells whether a service is installed that runs on the data folder that
// is looked at.
func (f *facts) isKept() bool {
	dir, err := filepath.Abs(f.Config.Data.Dir)
	return f.Service != nil && f.keeperErr == nil && err == nil && filepath.Clean(f.keeper.Data) == dir
}

// start is how the server is started here.
func (f *facts) start() string {
	if f.isKept() {
		return "`" + service.Sudo + "fettle service restart`"
	}
	return "`fettle serve`"
}
