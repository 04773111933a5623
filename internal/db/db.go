// Package db is the door to the embedded key-value store, Pebble. Ordered keys
// and values come in as batches, each committed whole or not at all; they go
// out by key or as ascending and descending stretches. It knows none of the
// plant's words, and it never lets Pebble's types through.
//
// One folder belongs to one process. The owners of records share it by prefix:
//
//	r/ readings   f/ forecast   v/ and n/ verdict   a/ alarm   e/ events   k/ api keys
//
// # When the disk is full or breaks
//
// Pebble itself ends the process, or panics beyond any recover, when a write
// to its log fails. So it never sees one: a file system of our own beneath it
// (guard.go) stands between.
//
//   - Full, noticed in time: with less than reserve bytes free, Commit writes
//     nothing and returns Unavailable. It works again as soon as there is room.
//     Commits that make room go on nearly to the end.
//   - Full by surprise (a quota, a sudden neighbour): the write that met it
//     waits until there is room, and Commit with it; further commits return
//     Unavailable meanwhile. Nothing is lost and nothing has to be repaired.
//   - Broken (any other failed write or sync): nobody can say what reached the
//     disk, so the store is shut for writing. Commits under way and all later
//     ones return Unavailable until the folder is opened anew; reads go on.
//
// So a commit that returned an error has either written nothing, or is the
// last one of this store: what an owner holds in memory and what is on disk
// cannot part ways in a store that goes on.
//
// # When files are damaged
//
// A store that cannot be opened says which file it misses and what to do. One
// that can, but has gone back behind what it had acknowledged, or has parts that
// cannot be read, serves what is left, says so in the log, and tells through
// Damage (damage.go).
package db

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

// blockBytes is how much of a table file is read at once: most reads are of many
// records that lie side by side.
const blockBytes = 16 << 10

// Options tune a DB. The zero value suits a small machine.
type Options struct {
	CacheBytes    int64        // memory for blocks read from disk; 0: 4 MiB
	MemTableBytes int64        // memory for commits before they move to a table file, held up to three times; 0: 2 MiB
	Log           *slog.Logger // nil: silent
	HasCopy       bool         // a store of an older format is taken over without a copy being made: there is one

	steps func() []step // what takes over stores of older formats; nil: steps
}

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 4 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 2 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.steps == nil {
		o.steps = steps
	}
	return o
}

// DB is an open store. All methods may be called at the same time.
type DB struct {
	dir    string
	pebble *pebble.DB
	guard  *guard
	health *health
	lock   *pebble.Lock
	damage damage
	reach  *reach

	mu     sync.Mutex     // guards closed, and calls.Add against calls.Wait
	closed bool           // no new calls
	calls  sync.WaitGroup // calls under way
}

// Open opens the folder, making it if it is not there. One of an older format is
// copied (beside it, as *.formatN-TIME) and taken over, which is said in the log.
// Conflict: another process holds it, a newer fettle wrote it, or it is something
// else's.
func Open(dir string, o Options) (*DB, error) {
	return open(dir, o, vfs.Default)
}

// open is Open on a file system of the caller's.
func open(dir string, o Options, disk vfs.FS) (*DB, error) {
	o = o.withDefaults()
	dir, err := makeFolder(dir, disk)
	if err != nil {
		return nil, fettle.Errorf(fettle.Unavailable, "open store: %w", err)
	}
	lock, err := lockFolder(dir, disk)
	if err != nil {
		return nil, err
	}
	older, err := o.checkFormat(dir, disk)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	health := newHealth(o.Log.With("folder", dir))
	d := &DB{dir: dir, guard: newGuard(disk, dir, health), health: health, lock: lock, reach: newReach(disk, dir)}
	if err := d.openPebble(o); err != nil {
		err = openError(dir, err)
		if health.failure() != nil { // Pebble never comes back, so its half of the lock is let go for it
			err = errors.Join(err, lock.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	d.guard.watch()
	if err := older.run(d, disk, o.Log); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeFolder makes the folder and returns its one true name, so that the
// in-process half of Pebble's lock sees through relative paths and links.
func makeFolder(dir string, disk vfs.FS) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := (Files{disk}).MakeFolder(dir); err != nil || disk != vfs.Default {
		return dir, err
	}
	return filepath.EvalSymlinks(dir)
}

func lockFolder(dir string, disk vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, disk)
	if err == nil {
		return lock, nil
	}
	// A lock held elsewhere is a bare error number; what the folder itself
	// refuses (rights, a full disk) comes with a path or as ErrPermission.
	var path *fs.PathError
	if errors.As(err, &path) || errors.Is(err, fs.ErrPermission) {
		return nil, fettle.Errorf(fettle.Unavailable, "lock store folder %s: %w", dir, err)
	}
	return nil, fettle.Errorf(fettle.Conflict,
		"folder %s is in use by another fettle; stop that one, or give this one a folder of its own (data.dir): %w", dir, err)
}

// Held tells whether a process has the store in a folder open, this one or
// another. A folder that is not there nobody holds.
func Held(dir string) (bool, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	dir, err := makeFolder(dir, vfs.Default)
	if err != nil {
		return false, fmt.Errorf("look at store: %w", err)
	}
	lock, err := lockFolder(dir, vfs.Default)
	if fettle.KindOf(err) == fettle.Conflict {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}

// openPebble opens Pebble on the guard. Damage in the folder comes back as an
// error.
func (d *DB) openPebble(o Options) error {
	return d.run(func() (err error) {
		options := d.pebbleOptions(o)
		options.EnsureDefaults()
		if err := setOptionsAside(d.dir, d.guard.FS, options, o.Log); err != nil {
			return err
		}
		if d.pebble, err = pebble.Open(d.dir, options); err != nil {
			return err
		}
		return d.compareReach()
	})
}

// run calls a function of Pebble's that writes. In its own goroutine, because
// one that meets a broken disk never comes back (guard.go); a panic becomes an
// error.
func (d *DB) run(call func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("store panicked: %v", r)
			}
		}()
		done <- call()
	}()
	select {
	case err := <-done:
		return err
	case <-d.health.failed:
		return d.health.failure()
	}
}

func (d *DB) pebbleOptions(o Options) *pebble.Options {
	options := &pebble.Options{
		FS:   d.guard,
		Lock: d.lock,
		// Pebble books its memtables against the cache; without the addition a
		// small cache would hold memtables and no block at all.
		CacheSize:    o.CacheBytes + 2*o.MemTableBytes,
		MemTableSize: uint64(o.MemTableBytes),
		MaxOpenFiles: 500,
		// A newer format of Pebble's needs a step of ours (format.go), so
		// that an older binary refuses with a sentence of ours.
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		Logger:             logger{d.health},
		EventListener:      &pebble.EventListener{DataCorruption: d.corrupt},
		// Table files live short: days that are over leave for better packed
		// files. So the cheapest compression; zstd without cgo costs megabytes
		// of memory for each compaction.
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		options.Levels[i].BlockSize = blockBytes
	}
	return options
}

// enter opens a call; every successful enter is followed by one leave.
func (d *DB) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fettle.Errorf(fettle.Unavailable, "store in %s is closed", d.dir)
	}
	d.calls.Add(1)
	return nil
}

func (d *DB) leave() { d.calls.Done() }

// Close waits for the calls under way, makes everything committed durable and
// lets go of the folder. A store that had to stop writing says so here. Close
// may be called again; it then does nothing.
func (d *DB) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	d.guard.close()
	d.calls.Wait()

	if d.health.failure() == nil {
		err := d.run(d.pebble.Close)
		if d.health.failure() == nil {
			if err == nil {
				err = d.reach.note()
			}
			if err = errors.Join(err, d.lock.Close()); err != nil {
				return fettle.Errorf(fettle.Unavailable, "close store in %s: %w", d.dir, err)
			}
			return nil
		}
	}
	// Pebble waits for writes that will never return, so it is left alone, and
	// its half of the lock is let go for it.
	err := errors.Join(d.health.failure(), d.lock.Close(), d.lock.Close())
	return fettle.Errorf(fettle.Unavailable, "close store in %s: %w", d.dir, err)
}

// Stats tell how a store is doing.
type Stats struct {
	DiskBytes int64 // what its files take
	FreeBytes int64 // what the disk still holds for us; 0 if the system does not tell
}

// Stats measures the store now.
func (d *DB) Stats() Stats {
	if d.enter() != nil {
		return Stats{}
	}
	defer d.leave()
	free, _ := d.guard.free()
	return Stats{DiskBytes: d.guard.taken(), FreeBytes: free}
}

// Checkpoint writes a copy of the store, as of now, into a folder that must
// not exist yet. On the same disk the copy shares table files by hard links.
func (d *DB) Checkpoint(dir string) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.trouble(reserve); err != nil {
		return err
	}
	err := d.run(func() error { return d.pebble.Checkpoint(dir, pebble.WithFlushedWAL()) })
	if err == nil {
		err = writeLine(d.guard.FS, d.guard.FS.PathJoin(dir, formatFile), fmt.Sprint(formatPrefix, formatOf(steps())))
	}
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "copy store to %s: %w", dir, err)
	}
	return nil
}
