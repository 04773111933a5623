package notify

import (
	"encoding/json"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/db"
)

// What is kept, as JSON.
const (
	queuePrefix = "o/q/" // receiver, address, number: a notice
	statePrefix = "o/s/" // receiver, address: a state
	toldPrefix  = "o/t/" // number of the alarm: told
	deadPrefix  = "o/d/" // number: a buried
)

// A state is what is known of an address, beside its queue.
type state struct {
	Message *message  `json:"message,omitempty"` // the one under way
	Next    time.Time `json:"next"`              // no attempt before
	Ended   time.Time `json:"ended"`             // when the message before was taken or given up

	Hour   time.Time `json:"hour"`   // when the hour began whose messages are counted
	InHour int       `json:"inHour"` // messages sent in it
	Held   bool      `json:"held"`   // the hour's messages are used up while notices wait

	Sent    int64     `json:"sent"` // messages
	Dead    int64     `json:"dead"` // notices
	OK      time.Time `json:"ok"`   // of the last message that was taken
	Error   string    `json:"error"`
	ErrorAt time.Time `json:"errorAt"`
}

// A message is what goes out at once. Its content never changes.
type message struct {
	ID       string    `json:"id"`
	Made     time.Time `json:"made"`
	Notices  []uint64  `json:"notices"` // numbers in the queue
	Summary  bool      `json:"summary"` // notices were held back
	Attempts int       `json:"attempts"`
}

// A buried dead letter has its newest notices with it, to be sent again.
type buried struct {
	DeadLetter
	Kept []notice `json:"kept,omitempty"`
}

func queueKey(receiver, to string) []byte {
	return db.AppendString(db.AppendString([]byte(queuePrefix), receiver), to)
}

func (a *address) queueKey(number uint64) []byte {
	return db.AppendUint64(queueKey(a.receiver.Name, a.to), number)
}

func stateKey(receiver, to string) []byte {
	return db.AppendString(db.AppendString([]byte(statePrefix), receiver), to)
}

func deadKey(number uint64) []byte { return db.AppendUint64([]byte(deadPrefix), number) }

func toldKey(alarm uint64) []byte { return db.AppendUint64([]byte(toldPrefix), alarm) }

// keep adds a record to a batch.
func keep(batch *db.Batch, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	batch.Set(key, value)
	return nil
}

func keepTold(batch *db.Batch, alarm uint64, t told) error {
	if len(t.Receivers) == 0 {
		batch.Delete(toldKey(alarm))
		return nil
	}
	return keep(batch, toldKey(alarm), t)
}

// load reads all records, and clears up after receivers that are gone.
func (b *Box) load() error {
	b.told = map[uint64]told{}
	err := each(b.db, toldPrefix, func(key []byte, t told) error {
		id, _, _ := db.CutUint64(key)
		b.told[id] = t
		return nil
	})
	if err != nil {
		return err
	}
	err = b.db.Descend([]byte(deadPrefix), db.After([]byte(deadPrefix)), func(key, _ []byte) error {
		b.dead, _, _ = db.CutUint64(key[len(deadPrefix):])
		return db.Stop
	})
	if err != nil {
		return err
	}
	for _, a := range b.addresses {
		if err := a.load(); err != nil {
			return err
		}
	}
	return b.clearUp()
}

// load reads the state of an address, and what waits for it.
func (a *address) load() error {
	value, found, err := a.box.db.Get(stateKey(a.receiver.Name, a.to))
	if err == nil && found {
		err = json.Unmarshal(value, &a.state)
	}
	if err != nil {
		return fmt.Errorf("state of %s: %w", a, err)
	}
	prefix := queueKey(a.receiver.Name, a.to)
	return each(a.box.db, string(prefix), func(key []byte, n notice) error {
		a.last, _, _ = db.CutUint64(key)
		if len(a.waiting) == 0 {
			a.since = n.At
		}
		a.waiting = append(a.waiting, a.last)
		return nil
	})
}

// clearUp turns what waits for addresses that nobody knows any more into dead
// letters.
func (b *Box) clearUp() error {
	type place struct{ receiver, to string }
	known := map[place]bool{}
	for _, a := range b.addresses {
		known[place{a.receiver.Name, a.to}] = true
	}
	batch := b.db.NewBatch()
	left := map[place][]notice{}
	err := each(b.db, queuePrefix, func(key []byte, n notice) error {
		var p place
		p.receiver, key, _ = db.CutString(key)
		if p.to, _, _ = db.CutString(key); !known[p] {
			left[p] = append(left[p], n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each(b.db, statePrefix, func(key []byte, _ state) error {
		var p place
		p.receiver, key, _ = db.CutString(key)
		if p.to, _, _ = db.CutString(key); !known[p] {
			batch.Delete(stateKey(p.receiver, p.to))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for p, notices := range left {
		prefix := queueKey(p.receiver, p.to)
		batch.DeleteRange(prefix, db.After(prefix))
		gone := fettle.Errorf(fettle.NotFound, "the configuration has no such receiver any more")
		if err := b.bury(batch, p.receiver, p.to, notices, gone); err != nil {
			return err
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.db.Commit(batch, db.Synced)
}

// each decodes the records of a prefix; key is what follows it.
func each[T any](d *db.DB, prefix string, do func(key []byte, record T) error) error {
	return d.Ascend([]byte(prefix), db.After([]byte(prefix)), func(key, value []byte) error {
		var record T
		if err := json.Unmarshal(value, &record); err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
		return do(key[len(prefix):], record)
	})
}
