package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"fettle"
	"fettle/internal/db"
)

// An AddressStatus is how one address is doing.
type AddressStatus struct {
	Receiver    string     `json:"receiver"`
	Kind        string     `json:"kind" enum:"email,webhook"`
	To          string     `json:"to" doc:"The e-mail address, or scheme and host of the webhook"`
	Waiting     int        `json:"waiting" doc:"Changes of alarms that are still to be told"`
	Attempts    int        `json:"attempts" doc:"Failed attempts so far at the message under way"`
	Next        *time.Time `json:"next,omitempty" doc:"When the next attempt is, if anything waits"`
	Held        bool       `json:"held" doc:"As many messages as may be in an hour are sent; what waits will be one summary"`
	Sent        int64      `json:"sent" doc:"Messages"`
	Dead        int64      `json:"dead" doc:"Changes of alarms that were given up"`
	LastOK      *time.Time `json:"last_ok,omitempty" doc:"When a message was last taken"`
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
}

// A DeadLetter is a message that was given up.
type DeadLetter struct {
	Number   uint64    `json:"number"`
	Time     time.Time `json:"time" doc:"When it was given up"`
	Receiver string    `json:"receiver"`
	To       string    `json:"to,omitempty" doc:"The e-mail address; absent for a webhook"`
	Notices  int       `json:"notices" doc:"Changes of alarms in it"`
	Alarms   []uint64  `json:"alarms" doc:"Numbers of the alarms, at most 50"`
	Machines []string  `json:"machines" doc:"Their machines"`
	Error    string    `json:"error" doc:"Why"`
}

// A Tested says how a test message went.
type Tested struct {
	Receiver string `json:"receiver"`
	To       string `json:"to"`
	Error    string `json:"error,omitempty" doc:"Absent: the message was taken"`
}

// Status tells of every address, in the configuration's order.
func (b *Box) Status() []AddressStatus {
	list := make([]AddressStatus, len(b.addresses))
	for i, a := range b.addresses {
		list[i] = a.status(b.now())
	}
	return list
}

func (a *address) status(now time.Time) AddressStatus {
	next, some := a.due(now)
	a.box.mu.Lock()
	defer a.box.mu.Unlock()
	s := AddressStatus{
		Receiver: a.receiver.Name, Kind: "email", To: a.sender.place(), Waiting: len(a.waiting), Held: a.state.Held,
		Sent: a.state.Sent, Dead: a.state.Dead, LastError: a.state.Error,
	}
	if a.to == "" {
		s.Kind = "webhook"
	}
	if a.state.Message != nil {
		s.Attempts = a.state.Message.Attempts
	}
	if some {
		next = next.UTC()
		s.Next = &next
	}
	if at := a.state.OK; !at.IsZero() {
		s.LastOK = &at
	}
	if at := a.state.ErrorAt; !at.IsZero() {
		s.LastErrorAt = &at
	}
	return s
}

// Dead lists the newest dead letters, at most n, the newest first.
func (b *Box) Dead(n int) ([]DeadLetter, error) {
	list := []DeadLetter{}
	err := b.db.Descend([]byte(deadPrefix), db.After([]byte(deadPrefix)), func(_, value []byte) error {
		if len(list) >= n {
			return db.Stop
		}
		var d buried
		if err := json.Unmarshal(value, &d); err != nil {
			return err
		}
		list = append(list, d.DeadLetter)
		return nil
	})
	return list, err
}

// bury adds a dead letter to a commit. The caller holds the box's mu.
func (b *Box) bury(batch *db.Batch, receiver, to string, notices []notice, why error) error {
	b.dead++
	d := DeadLetter{Number: b.dead, Time: b.now().UTC(), Receiver: receiver, To: to, Notices: len(notices), Error: why.Error(), Alarms: []uint64{}, Machines: []string{}}
	for _, n := range notices {
		if len(d.Alarms) == maxShown {
			break
		}
		if !slices.Contains(d.Alarms, n.Alarm.ID) {
			d.Alarms = append(d.Alarms, n.Alarm.ID)
		}
		if !slices.Contains(d.Machines, n.Alarm.Machine) {
			d.Machines = append(d.Machines, n.Alarm.Machine)
		}
	}
	if b.dead > maxDead {
		batch.DeleteRange(deadKey(0), deadKey(b.dead-maxDead+1))
	}
	return keep(batch, deadKey(b.dead), buried{d, notices[max(0, len(notices)-maxShown):]})
}

// testWithin is how long a test may take: shorter than the command that asks
// for it is willing to wait.
const testWithin = 8 * time.Second

// Test sends a message that is marked as a test to the addresses of a receiver
// (of all, if receiver is ""), at once and outside of all queues. NotFound: no
// such receiver; Busy: another test is running.
func (b *Box) Test(ctx context.Context, receiver string) ([]Tested, error) {
	var addresses []*address
	for _, a := range b.addresses {
		if receiver == "" || a.receiver.Name == receiver {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		if receiver == "" {
			return nil, fettle.Errorf(fettle.NotFound, "no receivers are configured (notify.receivers)")
		}
		return nil, fettle.Errorf(fettle.NotFound, "no receiver %q is configured (notify.receivers)", fettle.Shorten(receiver))
	}
	select {
	case b.testing <- struct{}{}:
		defer func() { <-b.testing }()
	default:
		return nil, fettle.Errorf(fettle.Busy, "another test of notices is running; try again in %v", testWithin)
	}
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	test := b.composeTest(rand.Text())
	results := make([]Tested, len(addresses))
	var senders sync.WaitGroup
	for i, a := range addresses {
		results[i] = Tested{Receiver: a.receiver.Name, To: a.sender.place()}
		senders.Go(func() {
			if err := a.sender.send(ctx, test); err != nil {
				results[i].Error = err.Error()
			}
		})
	}
	senders.Wait()
	return results, nil
}
