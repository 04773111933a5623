package doctor

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/service"
)

func TestKept(t *testing.T) {
	patient := told(t, api.Status{})
	here := patient.Config.Data.Dir
	for _, c := range []struct {
		status service.Status
		err    error
		state  State
		says   []string
	}{
		{service.Status{}, fettle.Errorf(fettle.NotFound, "none"), Off, []string{"nobody starts the server", "fettle service install"}},
		{service.Status{}, errors.New("no bus"), Warning, []string{"no bus"}},
		{service.Status{Data: filepath.Join(here, "..", "other"), Running: true}, nil, Off, []string{"another data folder", "--data "}},
		{service.Status{Data: here, State: "failed (failed), its last end: watchdog"}, nil, Error, []string{"watchdog", "fettle service logs", "fettle service start"}},
		{service.Status{Data: here, State: "active (running)", Running: true}, nil, Warning, []string{"does not start with the computer"}},
		{service.Status{Data: here, State: "active (running)", Running: true, Enabled: true, Restarts: 3}, nil, Warning, []string{"started again 3 times"}},
		{service.Status{Data: here + string(filepath.Separator), State: "active (running)", Running: true, Enabled: true}, nil, OK, []string{"active (running)"}},
	} {
		patient.Service = func(context.Context) (service.Status, error) { return c.status, c.err }
		wants(t, Examine(t.Context(), patient), "service", c.state, c.says...)
	}

	// Where there is a service, it is the service that is to be started.
	patient.Ask, patient.Absent = nil, fettle.Errorf(fettle.NotFound, "no server")
	patient.Service = func(context.Context) (service.Status, error) { return service.Status{Data: here}, nil }
	wants(t, Examine(t.Context(), patient), "server", Warning, "fettle service restart")
}
