package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fettle"
	"fettle/internal/child"
)

// Kinds of tunnels.
const (
	Quick = "quick" // a new address at each start, without an account
	Named = "named" // of an account, at an address of one's own
)

// A Config says which tunnel is wanted.
type Config struct {
	Kind     string // Quick or Named
	Name     string // of a named tunnel; may be empty if its configuration file or token says which
	Binary   string // cloudflared: a path, or a name to look for; empty: cloudflared
	File     string // cloudflared's configuration file of a named tunnel; empty: found in Own and Places
	Token    string // of a named tunnel that is set up at Cloudflare, in place of a file
	Hostname string // public name, where a file does not say it
	Folder   string // for cloudflared's log and what else is kept of a tunnel
	Places   Places // where cloudflared keeps its files
}

// Deps are what a Tunnel asks and tells while it runs.
type Deps struct {
	Keyed   func() string       // address of the listener that asks everybody for a key, host:port; empty: off
	Open    func() string       // address of the other one, which no tunnel may lead to
	HasKey  func() bool         // whether any key exists
	Changed func(fettle.Tunnel) // called from one goroutine at a time, after each change
	Public  *http.Client        // asks the public address; nil: one that checks certificates
	Log     *slog.Logger
}

// A pace is how long things may take.
type pace struct {
	poll      time.Duration // from one look at the metrics address to the next
	hung      time.Duration // without an answer there for so long cloudflared is started anew
	lost      time.Duration // without a connection for so long, too
	grace     time.Duration // to stop after being asked
	first     time.Duration // pause before the second start; it doubles with each
	most      time.Duration // longest pause
	calm      time.Duration // connected for so long, the pauses begin anew
	settle    time.Duration // from a new address to the first look at it: names take time to spread
	lookEvery time.Duration // from one look at the public address to the next
}

func usualPace() pace {
	return pace{
		poll: time.Second, hung: time.Minute, lost: 5 * time.Minute, grace: 10 * time.Second,
		first: time.Second, most: 5 * time.Minute, calm: 2 * time.Minute, settle: 10 * time.Second, lookEvery: time.Minute,
	}
}

// A Tunnel is one cloudflared that is kept running.
type Tunnel struct {
	Deps
	cfg  Config
	pace pace

	mu      sync.Mutex // guards what follows, and orders calls of Changed
	state   fettle.Tunnel
	upSince time.Time // of the current run of cloudflared; zero: not connected yet
	told    string    // what the run tells, in words
	outside string    // what asking the public address has brought, in words
}

// New prepares a tunnel and starts nothing.
func New(cfg Config, deps Deps) *Tunnel {
	if deps.Public == nil {
		deps.Public = &http.Client{}
	}
	return &Tunnel{Deps: deps, cfg: cfg, pace: usualPace(), state: fettle.Tunnel{
		State: fettle.TunnelOff, Kind: cfg.Kind, Name: cfg.Name, Since: time.Now().UTC(), Outside: fettle.OutsideUnknown,
	}}
}

// State is how the tunnel is doing.
func (t *Tunnel) State() fettle.Tunnel {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Run keeps the tunnel until the context ends. What goes wrong with it is told
// by its state: nothing of it stops the server.
func (t *Tunnel) Run(ctx context.Context) error {
	var looking sync.WaitGroup
	looking.Go(func() { t.look(ctx) })
	defer looking.Wait()
	pause := t.pace.first
	for ctx.Err() == nil {
		err := t.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		if t.wasCalm() {
			pause = t.pace.first
		}
		if kept := new(elsewhere); errors.As(err, kept) {
			t.set(fettle.TunnelElsewhere, kept.url, kept.Error())
		} else {
			t.Log.Warn("tunnel is down", "err", err, "again_in", pause)
			t.set(fettle.TunnelDown, "", fmt.Sprintf("%v; next try in %v", err, pause))
		}
		sleep(ctx, pause)
		pause = min(2*pause, t.pace.most)
	}
	t.set(fettle.TunnelOff, "", "")
	return nil
}

// Reasons to end a cloudflared that runs.
var (
	errHung = fettle.Errorf(fettle.Unavailable, "cloudflared did not answer on its metrics address any more and was stopped")
	errLost = fettle.Errorf(fettle.Unavailable, "cloudflared had no connection to Cloudflare for too long and was stopped; is the internet reachable from here, port 7844 (outgoing)?")
)

// attempt runs cloudflared once, until it ends or is of no use any more.
func (t *Tunnel) attempt(ctx context.Context) error {
	run, err := t.plan()
	if err != nil {
		return err
	}
	log, err := openLog(filepath.Join(t.cfg.Folder, LogFile))
	if err != nil {
		return err
	}
	defer log.Close()
	t.begin(run.url)
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { t.watch(ctx, stop, run) })
	cmd := exec.Command(run.binary, run.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(cleanEnvironment(os.Environ()), run.env...), log, log
	err = child.Run(ctx, cmd, t.pace.grace, func(pid int) { t.Log.Info("cloudflared started", "pid", pid, "to", run.target) })
	cause := context.Cause(ctx)
	stop(nil)
	watching.Wait()
	switch {
	case cause != nil:
		return cause
	case err == nil:
		return fettle.Errorf(fettle.Unavailable, "cloudflared ended by itself; it said last: %s", log.lastLine())
	default:
		return fettle.Errorf(fettle.Unavailable, "cloudflared ended (%w); it said last: %s", err, log.lastLine())
	}
}

// watch follows one run of cloudflared by its metrics address, and ends it if
// it is of no use any more.
func (t *Tunnel) watch(ctx context.Context, stop context.CancelCauseFunc, run plan) {
	answered, connected := time.Now(), time.Now()
	for sleep(ctx, t.pace.poll) {
		seen, err := run.metrics.ask(ctx)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if now.Sub(answered) > t.pace.hung {
				stop(errHung)
			}
			continue
		case seen.ready:
			answered, connected = now, now
			t.connected(run, seen)
			continue
		}
		answered = now
		if now.Sub(connected) > t.pace.lost {
			stop(errLost)
		} else if t.State().State == fettle.TunnelUp {
			t.set(fettle.TunnelDown, t.State().URL, "cloudflared has lost its connections and is connecting again by itself")
		}
	}
}

// connected notes what a connected cloudflared tells. A quick tunnel is up once
// its address is known.
func (t *Tunnel) connected(run plan, seen seen) {
	url := run.url
	if t.cfg.Kind == Quick {
		if seen.hostname == "" {
			return
		}
		url = "https://" + seen.hostname
	}
	detail := run.warning
	if url == "" {
		detail = "connected; its public name stands at Cloudflare, and tunnel.hostname can tell it here"
	}
	t.set(fettle.TunnelUp, url, detail)
}

// begin notes that cloudflared is being started.
func (t *Tunnel) begin(url string) {
	t.mu.Lock()
	t.state.Starts++
	t.upSince = time.Time{}
	t.mu.Unlock()
	t.set(fettle.TunnelStarting, url, "")
}

// set notes a state and tells of it if it is news.
func (t *Tunnel) set(state fettle.TunnelState, url, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.state
	next.State, next.URL, t.told = state, url, detail
	if next.URL != t.state.URL || state != fettle.TunnelUp && state != fettle.TunnelElsewhere {
		next.Outside, t.outside = fettle.OutsideUnknown, ""
	}
	t.news(next)
}

// news tells of a changed state. The mutex is held.
func (t *Tunnel) news(next fettle.Tunnel) {
	next.Detail = strings.Trim(t.told+"; "+t.outside, "; ")
	if next == t.state {
		return
	}
	now := time.Now()
	if next.State != t.state.State {
		next.Since = now.UTC()
	}
	if next.State == fettle.TunnelUp && (t.state.State != fettle.TunnelUp || next.URL != t.state.URL) {
		t.Log.Info("tunnel is up", "url", next.URL)
	}
	if next.State == fettle.TunnelUp && t.upSince.IsZero() {
		t.upSince = now
	}
	t.state = next
	t.Changed(next)
}

// wasCalm tells whether the last run of cloudflared was connected for long.
func (t *Tunnel) wasCalm() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.upSince.IsZero() && time.Since(t.upSince) >= t.pace.calm
}

// sleep waits; false if the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
