package db

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"fettle"
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
	value, closer, err := d.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fettle.Errorf(fettle.Unavailable, "read from store in %s: %w", d.dir, err)
	}
	value = bytes.Clone(value)
	if err := closer.Close(); err != nil {
		return nil, false, fettle.Errorf(fettle.Unavailable, "read from store in %s: %w", d.dir, err)
	}
	return value, true, nil
}

// Ascend yields the records with from <= key < to in ascending order, as they
// stood when Ascend was called; a nil to has no end. The slices hold during
// the call of yield only. An error of yield ends it and is returned, but for
// Stop, which ends it without error.
func (d *DB) Ascend(from, to []byte, yield func(key, value []byte) error) error {
	return d.scan(from, to, yield, (*pebble.Iterator).First, (*pebble.Iterator).Next)
}

// Descend is Ascend in descending order.
func (d *DB) Descend(from, to []byte, yield func(key, value []byte) error) error {
	return d.scan(from, to, yield, (*pebble.Iterator).Last, (*pebble.Iterator).Prev)
}

func (d *DB) scan(from, to []byte, yield func(key, value []byte) error, start, step func(*pebble.Iterator) bool) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "read from store in %s: %w", d.dir, err)
	}
	var ended error
	for ok := start(it); ok && ended == nil; ok = ended == nil && step(it) {
		ended = yield(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		return fettle.Errorf(fettle.Unavailable, "read from store in %s: %w", d.dir, err)
	}
	if errors.Is(ended, Stop) {
		return nil
	}
	return ended
}
