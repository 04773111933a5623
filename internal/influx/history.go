package influx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
)

// A Move takes over what a bucket has of a stretch of time, once.
type Move struct {
	Bucket   Bucket
	Client   *Client
	From, To time.Time
	Submit   Submit
	// Moved is told, in the order of time, what is on disk: how many readings more,
	// how many of them were refused for good and why the first was, and up to when
	// all there is has been taken over. A move that is broken off goes on from there.
	Moved func(stored, refused int64, why error, until time.Time) error

	try time.Duration // retryFirst; tests are faster
}

// storeTries is how often readings that cannot be taken just now are handed in,
// over about two minutes.
const storeTries = 20

// ahead is how many parcels are read ahead of the disk.
const ahead = 4

// A parcel is some readings on their way, or the end of a stretch.
type parcel struct {
	rows    []fettle.Reading
	unnamed int64
	until   time.Time // zero: the stretch is not over
}

// ErrNotStored is what ends a move when it is not InfluxDB that fails.
var ErrNotStored = errors.New("store readings")

// Run moves all of it. Reading goes on while what was read is stored, by a few
// parcels, so that memory stays bounded and neither waits for the other.
func (m Move) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	parcels := make(chan parcel, ahead)
	work.Go(func() error {
		defer close(parcels)
		return m.readAll(ctx, parcels)
	})
	work.Go(func() error {
		until := m.From
		for p := range parcels {
			stored, refused, why, err := m.store(ctx, p.rows)
			if err != nil {
				return err
			}
			if p.until.After(until) {
				until = p.until
			}
			if p.unnamed > 0 && why == nil {
				why = fettle.Errorf(fettle.Invalid, "a point without the tag %s", m.Bucket.MachineTag)
			}
			if err := m.Moved(stored, refused+p.unnamed, why, until); err != nil {
				return err
			}
		}
		return nil
	})
	return work.Wait()
}

func (m Move) readAll(ctx context.Context, parcels chan<- parcel) error {
	send := func(p parcel) error {
		select {
		case parcels <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	piece := pieceFirst
	for from := m.From; from.Before(m.To); {
		to := from.Add(piece)
		if to.After(m.To) {
			to = m.To
		}
		n, unnamed, err := m.Bucket.read(ctx, m.Client, from, to, func(rows []fettle.Reading) error { return send(parcel{rows: rows}) })
		if err != nil {
			return fmt.Errorf("read %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
		}
		if err := send(parcel{unnamed: unnamed, until: to}); err != nil {
			return err
		}
		piece, from = nextPiece(piece, n), to
	}
	return nil
}

// store hands readings in, again and again while there is no room for them.
func (m Move) store(ctx context.Context, rows []fettle.Reading) (stored, refused int64, why, err error) {
	var failed error
	if len(rows) == 0 {
		return 0, 0, nil, nil
	}
	retry := patience{first: cmp.Or(m.try, retryFirst), most: 8 * cmp.Or(m.try, retryFirst)}
	for range storeTries {
		handed := slices.Clone(rows) // the gate's from then on
		n, err := m.Submit(ctx, handed)
		switch kind := fettle.KindOf(err); {
		case err == nil || kind == fettle.Invalid:
			return int64(n), int64(len(rows) - n), err, nil
		case ctx.Err() != nil:
			return 0, 0, nil, ctx.Err()
		case kind != fettle.Busy && kind != fettle.Unavailable:
			return 0, 0, nil, fmt.Errorf("%w: %w", ErrNotStored, err)
		}
		failed = err
		retry.wait(ctx, 0)
	}
	return 0, 0, nil, fmt.Errorf("%w, after %d tries: %w", ErrNotStored, storeTries, failed)
}
