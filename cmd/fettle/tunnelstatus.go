package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"

	"fettle"
	"fettle/internal/tunnel"
)

type tunnelStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

// tunnelHere is the tunnel, and what of cloudflared is on this computer.
type tunnelHere struct {
	Tunnel      *fettle.Tunnel  `json:"tunnel" doc:"null: no server runs"`
	Program     string          `json:"program,omitempty"`
	Version     string          `json:"version,omitempty"`
	Problem     string          `json:"problem,omitempty" doc:"Why there is no program"`
	Certificate string          `json:"certificate,omitempty"`
	Files       []tunnelFile    `json:"files"`
	Service     *tunnel.Service `json:"service,omitempty"`
	Warning     string          `json:"service_warning,omitempty"`
}

type tunnelFile struct {
	Path    string        `json:"path"`
	Tunnel  string        `json:"tunnel"`
	Rules   []tunnel.Rule `json:"rules"`
	Warning string        `json:"warning,omitempty"`
}

// Run tells of the tunnel, with or without a server.
func (c *tunnelStatusCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	var here tunnelHere
	server, err := findServer(ctx, cfg.Data.Dir)
	switch {
	case err == nil:
		if err := server.call(ctx, http.MethodGet, "/api/v1/tunnel", nil, &here.Tunnel); err != nil {
			return err
		}
	case fettle.KindOf(err) != fettle.NotFound:
		return err
	}
	here.look(ctx, cfg.Tunnel.Binary, tunnelListeners(cfg), tunnel.OwnFile(cfg.Data.Tunnel()))
	if c.JSON {
		return printJSON(out, here)
	}
	return here.print(out)
}

// look finds what of cloudflared is on this computer.
func (h *tunnelHere) look(ctx context.Context, binary string, at tunnel.Listeners, own string) {
	path, err := tunnel.Find(binary)
	if err == nil {
		h.Program = path
		h.Version, err = tunnel.Cloudflared{Path: path}.Version(ctx)
	}
	if err != nil {
		h.Problem = err.Error()
	}
	places := tunnel.SystemPlaces()
	h.Certificate, _ = places.Certificate()
	h.Files = []tunnelFile{}
	files := places.Files()
	if f := tunnel.ReadFile(own); f.Err == nil {
		files = append([]tunnel.File{f}, files...)
	}
	for _, f := range files {
		h.Files = append(h.Files, tunnelFile{Path: f.Path, Tunnel: f.Tunnel, Rules: append([]tunnel.Rule{}, f.Ingress...), Warning: at.Warning(f)})
	}
	if service, found := places.Service(); found {
		h.Service, h.Warning = &service, service.Warning(places, at)
	}
}

func (h *tunnelHere) print(out io.Writer) error {
	t := newTable(out)
	switch {
	case h.Tunnel == nil:
		t.row("tunnel", "no server runs; `fettle serve` starts one")
	default:
		t.row("tunnel", tellTunnel(*h.Tunnel))
		if h.Tunnel.URL != "" {
			t.row("address", h.Tunnel.URL)
		}
	}
	if h.Problem != "" {
		t.row("cloudflared", h.Problem)
	} else {
		t.row("cloudflared", h.Program+", "+h.Version)
	}
	if h.Certificate == "" {
		t.row("signed in", "no; only quick tunnels need no account")
	} else {
		t.row("signed in", h.Certificate)
	}
	for _, f := range h.Files {
		t.row("file", fmt.Sprintf("%s, of the tunnel %q", f.Path, f.Tunnel))
		for _, rule := range f.Rules {
			t.row("", fmt.Sprintf("%s%s leads to %s", cmp.Or(rule.Hostname, "anything else"), rule.Path, rule.Service))
		}
		if f.Warning != "" {
			t.row("", "warning: "+f.Warning)
		}
	}
	if h.Service != nil {
		t.row("service", fmt.Sprintf("%s is installed (%s)", h.Service.Name, h.Service.Unit))
		if h.Service.ByToken {
			t.row("", "it runs with a token: its rules stand at Cloudflare and must lead to the keyed listener")
		}
		if h.Warning != "" {
			t.row("", "warning: "+h.Warning)
		}
	}
	return t.Flush()
}
