package db

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"fettle"
)

// Durability says when Commit returns.
type Durability int

// Synced commits are on the disk when Commit returns, and survive a power cut;
// all that wait at the same moment share one sync. Lazy commits are visible at
// once and in order with the others, but a crash may lose the newest of them.
// Freeing commits are small synced ones after which the disk will have more
// room, so they may take from the last that there is.
const (
	Lazy Durability = iota
	Synced
	Freeing
)

// A Batch collects changes that are committed together. It is not safe for
// concurrent use, and is spent once Commit has returned nil.
type Batch struct {
	batch *pebble.Batch
}

// NewBatch starts an empty batch.
func (d *DB) NewBatch() *Batch { return &Batch{d.pebble.NewBatch()} }

// Set writes a record, replacing one of the same key. Both slices are copied.
func (b *Batch) Set(key, value []byte) { must(b.batch.Set(key, value, nil)) }

// Delete removes a record, if there is one.
func (b *Batch) Delete(key []byte) { must(b.batch.Delete(key, nil)) }

// DeleteRange removes all records with from <= key < to.
func (b *Batch) DeleteRange(from, to []byte) { must(b.batch.DeleteRange(from, to, nil)) }

// Len counts the changes in the batch.
func (b *Batch) Len() int { return int(b.batch.Count()) }

// must is for what Pebble's signatures allow and its code rules out: writing
// into a batch touches memory only.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("BUG: write into a batch: %w", err))
	}
}

// Commit makes a batch's changes visible and, if Synced, durable. Unavailable:
// the store is closed, its disk full or broken; see the package's story for
// what is written then.
func (d *DB) Commit(b *Batch, durability Durability) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.trouble(durability.needs()); err != nil {
		return err
	}
	batch := b.batch
	b.batch = nil
	var number uint64
	if durability != Lazy {
		number = d.reach.put(batch)
	}
	err := d.run(func() error {
		if err := d.pebble.Apply(batch, &pebble.WriteOptions{Sync: durability != Lazy}); err != nil {
			return err
		}
		if durability != Lazy {
			d.reach.to(number)
		}
		return batch.Close()
	})
	if err != nil {
		d.health.fail(fmt.Errorf("commit: %w", err))
		return d.health.failure()
	}
	return nil
}

// reserve is how much must be free for a commit to start: the log and one
// round of flushing and compacting what is in memory must still find room.
// lastReserve is for commits that make room.
const (
	reserve     = 32 << 20
	lastReserve = 4 << 20
)

func (d Durability) needs() (free int64) {
	if d == Freeing {
		return lastReserve
	}
	return reserve
}

// errFull is in every error that says that there is no room.
var errFull = errors.New("disk is full")

// Full tells whether an error of this package, or of its Files, comes from a
// disk without room.
func Full(err error) bool { return errors.Is(err, errFull) || noRoom(err) }

// Trouble says why commits are refused now; nil if they are not.
func (d *DB) Trouble() error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.trouble(reserve)
}

// trouble says why a commit that needs some room cannot start now; nil if it
// can.
func (d *DB) trouble(needs int64) error {
	if err := d.health.failure(); err != nil {
		return err
	}
	if d.guard.waiting.Load() > 0 {
		return fettle.Errorf(fettle.Unavailable, "%w: a write to %s waits for room; free some space and it goes on by itself", errFull, d.dir)
	}
	if free, known := d.guard.free(); known && free < needs {
		return fettle.Errorf(fettle.Unavailable, "%w: %d MiB free for %s, a commit needs %d MiB; free some space and it goes on by itself",
			errFull, free>>20, d.dir, needs>>20)
	}
	return nil
}
