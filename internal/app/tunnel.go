package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/tunnel"
)

// tunnels is the way in from outside: the tunnel that the configuration wants
// for as long as the server runs, or one that a command holds for as long as it
// runs. There is one at a time.
type tunnels struct {
	cfg    config.Tunnel
	folder string
	deps   tunnel.Deps // without Changed
	say    func(fettle.Tunnel)
	log    *slog.Logger

	held sync.WaitGroup // tunnels that commands hold

	mu      sync.Mutex
	current *tunnel.Tunnel // nil: none
}

func (a *App) newTunnels() *tunnels {
	return &tunnels{
		cfg: a.cfg.Tunnel, folder: a.cfg.Data.Tunnel(), log: a.logOf("tunnel"),
		deps: tunnel.Deps{Keyed: a.web.keyedAddress, Open: a.web.address, HasKey: a.keys.Any, Log: a.logOf("tunnel")},
		say:  func(s fettle.Tunnel) { a.flow.say(fettle.EventTunnel, "", s) },
	}
}

// run keeps the configured tunnel, and waits for those that commands hold.
func (t *tunnels) run(ctx context.Context) error {
	defer t.held.Wait()
	if t.cfg.Mode == "off" {
		<-ctx.Done()
		return nil
	}
	one, err := t.claim(t.cfg.Mode, t.cfg.Name, t.say)
	if err != nil {
		return err
	}
	defer t.release()
	return one.Run(ctx)
}

// claim makes a tunnel the current one.
func (t *tunnels) claim(kind, name string, changed func(fettle.Tunnel)) (*tunnel.Tunnel, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		s := t.current.State()
		return nil, fettle.Errorf(fettle.Conflict, "the server keeps a %s tunnel already, %s %s; `fettle tunnel status` tells more", s.Kind, s.State, s.URL)
	}
	cfg := tunnel.Config{Kind: kind, Binary: t.cfg.Binary, Folder: t.folder, Places: tunnel.SystemPlaces()}
	if kind == tunnel.Named {
		cfg.Name, cfg.File, cfg.Token, cfg.Hostname = cmp.Or(name, t.cfg.Name), t.cfg.File, t.cfg.Token.Reveal(), t.cfg.Hostname
		if name != "" && name != t.cfg.Name {
			cfg.File, cfg.Token, cfg.Hostname = "", "", "" // those are of the configured one
		}
	}
	deps := t.deps
	deps.Changed = changed
	t.current = tunnel.New(cfg, deps)
	return t.current, nil
}

func (t *tunnels) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = nil
}

// Tunnel is how the way in from outside is doing.
func (t *tunnels) Tunnel() fettle.Tunnel {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		return fettle.Tunnel{State: fettle.TunnelOff}
	}
	return t.current.State()
}

// maxUntold bounds the states that wait for whoever holds a tunnel.
const maxUntold = 64

// HoldTunnel keeps a tunnel until the context ends. Of states that nobody takes
// the newest are lost; each is in the event log.
func (t *tunnels) HoldTunnel(ctx context.Context, kind, name string) (<-chan fettle.Tunnel, error) {
	if !t.deps.HasKey() {
		return nil, fettle.Errorf(fettle.Conflict, "no key exists, so nobody could use the tunnel; run `fettle key create NAME` first")
	}
	states := make(chan fettle.Tunnel, maxUntold)
	one, err := t.claim(kind, name, func(s fettle.Tunnel) {
		t.say(s)
		select {
		case states <- s:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	t.held.Go(func() {
		defer close(states)
		defer t.release()
		if err := one.Run(ctx); err != nil {
			t.log.Error("tunnel ended", "err", err)
		}
	})
	return states, nil
}

// public is the public address while it leads here; empty otherwise.
func (t *tunnels) public() string {
	if s := t.Tunnel(); s.State == fettle.TunnelUp || s.State == fettle.TunnelElsewhere {
		return s.URL
	}
	return ""
}

// part is the tunnel's line in the status.
func (t *tunnels) part() api.Part {
	s := t.Tunnel()
	part := api.Part{Name: "tunnel", State: api.PartOK, Detail: string(s.State)}
	switch {
	case s.State == fettle.TunnelOff:
		part.State = api.PartOff
		return part
	case s.State == fettle.TunnelDown:
		part.State = api.PartError
	case s.State != fettle.TunnelUp || s.Outside != fettle.OutsideReached || s.Detail != "":
		part.State = api.PartWarning
	}
	part.Detail = s.Kind + ", " + string(s.State)
	if s.URL != "" {
		part.Detail += ", " + s.URL
	}
	if s.Outside == fettle.OutsideReached {
		part.Detail += ", reached from outside"
	}
	if s.Detail != "" {
		part.Detail += "; " + s.Detail
	}
	if s.Starts > 1 {
		part.Detail += fmt.Sprintf("; cloudflared was started %d times", s.Starts)
	}
	return part
}
