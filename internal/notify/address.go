package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"fettle"
	"fettle/internal/db"
)

// A pace is how patient an address is.
type pace struct {
	gather     time.Duration // from the first notice of a message to the message, for others to join
	firstRetry time.Duration // after the first attempt that failed; doubled for each further one
	lastRetry  time.Duration // and no longer than that
	attempt    time.Duration // that one attempt may take
	rest       time.Duration // after the store failed
}

var usualPace = pace{gather: 5 * time.Second, firstRetry: 5 * time.Second, lastRetry: 10 * time.Minute, attempt: 30 * time.Second, rest: 5 * time.Second}

// A sender brings letters to one address. An error of kind Invalid says that
// the letter will never be taken; after others it is worth another attempt.
// No error has a secret in it.
type sender interface {
	send(ctx context.Context, l letter) error
	place() string // where letters go, for people, without secrets
}

// An address is one place to send to: its queue, and what became of it so far.
type address struct {
	box      *Box
	receiver Receiver
	to       string // the e-mail address; "" for a webhook
	sender   sender
	wake     chan struct{} // holds a word while there is something new

	// Guarded by the box's mu.
	state   state
	waiting []uint64  // numbers of the notices in the queue, in the order of their commits
	since   time.Time // when the first of them came
	last    uint64    // newest number given
}

func newAddress(b *Box, r Receiver, to string, s sender) *address {
	return &address{box: b, receiver: r, to: to, sender: s, wake: make(chan struct{}, 1)}
}

// String names the address in messages.
func (a *address) String() string {
	if a.to == "" {
		return a.receiver.Name
	}
	return a.receiver.Name + " " + a.to
}

// enqueue adds a notice to a commit, and returns its number; 0 if too many wait
// already, and it went to the dead letters. The caller holds the box's mu.
func (a *address) enqueue(batch *db.Batch, n notice) (uint64, error) {
	if len(a.waiting) >= maxWaiting {
		a.state.Dead++
		full := fettle.Errorf(fettle.Busy, "%d notices wait for this address already, the most that may", maxWaiting)
		return 0, a.box.bury(batch, a.receiver.Name, a.to, []notice{n}, full)
	}
	a.last++
	return a.last, keep(batch, a.queueKey(a.last), n)
}

// stir lets the address look at its queue.
func (a *address) stir() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run sends what comes until the context ends.
func (a *address) run(ctx context.Context) {
	for ctx.Err() == nil {
		var due <-chan time.Time
		if at, some := a.due(a.box.now()); some {
			due = time.After(at.Sub(a.box.now()))
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-due:
			if err := a.deliver(ctx); err != nil {
				a.box.log.Warn("notices cannot be read or kept, will try again", "receiver", a.receiver.Name, "err", err)
				pause(ctx, a.box.pace.rest)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// due is when the next attempt is; false if there is nothing to send.
func (a *address) due(now time.Time) (at time.Time, some bool) {
	a.box.mu.Lock()
	defer a.box.mu.Unlock()
	a.believe(now)
	s := &a.state
	if s.Message != nil {
		return s.Next, true
	}
	if len(a.waiting) == 0 {
		return time.Time{}, false
	}
	at = a.since.Add(min(a.box.pace.gather, a.box.cfg.Group))
	if next := s.Ended.Add(a.box.cfg.Group); next.After(at) {
		at = next
	}
	if over := s.Hour.Add(time.Hour); s.InHour >= a.box.cfg.PerHour && over.After(now) {
		s.Held, at = true, over
	}
	return at, true
}

// believe brings times that lie ahead, of before a clock was set back, to now:
// they would hold up the queue for as long as it was set back.
func (a *address) believe(now time.Time) {
	for _, t := range []*time.Time{&a.since, &a.state.Ended, &a.state.Hour} {
		if t.After(now) {
			*t = now
		}
	}
	if latest := now.Add(2 * a.box.pace.lastRetry); a.state.Next.After(latest) {
		a.state.Next = latest
	}
}

// deliver makes one attempt. An error is the store's; what a receiver says is
// booked.
func (a *address) deliver(ctx context.Context) error {
	m, err := a.begin()
	if err != nil {
		return err
	}
	notices, err := a.read(m)
	if err != nil {
		return err
	}
	attempt, cancel := context.WithTimeout(ctx, a.box.pace.attempt)
	defer cancel()
	failure := a.sender.send(attempt, a.box.compose(m, notices))
	if failure != nil && ctx.Err() != nil {
		return nil // fettle stops; the attempt says nothing about the receiver
	}
	return a.settle(ctx, m, notices, failure)
}

// begin goes on with the message under way, or makes one of all that waits.
func (a *address) begin() (message, error) {
	a.box.mu.Lock()
	s, now := a.state, a.box.now().UTC()
	m := message{ID: rand.Text(), Made: now, Notices: slices.Clone(a.waiting), Summary: s.Held}
	a.box.mu.Unlock()
	if s.Message != nil {
		return *s.Message, nil
	}
	return m, a.commit(a.box.db.NewBatch(), func(s *state) { s.Message, s.Next, s.Held = &m, now, false })
}

// commit keeps a change of the state, with what else is in the batch, and makes
// it count. The change is made twice: to a copy that is kept, and to the state
// as it is by then, which others may have changed meanwhile.
func (a *address) commit(batch *db.Batch, change func(*state)) error {
	a.box.mu.Lock()
	s := a.state
	a.box.mu.Unlock()
	change(&s)
	if err := keep(batch, stateKey(a.receiver.Name, a.to), s); err != nil {
		return err
	}
	if err := a.box.db.Commit(batch, db.Synced); err != nil {
		return err
	}
	a.box.mu.Lock()
	defer a.box.mu.Unlock()
	change(&a.state)
	return nil
}

// read fetches the notices of a message.
func (a *address) read(m message) ([]notice, error) {
	var notices []notice
	for _, number := range m.Notices {
		value, found, err := a.box.db.Get(a.queueKey(number))
		if err != nil {
			return nil, err
		}
		var n notice
		if !found || json.Unmarshal(value, &n) != nil {
			return nil, fmt.Errorf("notice %d to %s is missing or damaged", number, a)
		}
		notices = append(notices, n)
	}
	return notices, nil
}

// settle books how an attempt went. It tries until that is kept, since a
// message that was taken must not go out again; or until the context ends.
func (a *address) settle(ctx context.Context, m message, notices []notice, failure error) error {
	for {
		err := a.book(m, notices, failure)
		if err == nil || ctx.Err() != nil {
			return err
		}
		a.box.log.Warn("what became of a notice cannot be kept, will try again", "receiver", a.receiver.Name, "err", err)
		pause(ctx, a.box.pace.rest)
	}
}

func (a *address) book(m message, notices []notice, failure error) error {
	now := a.box.now().UTC()
	switch {
	case failure == nil:
		return a.finish(m, a.box.db.NewBatch(), nil, func(s *state) { s.succeed(now) })
	case fettle.KindOf(failure) == fettle.Invalid || now.Sub(m.Made) >= a.box.cfg.GiveUp:
		batch := a.box.db.NewBatch()
		a.box.mu.Lock()
		err := a.box.bury(batch, a.receiver.Name, a.to, notices, failure)
		a.box.mu.Unlock()
		if err != nil {
			return err
		}
		return a.finish(m, batch, failure, func(s *state) {
			s.fail(failure, now)
			s.Dead += int64(len(notices))
			s.Ended = now
		})
	default:
		return a.postpone(m, failure, now)
	}
}

func (s *state) succeed(now time.Time) {
	if now.Sub(s.Hour) >= time.Hour {
		s.Hour, s.InHour = now, 0
	}
	s.InHour++
	s.Sent++
	s.OK, s.Ended = now, now
}

func (s *state) fail(failure error, now time.Time) { s.Error, s.ErrorAt = failure.Error(), now }

// postpone books an attempt that failed.
func (a *address) postpone(m message, failure error, now time.Time) error {
	m.Attempts++
	next := now.Add(a.box.pace.retryAfter(m.Attempts))
	err := a.commit(a.box.db.NewBatch(), func(s *state) {
		s.fail(failure, now)
		s.Message, s.Next = &m, next
	})
	if err != nil {
		return err
	}
	level := slog.LevelDebug
	if m.Attempts == 1 { // for people; the rest is in the status
		level = slog.LevelWarn
	}
	a.box.log.Log(context.Background(), level, "notice is not taken, will try again", "receiver", a.receiver.Name, "to", a.sender.place(), "attempts", m.Attempts, "err", failure)
	return nil
}

// finish takes a message out of the queue.
func (a *address) finish(m message, batch *db.Batch, failure error, change func(*state)) error {
	for _, number := range m.Notices {
		batch.Delete(a.queueKey(number))
	}
	err := a.commit(batch, func(s *state) {
		change(s)
		s.Message = nil
	})
	if err != nil {
		return err
	}
	a.box.mu.Lock()
	a.waiting = slices.DeleteFunc(a.waiting, func(number uint64) bool { return slices.Contains(m.Notices, number) })
	a.since = a.state.Ended
	a.box.mu.Unlock()
	args := []any{"receiver", a.receiver.Name, "to", a.sender.place(), "notices", len(m.Notices), "attempts", m.Attempts + 1}
	if failure != nil {
		a.box.log.Error("notice is given up", append(args, "err", failure)...)
		return nil
	}
	a.box.log.Info("notice is sent", args...)
	return nil
}

// retryAfter is the rest after so many attempts that failed, drawn from a fifth
// around it: receivers behind the same server shall not all come back at once.
func (p pace) retryAfter(attempts int) time.Duration {
	rest := float64(p.firstRetry) * math.Pow(2, float64(min(attempts-1, 30)))
	return time.Duration(min(rest, float64(p.lastRetry)) * (0.9 + 0.2*mathrand.Float64()))
}
