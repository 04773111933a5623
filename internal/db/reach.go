package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A reach notes, in a file of one line beside Pebble's, how far the store has
// got for certain. Pebble takes a log that is missing or ends early for one that
// was never written; with the note a store that has gone back behind what was
// acknowledged is told from one that has not.
//
//	fettle store reached <number of a synced commit> at <time, RFC 3339>
//
// It is written after the commit is on disk, and not synced itself: what a power
// cut leaves of it may be old, but never says too much.
//
// Each synced commit brings its number along, in a record of its own: the newest
// reachPlaces numbers are in the store, so that a gap shows too. What is noted is
// the number up to which all are on disk.
//
//	00 number%reachPlaces(2)  ->  number(8)
type reach struct {
	disk vfs.FS
	name string

	mu     sync.Mutex          // guards all that follows
	given  uint64              // the newest number
	flying map[uint64]struct{} // numbers of commits under way
	next   time.Time           // when it may be noted again
	noting sync.Mutex          // held by who writes the note
}

const (
	reachFile   = "REACHED"
	reachFormat = "fettle store reached %d at %s\n"
	// reachEvery is how old a note may get while the store is written to.
	reachEvery = 5 * time.Second
	// reachPlaces is more than commits in the newest two logs.
	reachPlaces = 16384
)

// firstKey is where the keys of owners begin; those before are of this package.
var firstKey = []byte{1}

func newReach(disk vfs.FS, dir string) *reach {
	return &reach{disk: disk, name: disk.PathJoin(dir, reachFile), flying: map[uint64]struct{}{}}
}

func reachKey(number uint64) []byte {
	return binary.BigEndian.AppendUint16([]byte{0}, uint16(number%reachPlaces))
}

// put numbers a commit.
func (r *reach) put(batch *pebble.Batch) (number uint64) {
	r.mu.Lock()
	r.given++
	number = r.given
	r.flying[number] = struct{}{}
	r.mu.Unlock()
	must(batch.Set(reachKey(number), binary.BigEndian.AppendUint64(nil, number), nil))
	return number
}

// to says that a commit is on disk.
func (r *reach) to(number uint64) {
	r.mu.Lock()
	delete(r.flying, number)
	due := !time.Now().Before(r.next)
	r.mu.Unlock()
	if due && r.noting.TryLock() {
		defer r.noting.Unlock()
		_ = r.note() // the last note holds, and says less
	}
}

// sure is the number up to which all commits are on disk, as of now.
func (r *reach) sure() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Now().Add(reachEvery)
	sure := r.given
	for number := range r.flying {
		sure = min(sure, number-1)
	}
	return sure
}

func (r *reach) note() error {
	sure := r.sure()
	file, err := r.disk.Create(r.name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, reachFormat, sure, time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return r.disk.Rename(r.name+".new", r.name)
}

// noted reads the note; 0 if there is none that can be read.
func (r *reach) noted() (number uint64, when string) {
	file, err := r.disk.Open(r.name)
	if err != nil {
		return 0, ""
	}
	defer file.Close()
	line, err := io.ReadAll(io.LimitReader(file, 200))
	if err != nil {
		return 0, ""
	}
	if n, err := fmt.Sscanf(string(line), reachFormat, &number, &when); n < 2 || err != nil {
		return 0, ""
	}
	return number, when
}

// compareReach finds out whether the store has gone back behind its note, or has
// a gap before it, and fills the places that miss their number: with what is
// lost now, or never came to the log before a crash.
func (d *DB) compareReach() error {
	numbers := map[uint64]bool{}
	newest, when := d.reach.noted()
	noted := newest
	if err := d.scan(d.pebble, []byte{0}, firstKey, func(_, value []byte) error {
		if len(value) == 8 {
			number := binary.BigEndian.Uint64(value)
			numbers[number] = true
			newest = max(newest, number)
		}
		return nil
	}, ascending); err != nil {
		return err
	}
	batch := d.pebble.NewBatch()
	lost := 0
	for number := newest; number > 0 && number+reachPlaces > newest; number-- {
		if numbers[number] {
			continue
		}
		must(batch.Set(reachKey(number), binary.BigEndian.AppendUint64(nil, number), nil))
		if number <= noted {
			lost++
		}
	}
	if lost > 0 {
		what := fmt.Sprintf("at least %d of the commits that were on disk at %s are lost", lost, when)
		d.damage.note(what)
		d.health.log.Error("store has lost what it had acknowledged: a log (*.log) or the list of files (MANIFEST) is missing or damaged, and it goes on with what is left",
			"folder", d.dir, "lost", what, "todo", checkIt)
	}
	d.reach.given = newest
	return errors.Join(d.pebble.Apply(batch, pebble.NoSync), batch.Close())
}
