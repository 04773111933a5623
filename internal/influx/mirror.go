package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// MirrorConfig says where a mirror writes.
type MirrorConfig struct {
	Target
	Bucket             string        // of readings; empty: only anomalies are mirrored
	Retention          time.Duration // of Bucket, if it is made; 0: for ever
	Anomalies          string        // bucket of anomaly records; empty: none
	AnomaliesRetention time.Duration

	Now func() time.Time
}

// Source is what a mirror needs of the store of readings.
type Source interface {
	Machines() []readings.Info
	Range(machine string, from, to time.Time, yield func(fettle.Reading) error) error
	NoteLate(on bool) error
	LateRows(n int) ([]readings.LateRow, error)
	ForgetLate(rows []readings.LateRow) error
}

// Anomalies returns the first n anomaly records of a machine behind a time.
type Anomalies func(machine string, after time.Time, n int) ([]fettle.Anomaly, error)

// The rhythm of a mirror.
const (
	lookEvery      = time.Second     // for new readings
	anomaliesEvery = 5 * time.Second // for new anomaly records
	retryFirst     = time.Second
	retryMost      = time.Minute
)

// A Mirror writes readings and anomaly records to an InfluxDB.
type Mirror struct {
	cfg       MirrorConfig
	client    *Client
	db        *db.DB
	source    Source
	anomalies Anomalies
	log       *slog.Logger
	books     books

	rows      *cursors
	records   *cursors
	last      string        // machine whose rows ended the last batch: others go first now
	looked    time.Time     // for anomaly records
	prepared  bool          // the buckets are there, as far as the token goes
	look, try time.Duration // lookEvery and retryFirst; tests are faster
}

// NewMirror makes a mirror, which goes on where the last one of this target
// ended. Rows that come late are noted from now on.
func NewMirror(cfg MirrorConfig, d *db.DB, source Source, anomalies Anomalies, log *slog.Logger) (*Mirror, error) {
	client, err := NewClient(cfg.Target)
	if err != nil {
		return nil, err
	}
	m := &Mirror{cfg: cfg, client: client, db: d, source: source, anomalies: anomalies, log: log, books: books{now: cfg.Now}, look: lookEvery, try: retryFirst}
	target := fmt.Sprintf("%q %q %q %q", cfg.URL, cfg.Org, cfg.Bucket, cfg.Anomalies)
	if before, _, err := d.Get([]byte(targetKey)); err != nil {
		return nil, err
	} else if string(before) != target {
		if err := beginMirror(d, cfg, target, source.Machines()); err != nil {
			return nil, err
		}
	}
	if m.rows, err = loadCursors(d, readingsCursor); err != nil {
		return nil, fmt.Errorf("open mirror: %w", err)
	}
	if m.records, err = loadCursors(d, anomaliesCursor); err != nil {
		return nil, fmt.Errorf("open mirror: %w", err)
	}
	return m, source.NoteLate(cfg.Bucket != "")
}

// NoMirror makes a mirror that starts one day begin anew. Without one nobody
// notes the rows that it would miss.
func NoMirror(d *db.DB, source Source) error {
	if err := source.NoteLate(false); err != nil {
		return err
	}
	before, found, err := d.Get([]byte(targetKey))
	if err != nil || !found || len(before) == 0 {
		return err
	}
	return d.Commit(forgetMirror(d, ""), db.Synced)
}

// beginMirror puts the cursors of a new target to the begin. A bucket that was
// followed until now has what is stored already, with times of nanoseconds where
// ours are of microseconds, so that it would have it twice: there the mirror
// begins behind it.
func beginMirror(d *db.DB, cfg MirrorConfig, target string, machines []readings.Info) error {
	batch := forgetMirror(d, target)
	before, found, err := readFollowed(d)
	if err != nil {
		return err
	}
	if found && !before.Until.IsZero() && before.URL == cfg.URL && before.Org == cfg.Org && before.Bucket == cfg.Bucket {
		has := map[string]time.Time{}
		for _, info := range machines {
			has[info.Machine] = info.Last
			if before.Until.Before(info.Last) {
				has[info.Machine] = before.Until
			}
		}
		(&cursors{db: d, prefix: readingsCursor, at: map[string]time.Time{}}).move(batch, has)
	}
	return d.Commit(batch, db.Synced)
}

func forgetMirror(d *db.DB, target string) *db.Batch {
	batch := d.NewBatch()
	for _, prefix := range []string{readingsCursor, anomaliesCursor} {
		batch.DeleteRange([]byte(prefix), db.After([]byte(prefix)))
	}
	batch.Set([]byte(targetKey), []byte(target))
	return batch
}

// Stats tell how it does.
func (m *Mirror) Stats() Stats { return m.books.read() }

// Run writes until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	retry := patience{first: m.try, most: retryMost}
	for ctx.Err() == nil {
		full, err := m.step(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			m.complain(err)
			retry.wait(ctx, 0)
		case err == nil && !full: // all that there is has been carried over
			retry.reset()
			m.books.change(func(s *Stats) { s.Since = time.Time{} })
			sleep(ctx, m.look)
		}
	}
	return nil
}

// step carries one batch over, if there is anything to carry.
func (m *Mirror) step(ctx context.Context) (full bool, err error) {
	if err := m.prepare(ctx); err != nil {
		return false, err
	}
	b, err := m.collect(ctx)
	if err != nil || b.empty() {
		return false, err
	}
	now := m.cfg.Now()
	m.books.change(func(s *Stats) {
		if s.Since.IsZero() {
			s.Since = now
		}
	})
	return b.full(), m.carry(ctx, b)
}

// prepare makes the buckets, once, so that who reads them finds them even while
// they are empty. A token that may not do that may still write.
func (m *Mirror) prepare(ctx context.Context) error {
	if m.prepared {
		return nil
	}
	for bucket, retention := range map[string]time.Duration{m.cfg.Bucket: m.cfg.Retention, m.cfg.Anomalies: m.cfg.AnomaliesRetention} {
		if bucket == "" {
			continue
		}
		err := m.client.EnsureBucket(ctx, bucket, retention)
		if refused := new(Refusal); errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests {
			m.log.Info("cannot see or make a bucket in InfluxDB, which may be there all the same", "bucket", bucket, "err", err)
		} else if err != nil {
			return err
		}
	}
	m.prepared = true
	return nil
}

// carry writes a batch and moves the cursors behind it.
func (m *Mirror) carry(ctx context.Context, b *batch) error {
	if err := m.deliver(ctx, m.cfg.Bucket, m.cfg.Retention, b.lines); err != nil {
		return err
	}
	if err := m.deliver(ctx, m.cfg.Anomalies, m.cfg.AnomaliesRetention, b.records); err != nil {
		return err
	}
	if err := m.source.ForgetLate(b.late); err != nil {
		return err
	}
	moved := m.db.NewBatch()
	m.rows.move(moved, b.rowsTo)
	m.records.move(moved, b.recordsTo)
	if moved.Len() > 0 {
		if err := m.db.Commit(moved, db.Lazy); err != nil {
			return fmt.Errorf("move mirror's cursors: %w", err)
		}
	}
	m.last = b.last
	m.books.change(func(s *Stats) { s.Rows += int64(b.rows); s.Anomalies += int64(b.anomalies) })
	m.books.ok()
	return nil
}

// deliver writes lines into a bucket, trying for as long as it takes. Lines that
// InfluxDB will never take are left out and counted.
func (m *Mirror) deliver(ctx context.Context, bucket string, retention time.Duration, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	retry := patience{first: m.try, most: retryMost}
	for {
		err := m.client.Write(ctx, bucket, lines)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		refused := &Refusal{}
		if errors.As(err, &refused) {
			switch refused.Status {
			case http.StatusUnprocessableEntity: // InfluxDB took the others
				m.giveUp(droppedOf(refused), err)
				return nil
			case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
				return m.halve(ctx, bucket, retention, lines, err)
			case http.StatusNotFound:
				if made := m.client.EnsureBucket(ctx, bucket, retention); made == nil {
					m.log.Info("made a bucket in InfluxDB", "bucket", bucket)
				} else {
					err = fmt.Errorf("%w; %w", err, made)
				}
			}
		}
		m.complain(err)
		retry.wait(ctx, refused.RetryAfter)
	}
}

// halve finds the lines that InfluxDB does not take: it refuses all for one.
func (m *Mirror) halve(ctx context.Context, bucket string, retention time.Duration, lines []byte, why error) error {
	if bytes.Count(lines, []byte("\n")) <= 1 {
		m.giveUp(1, why)
		return nil
	}
	middle := len(lines) / 2
	cut := bytes.IndexByte(lines[middle:], '\n') + middle + 1
	if cut == len(lines) {
		cut = bytes.LastIndexByte(lines[:middle], '\n') + 1
	}
	if err := m.deliver(ctx, bucket, retention, lines[:cut]); err != nil {
		return err
	}
	return m.deliver(ctx, bucket, retention, lines[cut:])
}

// giveUp counts lines that InfluxDB will never take.
func (m *Mirror) giveUp(lines int64, why error) {
	if m.books.change(func(s *Stats) { s.Refused += lines }).Refused == 0 {
		m.log.Warn("InfluxDB refuses some of what is mirrored; further ones are only counted", "err", why)
	}
}

// complain notes that something went wrong; the log has it once, until it works
// again.
func (m *Mirror) complain(err error) {
	if m.books.failed(err) {
		m.log.Warn("mirror cannot write to InfluxDB, will try again", "url", m.cfg.URL, "err", err)
	}
}

// dropped is how InfluxDB counts the lines that it left out of a write.
var dropped = regexp.MustCompile(`dropped=(\d+)`)

func droppedOf(r *Refusal) int64 {
	if found := dropped.FindStringSubmatch(r.Message); found != nil {
		if n, err := strconv.ParseInt(found[1], 10, 64); err == nil {
			return n
		}
	}
	return 1
}
