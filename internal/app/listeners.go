package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/web"
)

const (
	// headerWithin bounds how long a client may take to say what it wants, and
	// maxHeader how much. How long an answer may take is the API's to say, a
	// route at a time.
	headerWithin = 10 * time.Second
	maxHeader    = 32 << 10
	idleFor      = 2 * time.Minute
	// stopWithin is how long requests under way may take when the server stops.
	stopWithin = 3 * time.Second
)

// listeners are the two doors of HTTP: one that knows the local user, and one
// that asks everybody for a key.
type listeners struct {
	cfg   config.HTTP
	api   *api.API
	keys  *api.Keys
	token string // administers this run of the server; commands find it in server.json
	log   *slog.Logger

	tunnel bool // one is configured

	open, keyed net.Listener // keyed is nil if it is off
}

func (a *App) newAPI() (*api.API, error) {
	page, err := web.New(web.Deps{
		Machines: a.machines, Unit: a.unit, Version: a.version, Verdict: a.flow.judge.Latest, Broker: a.flow.broker.Addr, Training: a.newestTraining,
		Ahead: a.ahead, Trust: a.trust, Public: a.tunnels.public,
		Alarms: func(state, machine string, limit int) []fettle.Alarm {
			return a.flow.alarms.List(alarm.Filter{State: state, Machine: machine, Limit: limit})
		},
	})
	if err != nil {
		return nil, err
	}
	return api.New(api.Config{
		Version: a.version, Lines: lines(a.cfg.Ingest), LocalOpen: a.cfg.Auth.Local == "open", Hosts: a.cfg.HTTP.Hosts, Now: a.now,
		Origins: a.cfg.HTTP.Origins, Proxies: networks(a.cfg.HTTP.Proxies), KeyRate: a.cfg.HTTP.KeyRate, AddressRate: a.cfg.HTTP.AddressRate,
	}, api.Deps{
		Machines: a.machines, Models: a.models.List, Registry: a.models, Unit: a.unit, Readings: a.flow.readings, Ingest: a.flow.gate,
		Forecasts: a.flow.forecasts, Scores: a.flow.forecasts, Verdicts: a.flow.judge, Alarms: a.flow.alarms, Accept: a.flow.accept, Notices: a.notices, Events: a.flow.events, Keys: a.keys, Users: a.accounts, Keeping: a, Training: a.training, Workers: a.training,
		Status: a.status, Samples: a.samples, Ready: a.isReady, Page: page.Handler(), AdminToken: a.web.token,
		Tunnels: a.tunnels, Settings: a.settings, Silences: silences{a}, Pace: a.pace,
	}, a.logOf("http"))
}

// networks reads addresses and networks; the configuration has checked them.
func networks(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
		} else if network, err := netip.ParsePrefix(text); err == nil {
			list = append(list, network.Masked())
		}
	}
	return list
}

// isReady says why the server is not ready; nil if it is.
func (a *App) isReady() error {
	select {
	case <-a.ready:
		return a.db.Trouble()
	default:
		return fettle.Errorf(fettle.Unavailable, "still starting")
	}
}

// listen takes the addresses, so that a port that is taken is known before
// anything else starts.
func (l *listeners) listen() error {
	if !l.keys.Any() && !loopback(l.cfg.Listen) {
		return fettle.Errorf(fettle.Invalid, "http.listen is %s, which others can reach, and no key exists; run `fettle key create` first, or listen on 127.0.0.1", l.cfg.Listen)
	}
	if l.tunnel && !l.keys.Any() {
		return fettle.Errorf(fettle.Invalid, "tunnel.mode asks for a tunnel, and no key exists, so nobody could use it; run `fettle key create NAME` first")
	}
	var err error
	if l.open, err = listenOn("http.listen", l.cfg.Listen); err != nil {
		return err
	}
	if l.cfg.KeyedListen == "" {
		return nil
	}
	if l.keyed, err = listenOn("http.keyed_listen", l.cfg.KeyedListen); err != nil {
		return errors.Join(err, l.open.Close())
	}
	return nil
}

func listenOn(setting, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("listen on %s (%s): %w; ports below 1024 are the system's: choose another in %s, and let a proxy or a tunnel lead there", address, setting, err, setting)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w; stop what holds the port, or choose another in %s (0 takes a free one)", address, setting, err, setting)
	}
	return listener, nil
}

// loopback tells whether only this computer can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// run serves until the context ends.
func (l *listeners) run(ctx context.Context) error {
	var servers errgroup.Group
	serve := func(listener net.Listener, keyed bool) {
		server := &http.Server{
			Handler: l.api.Handler(keyed), ReadHeaderTimeout: headerWithin, MaxHeaderBytes: maxHeader, IdleTimeout: idleFor,
			ErrorLog:    slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
			BaseContext: func(net.Listener) context.Context { return ctx }, // streams end with the server
		}
		servers.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		servers.Go(func() error {
			<-ctx.Done()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
			defer cancel()
			if err := server.Shutdown(last); err != nil {
				return server.Close()
			}
			return nil
		})
	}
	serve(l.open, false)
	if l.keyed != nil {
		serve(l.keyed, true)
	}
	return servers.Wait()
}

// answers asks the open listener as anybody would.
func (l *listeners) answers(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address()+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", l.address(), err)
	}
	return response.Body.Close()
}

func (l *listeners) address() string { return l.open.Addr().String() }

func (l *listeners) keyedAddress() string {
	if l.keyed == nil {
		return ""
	}
	return l.keyed.Addr().String()
}

// newToken is a fresh secret for the commands beside this run of the server.
func newToken() string { return rand.Text() + rand.Text() }
