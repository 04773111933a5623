package doctor

import (
	"context"
	"fmt"
	"strings"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/tunnel"
)

// tunnelState tells what the server says of the tunnel, with the three things to
// look at when it fails: the program's version, the login, and what it calls.
func tunnelState(_ context.Context, f *facts) []Finding {
	part, known := f.part("tunnel")
	if !known || part.State == api.PartOff {
		return one("tunnel", Off, "off", "")
	}
	do := ""
	if part.State != api.PartOK {
		do = "`cloudflared --version` must answer, which the line cloudflared tells of; `cloudflared tunnel login` must have been done, for a tunnel with a name; and what it calls is http.keyed_listen, which the line http with a key tells of"
	}
	return one("tunnel", State(part.State), part.Detail, do)
}

// tunnelled tells whether anybody wants a tunnel: the settings, or a command
// beside the server.
func (f *facts) tunnelled() bool {
	part, known := f.part("tunnel")
	return f.Config.Tunnel.Mode != "off" || known && part.State != api.PartOff
}

// cloudflared looks for the program, and asks for its version.
func cloudflared(ctx context.Context, f *facts) []Finding {
	path, err := tunnel.Find(f.Config.Tunnel.Binary)
	switch {
	case fettle.KindOf(err) == fettle.NotFound && !f.tunnelled():
		return one("cloudflared", Off, "not there, and only a tunnel needs it", "")
	case err != nil:
		return one("cloudflared", Error, fmt.Sprintf("no tunnel without it: %v", err), "")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	version, err := tunnel.Cloudflared{Path: path}.Version(ctx)
	if err != nil {
		return one("cloudflared", Error, fmt.Sprintf("%s does not tell its version: %v", path, err), "put a working one in its place, or name another in tunnel.binary")
	}
	return one("cloudflared", OK, version+", "+path, "")
}

// listenersOf are fettle's own addresses: those that are, else those to be.
func (f *facts) listenersOf() tunnel.Listeners {
	if f.status == nil {
		return tunnel.Listeners{Keyed: f.Config.HTTP.KeyedListen, Open: f.Config.HTTP.Listen}
	}
	return tunnel.Listeners{Keyed: f.status.Addresses.KeyedHTTP, Open: f.status.Addresses.HTTP}
}

// tunnelService looks at a cloudflared that the operating system keeps: it runs
// whether fettle does or not, and nobody would see where it leads.
func tunnelService(_ context.Context, f *facts) []Finding {
	service, found := f.Places.Service()
	if !found {
		return nil
	}
	const check = "tunnel service"
	listeners := f.listenersOf()
	file := service.File(f.Places)
	switch {
	case service.ByToken:
		return one(check, OK, fmt.Sprintf("%s (%s) runs with a token", service.Name, service.Unit),
			"its rules stand at Cloudflare, where nobody here can look: they must lead to http://"+listeners.Keyed)
	case listeners.Exposed(file):
		return one(check, Error, fmt.Sprintf("%s (%s): %s", service.Name, service.Unit, says(listeners.Warning(file))), "in "+file.Path+" "+advice(listeners.Warning(file))+", and restart it")
	case file.Err != nil:
		return one(check, Warning, fmt.Sprintf("%s (%s): %v", service.Name, service.Unit, file.Err), "let the user who runs the doctor read it")
	case file.Path == "":
		return one(check, OK, fmt.Sprintf("%s (%s), no configuration found", service.Name, service.Unit), "")
	}
	return one(check, OK, fmt.Sprintf("%s (%s) with %s, not to the listener that knows the local user", service.Name, service.Unit, file.Path), "")
}

// tunnelFiles names each configuration file of cloudflared that would lead
// strangers to the listener that knows the local user, as the old system's did.
func tunnelFiles(_ context.Context, f *facts) []Finding {
	listeners := f.listenersOf()
	var found []Finding
	for _, file := range append(f.Places.Files(), tunnel.ReadFile(tunnel.OwnFile(f.Config.Data.Tunnel()))) {
		if listeners.Exposed(file) {
			warning := listeners.Warning(file)
			found = append(found, Finding{"tunnel file", Warning, says(warning), advice(warning)})
		}
	}
	return found
}

// A warning of the tunnel says what is, then what to do.
func says(warning string) string   { return part(warning, 0) }
func advice(warning string) string { return part(warning, 1) }

func part(warning string, n int) string {
	parts := append(strings.SplitN(warning, "; ", 2), "")
	return parts[n]
}
