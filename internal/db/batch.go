package db

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"fettle"
)

// Durability says when Commit returns.
type Durability bool

// Synced commits are on the disk when Commit returns, and survive a power cut;
// all that wait at the same moment share one sync. Lazy commits are visible at
// once and in order with the others, but a crash may lose the newest of them.
const (
	Synced Durability = true
	Lazy   Durability = false
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
	if err := d.trouble(); err != nil {
		return err
	}
	batch := b.batch
	b.batch = nil
	err := d.run(func() error {
		if err := d.pebble.Apply(batch, &pebble.WriteOptions{Sync: bool(durability)}); err != nil {
			return err
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
const reserve = 32 << 20

// trouble says why a commit cannot start now; nil if it can.
func (d *DB) trouble() error {
	if err := d.health.failure(); err != nil {
		return err
	}
	if d.guard.waiting.Load() > 0 {
		return fettle.Errorf(fettle.Unavailable, "disk of %s is full; free some space and it goes on by itself", d.dir)
	}
	if free, known := d.guard.free(); known && free < reserve {
		return fettle.Errorf(fettle.Unavailable, "disk of %s is full: %d MiB free, a commit needs %d MiB; free some space and it goes on by itself",
			d.dir, free>>20, reserve>>20)
	}
	return nil
}
