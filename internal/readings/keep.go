package readings

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fettle"
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
// background.
type Keeper struct {
	cfg   KeepConfig
	store *Store
	log   *slog.Logger
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

// roundSafely is Round whose faults are its own: they are logged, and the next
// round tries again.
func (k *Keeper) roundSafely(ctx context.Context) {
	defer func() {
		if bug := recover(); bug != nil {
			k.log.Error("BUG: keeper panicked", "err", bug, "stack", string(debug.Stack()))
		}
	}()
	if err := k.Round(ctx); err != nil && ctx.Err() == nil {
		k.log.Error("closed days are not kept as they should be; will try again", "err", err)
	}
}

// Round seals what is due and has not been touched since the last round, and
// lets go of what is too old. One machine's trouble does not stop the others.
func (k *Keeper) Round(ctx context.Context) error {
	var faults []error
	names := k.store.names()
	slices.SortFunc(names, func(a, b string) int { return int(jitter(a)) - int(jitter(b)) }) // in no order that senders could share
	for _, name := range names {
		m, found := k.store.machine(name)
		if !found {
			continue
		}
		if err := k.sealDue(ctx, m); err != nil {
			faults = append(faults, err)
		}
		if err := k.store.expire(m, k.cfg.Retention.of(name)); err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if k.cfg.Retention.Budget > 0 {
		faults = append(faults, k.store.shrink(ctx, k.cfg.Retention.Budget))
	}
	return errors.Join(faults...)
}

// jitter is a number of 0..999 that belongs to a machine.
func jitter(machine string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(machine))
	return h.Sum32() % 1000
}

// sealDue seals the days of one machine, resting after each half as long as it
// took, so that a core is never taken for long.
func (k *Keeper) sealDue(ctx context.Context, m *machine) error {
	grace := k.cfg.Grace + k.cfg.Spread*time.Duration(jitter(m.name))/1000
	for _, at := range k.store.due(m, grace) {
		begin := time.Now()
		done, err := k.store.seal(m, at)
		if err != nil {
			return err
		}
		if done.Done {
			k.log.Debug("day sealed", "machine", m.name, "day", dayName(at), "rows", done.Rows, "bytes", done.Bytes, "anew", done.Anew)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Since(begin) / 2):
		}
	}
	return nil
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

// expire removes the files of a machine that are older than their kind is kept.
func (s *Store) expire(m *machine, ages Ages) error {
	for k, age := range ages {
		if age <= 0 {
			continue
		}
		until := dayOf(m.state.Load().last - age.Microseconds())
		for {
			done, err := s.expireOne(m, Kind(k), until)
			if err != nil {
				return err
			}
			if done {
				break
			}
		}
	}
	return nil
}

// expireOne removes the oldest file of a kind, if its day is over before a time;
// done if there is none.
func (s *Store) expireOne(m *machine, k Kind, until int64) (done bool, err error) {
	if m.state.Load().floor[k] >= until {
		return true, nil
	}
	oldest, err := s.oldest(m, k)
	if err != nil || oldest == nil || oldest.end() > until {
		return true, err
	}
	return false, s.remove(m, oldest.at, k)
}

// oldest finds a machine's oldest file of a kind.
func (s *Store) oldest(m *machine, k Kind) (found *day, err error) {
	from := m.state.Load().floor[k]
	err = eachDay(s.db, m.name, from, latest, func(d *day) error {
		if !d.has(k) {
			return nil
		}
		found = d
		return Stop
	})
	return found, err
}

// shrink removes the oldest files of all machines, counted back from their
// watermarks, until the rest is within a budget: readings first, then the finer
// rollups, then the coarser.
func (s *Store) shrink(ctx context.Context, budget int64) error {
	for k := range Kind(kinds) {
		for s.Files().Bytes > budget && ctx.Err() == nil {
			var loser *machine
			var day int64
			age := int64(-1)
			for _, name := range s.names() {
				m, _ := s.machine(name)
				d, err := s.oldest(m, k)
				if err != nil {
					return err
				}
				if d != nil && m.state.Load().last-d.at > age {
					loser, day, age = m, d.at, m.state.Load().last-d.at
				}
			}
			if loser == nil {
				break
			}
			if err := s.remove(loser, day, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove lets go of a file, and, if it holds readings, of those that lie over
// it. First the catalogue forgets it, then it goes; one that a crash leaves
// behind goes with sweep.
func (s *Store) remove(m *machine, at int64, k Kind) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	if err := s.forget(m, at, k); err != nil {
		return err
	}
	if err := s.files.Remove(s.fileOf(k, m.name, at)); err != nil {
		return fettle.Errorf(fettle.Unavailable, "remove %s: %w", s.fileOf(k, m.name, at), err)
	}
	s.log.Debug("file removed", "machine", m.name, "kind", k.String(), "day", dayName(at))
	return nil
}

// sweep removes files of before what is kept: a crash came between the catalogue
// and them.
func (s *Store) sweep(ctx context.Context) error {
	for _, name := range s.names() {
		m, _ := s.machine(name)
		for k, floor := range m.state.Load().floor {
			if floor <= earliest {
				continue
			}
			if err := s.sweepFolder(s.folderOf(Kind(k), name), dayName(floor)); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

func (s *Store) sweepFolder(dir, floor string) error {
	files, err := s.files.List(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		day, isOurs := strings.CutSuffix(file, fileSuffix)
		if _, err := time.Parse(time.DateOnly, day); !isOurs || err != nil || day >= floor {
			continue
		}
		if err := s.files.Remove(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forget(m *machine, at int64, k Kind) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	d, err := readDay(s.db, m.name, at)
	if err != nil || d == nil || !d.has(k) {
		return err
	}
	batch := s.db.NewBatch()
	c := s.newChange(m.name)
	c.other = true
	c.state.bytes[k] -= d.files[k].size
	c.state.floor[k] = max(c.state.floor[k], d.end())
	d.files[k], d.next = sum{}, nil
	if k == Raw {
		if open := m.open[at]; open != nil {
			c.state.rows -= open.over
			if err := s.deleteRows(batch, m.name, d); err != nil {
				return err
			}
			batch.Delete(openDayKey(m.name, at))
			c.days = map[int64]*openDay{at: nil}
		}
		c.state.rows -= d.rows
		d.rows = 0
		if d.damaged {
			c.state.lost--
			d.damaged = false
		}
		if c.state.first < d.end() {
			if c.state.first, err = s.firstRow(m.name, at, true); err != nil {
				return err
			}
		}
	}
	if d.files == ([kinds]sum{}) {
		batch.Delete(dayKey(m.name, at))
	} else {
		batch.Set(dayKey(m.name, at), appendDay(nil, d))
	}
	c.save(batch)
	return s.commit(batch, []*change{c})
}

// FileStats sums up the files of closed days.
type FileStats struct {
	Bytes  int64
	ByKind [kinds]int64
	Lost   int64 // days whose readings were in a file that was damaged and set aside
}

// Files sums up the files of all machines.
func (s *Store) Files() FileStats {
	var f FileStats
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.machines {
		state := m.state.Load()
		for k, bytes := range state.bytes {
			f.Bytes += bytes
			f.ByKind[k] += bytes
		}
		f.Lost += state.lost
	}
	return f
}
