package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/db"
)

// Limits.
const (
	maxWaiting = 1000 // notices that wait for an address; further ones are dead letters
	maxDead    = 1000 // dead letters kept; the oldest leave
	maxShown   = 50   // alarms that a message has in full
)

// A Change is what happened to an alarm.
type Change string

// The changes that people are told of.
const (
	Raised    Change = "raised"
	Escalated Change = "escalated" // its priority rose
	Cleared   Change = "cleared"
)

// A Config says whom to tell, and how often.
type Config struct {
	Receivers []Receiver
	Mail      Mail
	TLS       *tls.Config // certificates to trust; nil: those of the system

	Group   time.Duration // from one message to an address to the next, at least
	PerHour int           // messages to an address in an hour, at most
	MaxAge  time.Duration // how far behind the clock a machine's readings may be for its alarms to be news
	GiveUp  time.Duration // age at which a message that nobody takes is a dead letter

	// Alert words the first line about an alarm, as the old system did.
	Alert func(sensors []string, checked time.Time) string
	// Silenced tells whether nobody is to be told of a machine's alarms now; nil:
	// of none.
	Silenced func(machine string) bool
	// Page is the address of the page, such as "https://fettle.example.com".
	Page func() string
}

// A Receiver is somebody to tell: by e-mail or by webhook.
type Receiver struct {
	Name       string
	Email      []string // addresses; each gets messages of its own
	Webhook    string   // URL; a secret, since many carry a token
	Secret     string   // signs what goes to the webhook; "": no signature
	Priorities []fettle.Priority
	Machines   []string // patterns as of path.Match; empty: all
	On         []Change
}

// wants tells whether an alarm is the receiver's business.
func (r Receiver) wants(a fettle.Alarm) bool {
	return slices.Contains(r.Priorities, a.Priority) && (len(r.Machines) == 0 ||
		slices.ContainsFunc(r.Machines, func(pattern string) bool {
			matched, err := path.Match(pattern, a.Machine) // no name has a slash in it
			return err == nil && matched || pattern == a.Machine
		}))
}

// A Box holds what is to be told. All methods may be called at the same time.
type Box struct {
	cfg  Config
	pace pace
	db   *db.DB
	now  func() time.Time // the wall clock
	log  *slog.Logger

	addresses []*address
	testing   chan struct{} // holds a place for the one test that may run

	mu   sync.Mutex      // guards what follows, and the addresses' queues and states
	told map[uint64]told // who was told of which open alarm
	dead uint64          // number of the newest dead letter
}

// Open reads what still waits. Notices to addresses that are no longer in the
// configuration become dead letters. now is the wall clock.
func Open(d *db.DB, cfg Config, now func() time.Time, log *slog.Logger) (*Box, error) {
	b := &Box{cfg: cfg, pace: usualPace, db: d, now: now, log: log, testing: make(chan struct{}, 1)}
	for _, r := range cfg.Receivers {
		if r.Webhook != "" {
			hook, err := newWebhook(r, cfg.TLS, now)
			if err != nil {
				return nil, err
			}
			b.addresses = append(b.addresses, newAddress(b, r, "", hook))
		}
		for _, to := range r.Email {
			b.addresses = append(b.addresses, newAddress(b, r, to, &mailer{server: cfg.Mail, to: to, tls: cfg.TLS}))
		}
	}
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	return b, nil
}

// Run sends until the context ends.
func (b *Box) Run(ctx context.Context) error {
	var senders errgroup.Group
	for _, a := range b.addresses {
		senders.Go(func() error {
			a.run(ctx)
			return nil
		})
	}
	return senders.Wait()
}

// Note adds to a commit what people are to be told of alarms that change with
// it. The alarms are one machine's, which was judged up to a time, in the order
// of their changes; one may come several times. committed is to be called once
// the commit has succeeded; nothing of the call counts before.
func (b *Box) Note(batch *db.Batch, until time.Time, alarms []fettle.Alarm) (committed func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	news := sift(alarms, sifting{
		until: until, oldest: now.Add(-b.cfg.MaxAge), receivers: b.cfg.Receivers, known: b.told,
		silent: len(alarms) > 0 && b.cfg.Silenced != nil && b.cfg.Silenced(alarms[0].Machine),
	})
	var queued []queuedNotice
	for _, n := range news.notices {
		for _, a := range b.addresses {
			if a.receiver.Name != n.receiver {
				continue
			}
			n.At = now.UTC()
			number, err := a.enqueue(batch, n.notice)
			if err != nil {
				return nil, err
			}
			if number > 0 {
				queued = append(queued, queuedNotice{a, number})
			}
		}
	}
	for id, t := range news.told {
		if err := keepTold(batch, id, t); err != nil {
			return nil, err
		}
	}
	return func() { b.committed(queued, news.told) }, nil
}

// A queuedNotice is the number of a notice in the queue of an address.
type queuedNotice struct {
	address *address
	number  uint64
}

func (b *Box) committed(queued []queuedNotice, changed map[uint64]told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, t := range changed {
		if len(t.Receivers) == 0 {
			delete(b.told, id)
		} else {
			b.told[id] = t
		}
	}
	for _, q := range queued {
		if len(q.address.waiting) == 0 {
			q.address.since = b.now()
		}
		q.address.waiting = append(q.address.waiting, q.number)
		q.address.stir()
	}
}
