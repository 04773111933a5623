// Package ingest is the only gate for readings. Readings come in from
// whatever speaks to sensors; those that are well formed go to the store, many
// at a time in one synced commit, and then to whoever asked to be told. It
// never judges a reading and never acknowledges what is not on disk.
//
// A reading without a time gets the time of its arrival. One whose time is more
// than Config.MaxFuture ahead of the wall clock, or before 1970, is refused: it
// would carry the machine's watermark off, or comes from a clock that was never
// set. Each refused reading is counted by its reason and the last 100 are kept;
// one of them never holds up the good ones beside it.
//
// # When more comes in than the disk takes
//
// What waits for its commit is bounded in bytes. When the bound is reached
// Submit waits, which holds the sender's acknowledgement, and after a while
// returns Busy; Offer drops the readings and counts them. When a commit fails
// (the disk is full) its senders get Unavailable and the gate tries again with
// the next readings, so it recovers by itself.
package ingest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/readings"
)

// Config bounds the gate. The zero value stands for what is named here.
type Config struct {
	MaxFuture   time.Duration    // how far a time may be ahead of Now; 0: 5 min
	QueueBytes  int              // what may wait for its commit; 0: 64 MiB
	MaxMachines int              // different machines in the store; 0: 10,000
	Now         func() time.Time // the wall clock; nil: time.Now
}

func (c Config) withDefaults() Config {
	if c.MaxFuture == 0 {
		c.MaxFuture = 5 * time.Minute
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	if c.MaxMachines == 0 {
		c.MaxMachines = 10_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// patience is how long a sender waits, for room and for its commit together.
const patience = 10 * time.Second

// store is what the gate needs of a readings.Store.
type store interface {
	Append(rows []fettle.Reading) (readings.Appended, error)
	Machines() []readings.Info
}

// Gate is the way into the store. All methods may be called at the same time.
type Gate struct {
	cfg       Config
	store     store
	committed func([]fettle.Reading)
	queue     *queue
	books     *books
	arrival   atomic.Int64 // the last arrival time given out, microseconds since 1970

	mu      sync.RWMutex
	arrived map[string]time.Time // machines in the store -> their last arrival; zero: before the start
}

// New makes a gate before a store. committed is told of the rows of each
// commit once they are on disk, in the order in which they came and before
// their senders are answered; it must not block or change them.
func New(cfg Config, s *readings.Store, committed func([]fettle.Reading)) *Gate {
	return newGate(cfg, s, committed)
}

func newGate(cfg Config, s store, committed func([]fettle.Reading)) *Gate {
	cfg = cfg.withDefaults()
	g := &Gate{
		cfg: cfg, store: s, committed: committed,
		queue: newQueue(cfg.QueueBytes), books: newBooks(cfg.Now), arrived: map[string]time.Time{},
	}
	for _, info := range s.Machines() {
		g.arrived[info.Machine] = time.Time{}
	}
	return g
}

// Result tells what became of submitted readings.
type Result struct {
	Stored int // how many of them are on disk now
}

// Submit checks readings, waits until the good ones are on disk and tells how
// many these were. The slice is the gate's from then on.
//
// An error of kind Invalid is a codec.Errors that lists the refused readings;
// they are dealt with, and sending them again will not help. Busy and
// Unavailable mean that nothing may be acknowledged: the queue stayed full,
// the commit failed, or neither happened before ctx or patience ended.
func (g *Gate) Submit(ctx context.Context, rows []fettle.Reading) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errImpatient)
	defer cancel()
	p := g.check(rows)
	g.books.message()
	if len(p.rows) == 0 {
		return g.answer(p, outcome{})
	}
	answer := make(chan outcome, 1)
	p.done = func(o outcome) { answer <- o }
	if err := g.queue.push(ctx, p); err != nil {
		return Result{}, err
	}
	select {
	case done := <-answer:
		return g.answer(p, done)
	case <-ctx.Done():
		return Result{}, p.abandon(context.Cause(ctx))
	}
}

// Turn returns once everything that came before it has been dealt with: it tells
// whether the gate moves, and stores nothing.
func (g *Gate) Turn(ctx context.Context) error {
	turned := make(chan struct{})
	if err := g.queue.push(ctx, &parcel{done: func(outcome) { close(turned) }}); err != nil {
		return err
	}
	select {
	case <-turned:
		return nil
	case <-ctx.Done():
		return fettle.Errorf(fettle.Unavailable, "the gate did not move in time: %w", ctx.Err())
	}
}

// Begin is Submit for a sender that has more to do than to wait: it returns
// once the readings are in the queue, and done is told later what Submit would
// return. Only a full queue makes Begin itself wait, until ctx ends. What one
// goroutine begins is committed in that order.
//
// done is called exactly once: before Begin returns if there is nothing to
// commit or no room, else from the goroutine that commits for everybody, which
// it must not block.
func (g *Gate) Begin(ctx context.Context, rows []fettle.Reading, done func(error)) {
	p := g.check(rows)
	g.books.message()
	if len(p.rows) == 0 {
		_, err := g.answer(p, outcome{})
		done(err)
		return
	}
	var told atomic.Bool // of the commit, or of patience that ended first
	tell := func(err error) {
		if told.CompareAndSwap(false, true) {
			done(err)
		}
	}
	impatient := time.AfterFunc(patience, func() { tell(p.abandon(errImpatient)) })
	p.done = func(o outcome) {
		impatient.Stop()
		_, err := g.answer(p, o)
		tell(err)
	}
	if err := g.queue.push(ctx, p); err != nil {
		impatient.Stop()
		tell(err)
	}
}

// answer joins what was refused before and within the commit.
func (g *Gate) answer(p *parcel, done outcome) (Result, error) {
	if done.err != nil {
		return Result{}, done.err
	}
	refused := append(p.refused, done.refused...)
	if len(refused) > 0 {
		return Result{done.stored}, codec.Errors(refused)
	}
	return Result{done.stored}, nil
}

// Offer hands in readings for which nobody waits. Busy: there is no room, and
// they are dropped. Invalid: as with Submit, but for limits that only the
// commit finds.
func (g *Gate) Offer(rows []fettle.Reading) error {
	p := g.check(rows)
	g.books.message()
	if len(p.rows) > 0 {
		if err := g.queue.offer(p); err != nil {
			g.books.drop(len(p.rows))
			return err
		}
	}
	if len(p.refused) > 0 {
		return codec.Errors(p.refused)
	}
	return nil
}

// Refuse books a message from source (a topic, an address) that could not be
// read, wholly or in part, and so did not come to the gate as readings.
func (g *Gate) Refuse(source string, payload []byte, err error) {
	g.books.refuse(source, payload, err)
}

// Rejected lists the last 100 refusals, newest first.
func (g *Gate) Rejected() []Rejection { return g.books.rejections() }

// Arrived is the wall clock at a machine's last arrival since the start; zero
// if there was none.
func (g *Gate) Arrived(machine string) time.Time {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.arrived[machine]
}

// Stats counts what came in since the start.
func (g *Gate) Stats() Stats {
	s := g.books.stats()
	s.QueueBytes = g.queue.size()
	return s
}

// arrivalTime is the wall clock in microseconds, each given out once: two
// readings that come without a time are never one row. A clock set back is
// followed after a second's worth.
func (g *Gate) arrivalTime() int64 {
	for {
		now, last := g.cfg.Now().UnixMicro(), g.arrival.Load()
		next := now
		if now <= last && last-now < time.Second.Microseconds() {
			next = last + 1
		}
		if g.arrival.CompareAndSwap(last, next) {
			return next
		}
	}
}
