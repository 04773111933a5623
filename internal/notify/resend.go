package notify

import (
	"fettle"
	"fettle/internal/db"
)

// A Resent says what became of a dead letter that was to be sent again.
type Resent struct {
	Number   uint64 `json:"number" doc:"The dead letter's"`
	Receiver string `json:"receiver"`
	To       string `json:"to,omitempty"`
	Notices  int    `json:"notices" doc:"Changes of alarms that wait again"`
	Error    string `json:"error,omitempty" doc:"Why it stays a dead letter; absent: it waits to be sent"`
}

// Resend queues dead letters anew, the oldest first: the one of a number, or with
// 0 all of a receiver, or with "" of all receivers. They are told as they were.
// NotFound: there is none.
func (b *Box) Resend(receiver string, number uint64) ([]Resent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.db.NewBatch()
	queued := map[*address][]uint64{}
	results := []Resent{}
	err := each(b.db, deadPrefix, func(_ []byte, d buried) error {
		if receiver != "" && d.Receiver != receiver || number != 0 && d.Number != number {
			return nil
		}
		r := Resent{Number: d.Number, Receiver: d.Receiver, To: d.To}
		a := b.find(d.Receiver, d.To)
		switch {
		case a == nil:
			r.Error = "the configuration has no such receiver any more"
		case len(d.Kept) == 0:
			r.Error = "an older fettle gave it up, and kept only that it did"
		case len(a.waiting)+len(queued[a])+len(d.Kept) > maxWaiting:
			r.Error = "too many notices wait for this address already; try again later"
		default:
			for _, n := range d.Kept {
				a.last++
				if err := keep(batch, a.queueKey(a.last), n); err != nil {
					return err
				}
				queued[a] = append(queued[a], a.last)
			}
			batch.Delete(deadKey(d.Number))
			r.Notices = len(d.Kept)
		}
		results = append(results, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, fettle.Errorf(fettle.NotFound, "there is no such message that was given up; `fettle notify list` has them")
	}
	if err := b.db.Commit(batch, db.Synced); err != nil {
		return nil, err
	}
	for a, numbers := range queued {
		if len(a.waiting) == 0 {
			a.since = b.now()
		}
		a.waiting = append(a.waiting, numbers...)
		a.stir()
	}
	return results, nil
}

// find is the address of a receiver; nil if the configuration has none such.
func (b *Box) find(receiver, to string) *address {
	for _, a := range b.addresses {
		if a.receiver.Name == receiver && a.to == to {
			return a
		}
	}
	return nil
}
