package readings

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"fettle/internal/db"
)

// KeepConfig says how closed days are kept. Zero durations and bytes are as
// named here, or without bound.
type KeepConfig struct {
	Grace     time.Duration // of event time from the end of a day to its sealing; 0: 10 min
	Spread    time.Duration // how far the sealing of different machines is spread beyond that; 0: 20 min
	Every     time.Duration // of the wall clock between two rounds; 0: 30 s
	Retention Retention
}

// A Retention says how long files are kept, by kind, counted back from the
// machine's newest reading, and how much disk all files may take.
type Retention struct {
	Default  Ages
	Machines map[string]Ages // instead of Default
	Budget   int64           // bytes of all files; the oldest readings go first; 0: no bound
}

// Ages are the ages beyond which files go, by kind; 0: never.
type Ages [kinds]time.Duration

func (r Retention) of(machine string) Ages {
	if ages, found := r.Machines[machine]; found {
		return ages
	}
	return r.Default
}

func (c KeepConfig) withDefaults() KeepConfig {
	if c.Grace == 0 {
		c.Grace = 10 * time.Minute
	}
	if c.Spread == 0 {
		c.Spread = 20 * time.Minute
	}
	if c.Every == 0 {
		c.Every = 30 * time.Second
	}
	return c
}

// A Keeper seals days that are over and lets go of what is too old, in the
// background. What it cannot seal stays in the store, where it is as safe, and
// is tried again with the next round.
type Keeper struct {
	cfg     KeepConfig
	store   *Store
	log     *slog.Logger
	trouble atomic.Pointer[error] // of the last round; nil: there was none
}

// NewKeeper makes the keeper of a store.
func NewKeeper(cfg KeepConfig, s *Store, log *slog.Logger) *Keeper {
	return &Keeper{cfg: cfg.withDefaults(), store: s, log: log}
}

// Run keeps until the context ends.
func (k *Keeper) Run(ctx context.Context) error {
	if err := k.store.sweep(ctx); err != nil && ctx.Err() == nil {
		k.log.Warn("files that a crash left behind are still there", "err", err)
	}
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		k.roundSafely(ctx)
	}
}

// roundSafely is Round whose faults are its own.
func (k *Keeper) roundSafely(ctx context.Context) {
	defer func() {
		if bug := recover(); bug != nil {
			k.log.Error("BUG: keeper panicked", "err", bug, "stack", string(debug.Stack()))
		}
	}()
	if err := k.Round(ctx); ctx.Err() == nil {
		k.note(err)
	}
}

// note remembers what became of a round. Trouble is logged when it begins,
// becomes another, and ends.
func (k *Keeper) note(err error) {
	before := k.Trouble()
	if err == nil {
		k.trouble.Store(nil)
		if before != nil {
			k.log.Info("closed days are kept as they should be again")
		}
		return
	}
	k.trouble.Store(&err)
	if before == nil || db.Full(before) != db.Full(err) {
		k.log.Error("closed days are not kept as they should be; nothing is lost, and each round tries again", "err", err)
	}
}

// Trouble says why days were not sealed, or files not removed, in the last
// round; nil if all was well.
func (k *Keeper) Trouble() error {
	if err := k.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Round seals what is due and has not been touched since the last round, and
// lets go of what is too old. One machine's trouble does not stop the others;
// a full disk stops sealing, but not what makes room.
func (k *Keeper) Round(ctx context.Context) error {
	var met faults
	sealed := 0
	full := k.store.db.Trouble()
	met.add(full)
	names := k.store.names()
	slices.SortFunc(names, func(a, b string) int { return int(jitter(a)) - int(jitter(b)) }) // in no order that senders could share
	for _, name := range names {
		m, found := k.store.machine(name)
		if !found {
			continue
		}
		if full == nil {
			n, err := k.sealDue(ctx, m)
			sealed += n
			met.add(err)
			if db.Full(err) {
				full = err
			}
		}
		met.add(k.store.expire(m, k.cfg.Retention.of(name)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if sealed > 0 {
		debug.FreeOSMemory() // some MB for each day, which nobody needs until the next days end
	}
	if k.cfg.Retention.Budget > 0 {
		met.add(k.store.shrink(ctx, k.cfg.Retention.Budget))
	}
	return met.err()
}

// faults gathers the errors of many machines, which are mostly one and the same.
type faults struct {
	first error
	more  int
}

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case f.first == nil:
		f.first = err
	default:
		f.more++
	}
}

func (f *faults) err() error {
	if f.more == 0 {
		return f.first
	}
	return fmt.Errorf("%w (and %d more)", f.first, f.more)
}

// jitter is a number of 0..999 that belongs to a machine.
func jitter(machine string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(machine))
	return h.Sum32() % 1000
}

// sealDue seals the days of one machine, resting a quarter as long as each took a
// core for, so that none is ever taken for long. Waiting for the disk is rest.
func (k *Keeper) sealDue(ctx context.Context, m *machine) (sealed int, err error) {
	grace := k.cfg.Grace + k.cfg.Spread*time.Duration(jitter(m.name))/1000
	for _, at := range k.store.due(m, grace) {
		begin := time.Now()
		done, err := k.store.seal(m, at)
		if err != nil {
			return sealed, err
		}
		if done.Done {
			sealed++
			k.log.Debug("day sealed", "machine", m.name, "day", dayName(at), "rows", done.Rows, "bytes", done.Bytes, "anew", done.Anew)
		}
		select {
		case <-ctx.Done():
			return sealed, nil
		case <-time.After(done.worked/4 - (time.Since(begin) - done.worked)):
		}
	}
	return sealed, nil
}

// due lists the days with rows in the store that the watermark has left by more
// than a grace and that were not touched since this was asked the last time.
func (s *Store) due(m *machine, grace time.Duration) []int64 {
	s.writing.Lock()
	defer s.writing.Unlock()
	last := m.state.Load().last
	var due []int64
	for at, open := range m.open {
		if at+dayMicros+grace.Microseconds() > last {
			continue
		}
		if open.quiet == open.touched+1 {
			due = append(due, at)
		}
		open.quiet = open.touched + 1
	}
	slices.Sort(due)
	return due
}

// SealAll seals all days that the machines' watermarks have left, at once.
func (s *Store) SealAll(ctx context.Context) (sealed int, err error) {
	for _, name := range s.names() {
		m, _ := s.machine(name)
		s.due(m, 0)
		for _, at := range s.due(m, 0) {
			done, err := s.seal(m, at)
			if err != nil || ctx.Err() != nil {
				return sealed, errors.Join(err, ctx.Err())
			}
			if done.Done {
				sealed++
			}
		}
	}
	return sealed, nil
}

func (s *Store) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make([]string, 0, len(s.machines))
	for name := range s.machines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
