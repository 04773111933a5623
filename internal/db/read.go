package db

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Stop ends Ascend or Descend early when yield returns it.
//
//lint:ignore ST1012 an instruction, not a failure, as fs.SkipDir is
var Stop = errors.New("stop")

// Get returns a copy of a record's value, and whether the record is there.
func (d *DB) Get(key []byte) (value []byte, found bool, err error) {
	if err := d.enter(); err != nil {
		return nil, false, err
	}
	defer d.leave()
	return d.get(d.pebble, key)
}

// Ascend yields the records with from <= key < to in ascending order, as they
// stood when Ascend was called; a nil from is the first of them, a nil to has no
// end. The slices hold during
// the call of yield only. An error of yield ends it and is returned, but for
// Stop, which ends it without error.
func (d *DB) Ascend(from, to []byte, yield func(key, value []byte) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.scan(d.pebble, ours(from), to, yield, ascending)
}

// Descend is Ascend in descending order.
func (d *DB) Descend(from, to []byte, yield func(key, value []byte) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.scan(d.pebble, ours(from), to, yield, descending)
}

// A Snapshot is the store as it stood at one moment, for whoever reads several
// stretches that must fit together. It holds up Close until it is closed.
type Snapshot struct {
	db       *DB
	snapshot *pebble.Snapshot
}

// Snapshot takes one.
func (d *DB) Snapshot() (*Snapshot, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	return &Snapshot{d, d.pebble.NewSnapshot()}, nil
}

// Get is as the store's.
func (s *Snapshot) Get(key []byte) (value []byte, found bool, err error) {
	return s.db.get(s.snapshot, key)
}

// Ascend is as the store's.
func (s *Snapshot) Ascend(from, to []byte, yield func(key, value []byte) error) error {
	return s.db.scan(s.snapshot, ours(from), to, yield, ascending)
}

// Descend is as the store's.
func (s *Snapshot) Descend(from, to []byte, yield func(key, value []byte) error) error {
	return s.db.scan(s.snapshot, ours(from), to, yield, descending)
}

// Close lets go of it. It is called once.
func (s *Snapshot) Close() {
	defer s.db.leave()
	if err := s.snapshot.Close(); err != nil {
		s.db.health.log.Warn("snapshot did not close", "err", err)
	}
}

func (d *DB) get(from pebble.Reader, key []byte) (value []byte, found bool, err error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, d.unreadable(err)
	}
	value = bytes.Clone(value)
	if err := closer.Close(); err != nil {
		return nil, false, d.unreadable(err)
	}
	return value, true, nil
}

// A way through the records: where to start, and how to go on.
type way struct{ start, step func(*pebble.Iterator) bool }

var (
	ascending  = way{(*pebble.Iterator).First, (*pebble.Iterator).Next}
	descending = way{(*pebble.Iterator).Last, (*pebble.Iterator).Prev}
)

// ours lets a stretch begin behind the keys of this package.
func ours(from []byte) []byte {
	if len(from) == 0 {
		return firstKey
	}
	return from
}

func (d *DB) scan(in pebble.Reader, from, to []byte, yield func(key, value []byte) error, w way) error {
	it, err := in.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return d.unreadable(err)
	}
	var ended error
	for ok := w.start(it); ok && ended == nil; ok = ended == nil && w.step(it) {
		ended = yield(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		return d.unreadable(err)
	}
	if errors.Is(ended, Stop) {
		return nil
	}
	return ended
}
