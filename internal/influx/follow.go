package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fettle"
	"fettle/internal/db"
)

// FollowConfig says what is followed.
type FollowConfig struct {
	Target
	Bucket      string
	Measurement string        // whose fields are the sensors
	MachineTag  string        // whose values are the machines
	Every       time.Duration // from one look to the next
	Lookback    time.Duration // how far each look reaches back behind the last, for what came late
	Backfill    time.Duration // how far the first look reaches back

	Now func() time.Time
}

// Ranger is what a follower needs of the store of readings.
type Ranger interface {
	Range(machine string, from, to time.Time, yield func(fettle.Reading) error) error
}

// Submit hands readings to the gate and returns once they are on disk. Invalid:
// some were refused, for good, and booked; the others are stored.
type Submit func(ctx context.Context, rows []fettle.Reading) (stored int, err error)

// A Follower reads a bucket that others fill.
type Follower struct {
	cfg    FollowConfig
	client *Client
	db     *db.DB
	rows   Ranger
	submit Submit
	log    *slog.Logger
	books  books

	refused refusals // what the gate would refuse again, as long as the look-back has it

	until time.Time     // read up to then; zero: never
	piece time.Duration // the next stretch
	try   time.Duration // retryFirst; tests are faster
}

// followed is the record of what is followed, and up to when it was read.
type followed struct {
	URL, Org, Bucket, Measurement, MachineTag string
	Until                                     time.Time
}

// NewFollower makes a follower, which goes on where the last one of this bucket
// ended.
func NewFollower(cfg FollowConfig, d *db.DB, rows Ranger, submit Submit, log *slog.Logger) (*Follower, error) {
	client, err := NewClient(cfg.Target)
	if err != nil {
		return nil, err
	}
	f := &Follower{cfg: cfg, client: client, db: d, rows: rows, submit: submit, log: log, books: books{now: cfg.Now}, piece: pieceFirst, try: retryFirst, refused: refusals{}}
	before, _, err := readFollowed(d)
	if err != nil {
		return nil, err
	}
	if until := before.Until; before == f.record(until) {
		f.until = until
	}
	f.books.change(func(s *Stats) { s.Until = f.until })
	return f, nil
}

func readFollowed(d *db.DB) (before followed, found bool, err error) {
	record, found, err := d.Get([]byte(followKey))
	if err != nil || !found {
		return before, false, err
	}
	if err := json.Unmarshal(record, &before); err != nil {
		return before, false, fmt.Errorf("read cursor of what is followed: %w", err)
	}
	return before, true, nil
}

func (f *Follower) record(until time.Time) followed {
	return followed{URL: f.cfg.URL, Org: f.cfg.Org, Bucket: f.cfg.Bucket, Measurement: f.cfg.Measurement, MachineTag: f.cfg.MachineTag, Until: until}
}

// Stats tell how it does.
func (f *Follower) Stats() Stats { return f.books.read() }

// Run reads until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	retry := patience{first: f.try, most: retryMost}
	for ctx.Err() == nil {
		err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			f.piece = pieceFirst
			if f.books.failed(err) {
				f.log.Warn("cannot read from InfluxDB, will try again", "url", f.cfg.URL, "bucket", f.cfg.Bucket, "err", err)
			}
			var refused *Refusal
			asked := time.Duration(0)
			if errors.As(err, &refused) {
				asked = refused.RetryAfter
			}
			retry.wait(ctx, asked)
		default:
			retry.reset()
			sleep(ctx, f.cfg.Every)
		}
	}
	return nil
}

// look reads all that is new, a stretch of time after the other.
func (f *Follower) look(ctx context.Context) error {
	now := f.cfg.Now().UTC().Truncate(time.Microsecond)
	from := now.Add(-max(f.cfg.Backfill, f.cfg.Lookback))
	if !f.until.IsZero() {
		from = f.until.Add(-f.cfg.Lookback)
	}
	for from.Before(now) {
		to := from.Add(f.piece)
		if to.After(now) {
			to = now
		}
		n, err := f.read(ctx, from, to)
		if err != nil {
			return err
		}
		if err := f.move(to); err != nil {
			return err
		}
		f.piece = nextPiece(f.piece, n)
		from = to
	}
	f.books.ok()
	return nil
}

// move notes up to when the bucket was read. While the look-back is read again
// it stays where it is.
func (f *Follower) move(until time.Time) error {
	if !until.After(f.until) {
		return nil
	}
	record, err := json.Marshal(f.record(until))
	if err != nil {
		return err
	}
	batch := f.db.NewBatch()
	batch.Set([]byte(followKey), record)
	if err := f.db.Commit(batch, db.Lazy); err != nil {
		return fmt.Errorf("move cursor of what is followed: %w", err)
	}
	f.until = until
	f.books.change(func(s *Stats) { s.Until = until })
	return nil
}

// read takes over the readings of a stretch, and tells how many there are.
func (f *Follower) read(ctx context.Context, from, to time.Time) (int64, error) {
	n, unnamed, err := f.bucket().read(ctx, f.client, from, to, func(rows []fettle.Reading) error { return f.take(ctx, rows) })
	if err == nil {
		f.books.change(func(s *Stats) { s.Refused += unnamed })
	}
	return n, err
}

func (f *Follower) bucket() Bucket {
	return Bucket{Name: f.cfg.Bucket, Measurement: f.cfg.Measurement, MachineTag: f.cfg.MachineTag}
}

// take hands in what of some readings is not stored yet, and was not refused.
func (f *Follower) take(ctx context.Context, rows []fettle.Reading) error {
	fresh, err := f.fresh(rows)
	if err != nil {
		return err
	}
	fresh = slices.DeleteFunc(fresh, f.refused.has)
	if len(fresh) == 0 {
		return nil
	}
	handed := slices.Clone(fresh) // the slice is the gate's from now on
	stored, err := f.submit(ctx, fresh)
	if err != nil && fettle.KindOf(err) != fettle.Invalid {
		return err
	}
	f.books.change(func(s *Stats) { s.Rows += int64(stored); s.Refused += int64(len(handed) - stored) })
	if stored == len(handed) {
		return nil
	}
	left, err := f.fresh(handed)
	for _, r := range left {
		f.refused.add(r)
	}
	return err
}

// fresh leaves out what is stored as it is: nearly all of a look-back.
func (f *Follower) fresh(rows []fettle.Reading) ([]fettle.Reading, error) {
	fresh := make([]fettle.Reading, 0, len(rows))
	for len(rows) > 0 {
		n, first, last := 1, rows[0].Time, rows[0].Time
		for ; n < len(rows) && rows[n].Machine == rows[0].Machine; n++ {
			if rows[n].Time.Before(first) {
				first = rows[n].Time
			} else if rows[n].Time.After(last) {
				last = rows[n].Time
			}
		}
		stored := map[int64][]fettle.Value{}
		err := f.rows.Range(rows[0].Machine, first, last.Add(time.Microsecond), func(r fettle.Reading) error {
			stored[r.Time.UnixMicro()] = r.Values
			return nil
		})
		if err != nil && fettle.KindOf(err) != fettle.NotFound {
			return nil, err
		}
		for _, r := range rows[:n] {
			if !covers(stored[r.Time.UnixMicro()], r.Values) {
				fresh = append(fresh, r)
			}
		}
		rows = rows[n:]
	}
	return fresh, nil
}

// covers tells whether all values are among the stored ones.
func covers(stored, values []fettle.Value) bool {
	row := fettle.Reading{Values: stored}
	for _, v := range values {
		if there, found := row.Value(v.Sensor); !found || there != v.Value {
			return false
		}
	}
	return true
}
